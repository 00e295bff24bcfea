"""The command line as a person uses it: every command in a process of its own."""

import bz2
import contextlib
import gzip
import json
import lzma
import os
import pathlib
import re
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from urllib.request import urlopen

import pytest
import yaml

from heptad.cli.commands import COMMANDS
from heptad.cli.main import main
from tests.support.ports import reserve_port

LINES = """\
Mar  3 10:00:00 web sshd[100]: Failed password for invalid user eve from 192.0.2.7 port 4711 ssh2
Mar  3 10:00:01 web sshd[100]: Connection closed by invalid user eve 192.0.2.7 port 4711 [preauth]
Mar  3 10:00:02 web sshd[101]: Accepted publickey for ann from 198.51.100.2 port 40000 ssh2
Mar  3 10:00:03 web sshd[101]: a line that no rule understands
Mar  3 10:00:04 web backup[5]: done
"""


def heptad(*arguments: str | pathlib.Path, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "heptad", *map(str, arguments)]
    environment = os.environ | {"TZ": "UTC"}
    return subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )


@pytest.fixture
def config(tmp_path: pathlib.Path) -> pathlib.Path:
    """A configuration that reads one log, with everything in a folder of its own."""
    (tmp_path / "auth.log").write_text(LINES)
    content = {
        "host": "web",
        "store": {"path": str(tmp_path / "events.db")},
        "sources": [{"type": "file", "name": "auth", "paths": [str(tmp_path / "auth.log")]}],
        "exporter": {"listen": f"127.0.0.1:{reserve_port()}", "host_metrics": False},
        "aggregator": {
            "listen": f"127.0.0.1:{reserve_port()}",
            "store": {"path": str(tmp_path / "reports.db")},
        },
    }
    path = tmp_path / "heptad.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_help_teaches() -> None:
    """Every command has a help with a summary, and most with examples; the version is told."""
    overview = " ".join(heptad("--help").stdout.split())
    for command, summary in COMMANDS.items():
        assert summary in overview
        assert "examples:" in heptad(command, "--help").stdout
    assert "exit status" in overview
    assert heptad("--version").stdout.startswith("heptad ")


def test_completion_is_printed() -> None:
    """A completion script for bash comes from the parser itself, with every command's options."""
    script = heptad("--print-completion", "bash").stdout
    assert "check-config" in script
    assert "--summary" in script


@pytest.mark.table
@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("events", "--since", "yesterday-ish"),
        ("report", "--since", "x"),
        ("parse", "--timezone", "Mars/Olympus", "-"),
        ("parse", "--year", "99999", "-"),
        ("aggregator", "--until", "now"),
        ("check-config", "/no/such/file.yaml"),
        ("events", "--config", "/no/such/file.yaml"),
    ],
)
def test_wrong_use_is_status_2(arguments: tuple[str, ...]) -> None:
    """Wrong use gives status 2, a sentence that says what is wrong, and no traceback."""
    result = heptad(*arguments)
    assert result.returncode == 2
    assert result.stderr.strip()
    assert "Traceback" not in result.stderr


def test_parse_gives_an_event_a_line_as_json(tmp_path: pathlib.Path) -> None:
    """jsonl has the design's field names, nine decimals, and the number of the line."""
    log = tmp_path / "auth.log"
    log.write_text(LINES)
    result = heptad("parse", "--format", "jsonl", "--year", "2024", log)
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.returncode == 0
    assert [event["line"] for event in events] == [1, 2, 3]
    first = events[0]
    assert first["time"] == "2024-03-03T10:00:00.000000000Z"
    assert (first["host"], first["program"], first["pid"]) == ("web", "sshd", 100)
    assert (first["action"], first["outcome"], first["method"]) == ("login", "failure", "password")
    assert (first["user"], first["source_ip"], first["source_port"]) == ("eve", "192.0.2.7", 4711)
    assert first["count"] == 1


def test_parse_reads_packed_files_and_standard_input(tmp_path: pathlib.Path) -> None:
    """The same log gives the same, plain, as .gz, and from standard input."""
    plain = tmp_path / "auth.log"
    plain.write_text(LINES)
    summaries = [heptad("parse", "--summary", plain).stdout]
    for name, pack in (("log.gz", gzip), ("log", gzip), ("log.bz2", bz2), ("log.xz", lzma)):
        (tmp_path / name).write_bytes(pack.compress(LINES.encode()))
        summaries.append(heptad("parse", "--summary", tmp_path / name).stdout)
    summaries.append(heptad("parse", "--summary", "-", text=LINES).stdout)
    assert len(set(summaries)) == 1


def test_summary_counts_every_line() -> None:
    """The summary tells lines, events, what was not understood, and events by what they say."""
    summary = json.loads(heptad("parse", "--summary", "-", text=LINES).stdout)
    assert (summary["lines"], summary["events"]) == (5, 3)
    assert summary["not_understood"] == {"sshd": 1}
    assert summary["events_by"]["sshd"]["login"] == {"failure": 1, "success": 1}
    assert sum(summary["lines_by_result"].values()) == 5


def test_parse_of_a_missing_file_fails_and_goes_on(tmp_path: pathlib.Path) -> None:
    """One file that cannot be read fails the command, but the others are still shown."""
    log = tmp_path / "auth.log"
    log.write_text(LINES)
    result = heptad("parse", "--summary", tmp_path / "missing", log)
    assert result.returncode == 1
    assert "missing" in result.stderr
    assert json.loads(result.stdout)["lines"] == 5


@pytest.mark.table
@pytest.mark.parametrize(
    "content, told",
    [
        (b"", "0 events in 0 lines: the file is empty"),
        (b"\n\n", "0 events in 2 lines, 0 without a syslog header"),
        (b"root:x:0:0::/root:/bin/sh\n" * 29, "0 events in 29 lines, 29 without a syslog header"),
        (bytes(range(256)) * 300, "without a syslog header"),
        (
            b"x" * 100_000,
            "0 events in 1 lines, 0 without a syslog header, 1 longer than 16384 bytes",
        ),
        (gzip.compress(b"no log\n" * 3, mtime=0), "0 events in 3 lines, 3 without a syslog header"),
        (b"\x1f\x8b broken", "auth.log: "),
        (None, "Is a directory"),
    ],
)
def test_parse_of_what_is_not_a_log(
    tmp_path: pathlib.Path, content: bytes | None, told: str
) -> None:
    """A file without a line of a log is named with the reason, and the status is 1."""
    path, log = tmp_path / "auth.log", tmp_path / "other.log"
    log.write_text(LINES)
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    for options in ((), ("--summary",)):
        result = heptad("parse", *options, path, log)
        assert result.returncode == 1
        assert told in result.stderr
        assert result.stderr.count("\n") == 1
        assert "login" in result.stdout


@pytest.mark.parametrize(
    "name, told",
    [
        ("/dev/zero", "is a device, not a log"),
        ("/dev/urandom", "is a device, not a log"),
        ("pipe", "is a pipe that no program has opened for writing within 0 s"),
        ("sparse", "in the first 16,"),
    ],
)
def test_parse_ends_where_a_file_does_not(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    told: str,
) -> None:
    """A device, a pipe without a writer and a file larger than the disk are named, soon."""
    monkeypatch.setattr("heptad.cli.log_input.PATIENCE", 0.0)
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "sparse").open("wb") as sparse:
        sparse.truncate(5 * 2**40)
    (tmp_path / "auth.log").write_text(LINES)
    files = [str(tmp_path / name), str(tmp_path / "auth.log")]
    monkeypatch.setattr("sys.argv", ["heptad", "parse", "--summary", *files])
    assert main() == 1
    printed = capsys.readouterr()
    assert told in printed.err
    assert json.loads(printed.out)["events"] == 3


@pytest.mark.parametrize("source", ["tr '\\0' '\\n' < /dev/zero", "cat /dev/zero"])
def test_parse_gives_up_what_never_becomes_a_log(source: str) -> None:
    """Standard input without an end and without one line of a log is given up."""
    command = f"{source} | {shlex.quote(sys.executable)} -m heptad parse --summary -"
    result = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 1
    assert "(the rest was not read)" in result.stderr


def test_parse_waits_for_a_writer_that_is_slow(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipe that a program holds open is read to its end, and so is a log behind a hole."""
    monkeypatch.setattr("heptad.cli.log_input.PATIENCE", 0.0)
    with (tmp_path / "sparse").open("wb") as sparse:
        sparse.seek(2**40)
        sparse.write(b"\n" + LINES.encode())
    read, write = os.pipe()

    def write_late() -> None:
        os.write(write, LINES.encode())
        os.close(write)

    threading.Timer(0.3, write_late).start()
    files = [f"/dev/fd/{read}", str(tmp_path / "sparse")]
    monkeypatch.setattr("sys.argv", ["heptad", "parse", "--summary", *files])
    assert main() == 0
    os.close(read)
    assert json.loads(capsys.readouterr().out)["events"] == 6


def test_table_shows_hostile_names_harmlessly() -> None:
    """A name with terminal escapes and right-to-left marks cannot move the cursor."""
    line = "Mar  3 10:00:00 web sshd[1]: Invalid user \x1b[2J\u202eevil from 192.0.2.7 port 1\n"
    shown = heptad("parse", "-", text=line).stdout
    assert "invalid_user" in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_from_log_to_report(config: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """exporter --once, aggregator --once, events and report give what is in the log."""
    burst = [
        f"{time.strftime('%b %e %H:%M:%S', time.gmtime(time.time() - 900 + second))} web "
        f"sshd[{second}]: Failed password for root from 203.0.113.9 port {2000 + second} ssh2\n"
        for second in range(30)
    ]
    (tmp_path / "auth.log").write_text("".join(burst))
    assert heptad("exporter", "--once", "--config", config).returncode == 0
    assert heptad("aggregator", "--once", "--config", config).returncode == 0
    told = heptad("events", "--config", config, "--format", "jsonl", "--address", "203.0.113.9")
    assert len(told.stdout.splitlines()) == 30
    none = heptad("events", "--config", config, "--format", "jsonl", "--outcome", "success")
    assert (none.returncode, none.stdout) == (0, "")
    report = json.loads(heptad("report", "--config", config, "--format", "json").stdout)
    assert any("203.0.113.9" in finding["sentence"] for finding in report["findings"])
    page = heptad("report", "--config", config, "--format", "html").stdout
    assert page.startswith("<!doctype html>")
    text = heptad("report", "--config", config).stdout
    assert "203.0.113.9" in text
    (command, *_) = re.findall(r"heptad (events --finding .*)", text)
    assert heptad(*shlex.split(command)).stdout.count("203.0.113.9") == 30
    assert heptad("exporter", "--once", "--config", config).returncode == 0
    again = heptad("events", "--config", config, "--format", "jsonl")
    assert len(again.stdout.splitlines()) == 30


@pytest.mark.table
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams(closed: str, config: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """A command whose caller closed its streams does its work, and prints into no store."""
    (tmp_path / "auth.log").write_text(LINES)
    command = shlex.join([sys.executable, "-m", "heptad", "exporter", "--once", "--config"])
    result = subprocess.run(
        ["/bin/sh", "-c", f"{command} {shlex.quote(str(config))} {closed}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "")
    assert "Traceback" not in result.stderr
    assert heptad("events", "--config", config).returncode == 0


def test_events_without_a_store_names_the_remedy(config: pathlib.Path) -> None:
    """Where nothing was stored yet the command fails and says what to start."""
    result = heptad("events", "--config", config)
    assert result.returncode == 1
    assert "heptad up" in result.stderr


@pytest.fixture
def running(config: pathlib.Path) -> Iterator[subprocess.Popen[str]]:
    """`heptad up` on the configuration, told to stop at the end."""
    command = [sys.executable, "-u", "-m", "heptad", "up", "--config", str(config)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        yield process
        if process.poll() is None:
            process.kill()


def read_until(process: subprocess.Popen[str], wanted: str) -> str:
    """Standard output up to the line that holds ``wanted``."""
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if wanted in line:
            return seen
    raise AssertionError(f"{wanted!r} did not come: {seen}")


def test_up_shows_events_and_stops_cleanly(
    running: subprocess.Popen[str], config: pathlib.Path
) -> None:
    """`heptad up` prints where things are and the events as they come, and Ctrl-C ends it well."""
    seen = read_until(running, "ann")
    assert "/metrics" in seen
    assert "report" in seen
    listen = yaml.safe_load(config.read_text())["aggregator"]["listen"]
    assert f"page     http://{listen}/\n" in seen
    with urlopen(f"http://{listen}/", timeout=10) as answer:
        assert b"<title>Heptad</title>" in answer.read()
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=20) == 0
    assert running.stderr is not None
    assert "Traceback" not in running.stderr.read()


def test_a_second_exporter_is_refused(running: subprocess.Popen[str], config: pathlib.Path) -> None:
    """A store that another exporter holds is a clear message and status 1."""
    read_until(running, "ann")
    result = heptad("exporter", "--config", config)
    assert result.returncode == 1
    assert "another Heptad" in result.stderr


def test_a_port_in_use_is_refused(config: pathlib.Path) -> None:
    """A port in use is a clear message and status 1, and the store is free again."""
    listen = yaml.safe_load(config.read_text())["exporter"]["listen"]
    with socket.create_server(("127.0.0.1", int(listen.rpartition(":")[2]))):
        result = heptad("exporter", "--config", config)
    assert result.returncode == 1
    assert "listen" in result.stderr
    assert heptad("exporter", "--once", "--config", config).returncode == 0


def test_check_config_tells_everything_at_once(tmp_path: pathlib.Path) -> None:
    """Every error comes with file, line and column; a good file is said to be good."""
    path = tmp_path / "heptad.yaml"
    path.write_text(
        "stor: {}\nlog: {level: loud}\nhost: ${HEPTAD_UNSET_NAME}\n"
        "sources:\n"
        "  - {type: file, name: a, paths: [/x], programs: [sshd]}\n"
        "  - {type: journald, name: b, programs: [sshd]}\n"
    )
    result = heptad("check-config", path)
    assert result.returncode == 2
    for place in (":1:", ":2:", ":3:", ":6:"):
        assert f"{path}{place}" in result.stderr
    path.write_text("log: {level: info}\n")
    assert heptad("check-config", path).returncode == 0


def test_check_config_looks_into_the_rules(tmp_path: pathlib.Path) -> None:
    """Faults of the rules are told beside those of the file, a program without rules in its place."""
    path = tmp_path / "heptad.yaml"
    source = "sources:\n  - {type: file, name: a, paths: [/x], programs: [sshd, nope]}\n"
    path.write_text(source + "colour: red\n")
    result = heptad("check-config", path)
    assert result.returncode == 2
    assert f"{path}:2:57: sources.0.programs.1: there are no rules for `nope`" in result.stderr
    assert f"{path}:3:" in result.stderr
    path.write_text(f"{source}colour: red\nrules: [{tmp_path}/missing]\n")
    result = heptad("check-config", path)
    assert f"{path}:3:" in result.stderr
    assert f"{tmp_path}/missing:0:0:" in result.stderr


def test_check_config_foresees_a_hand_over(config: pathlib.Path) -> None:
    """A source that would take over what the store knows from another one is announced."""
    assert "takes over" not in heptad("check-config", config).stdout
    assert heptad("exporter", "--once", "--config", config).returncode == 0
    assert "takes over" not in heptad("check-config", config).stdout
    config.write_text(config.read_text().replace("name: auth", "name: logins"))
    result = heptad("check-config", config)
    assert result.returncode == 0
    assert "source `logins` takes over" in result.stdout
    assert "from `auth`" in result.stdout
    assert "store.path" in result.stdout
    before = heptad("events", "--since", "2000d", "--config", config).stdout
    assert heptad("exporter", "--once", "--config", config).returncode == 0
    assert heptad("events", "--since", "2000d", "--config", config).stdout == before
    assert "takes over" not in heptad("check-config", config).stdout


@pytest.mark.parametrize("command", [("exporter", "--once"), ("up",)])
def test_what_runs_tells_faults_as_check_config_does(
    tmp_path: pathlib.Path, command: tuple[str, ...]
) -> None:
    """A configuration that is refused is refused in the same words, with line and column."""
    path = tmp_path / "heptad.yaml"
    path.write_text(
        "sources:\n  - {type: file, name: a, paths: [/x], programs: [nope]}\n"
        f"colour: red\nrules: [{tmp_path}/missing]\n"
    )
    for text in (path.read_text(), path.read_text().replace("/missing", "")):
        path.write_text(text)
        refused, checked = heptad(*command, "--config", path), heptad("check-config", path)
        assert refused.returncode == checked.returncode == 2
        assert refused.stderr == checked.stderr


def test_rules_are_tested_and_listed(tmp_path: pathlib.Path) -> None:
    """The built-in rules hold; a rule of one's own with a wrong example fails with its name."""
    assert heptad("rules", "test").returncode == 0
    assert "sshd" in heptad("rules", "list").stdout
    (tmp_path / "mine.yaml").write_text(
        "program: mine\nrules:\n  - name: hello\n    pattern: 'hello (?P<user>\\S+)'\n"
        "    action: login\n    outcome: success\n    examples:\n"
        "      - {message: hello ann, facts: {user: bob}}\n"
    )
    result = heptad("rules", "test", tmp_path)
    assert result.returncode == 1
    assert "mine/hello" in result.stderr


def test_a_store_of_a_newer_heptad(tmp_path: pathlib.Path, config: pathlib.Path) -> None:
    """A store that cannot be read is told in a sentence, not as a fault of the program."""
    assert heptad("exporter", "--once", "--config", config).returncode == 0
    store = yaml.safe_load(config.read_text())["store"]["path"]
    with contextlib.closing(sqlite3.connect(store)) as db:
        db.execute("PRAGMA user_version = 999")
    for command in ("exporter", "aggregator"):
        result = heptad(command, "--once", "--config", config)
        assert result.returncode == 1
        assert "schema 999" in result.stderr
        assert "Traceback" not in result.stderr
