"""Whatever Heptad prints, nothing that came from elsewhere acts on a terminal, or hides."""

import io
import json
import logging
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tqdm import tqdm

from heptad.aggregator.web.page import Page
from heptad.aggregator.web.source import HostStores
from heptad.cli import progress
from heptad.cli.main import main
from heptad.core.telemetry import log
from heptad.core.terminal import escape_json, printable, printable_lines
from tests.core.test_server import Port

HOSTILE = "e\x1b]52;c;aGk=\x07\x1b[2J\r\x9bm\u200b\u202e\u2066\U000e0041\ufe0f\u3164x"
"""Clears the screen and fills the clipboard where it acts; and what nobody sees."""
SEEN = printable(HOSTILE)
ESCAPED = json.dumps(HOSTILE)[1:-1]
NAMES = [HOSTILE, f"a-{HOSTILE}.log"]

SINCE = ("--since", "2026-02-01T00:00:00Z")

Captured = pytest.CaptureFixture[str]


def run(capfd: Captured, *arguments: str | Path) -> str:
    """All that a command prints; it is harmless."""
    with suppress(SystemExit):  # of argparse
        main([*map(str, arguments)])
    told = "".join(capfd.readouterr())
    assert told
    assert printable_lines(told) == told
    return told


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of that name."""
    folder = tmp_path / HOSTILE.replace("\x1b[2J", "")
    folder.mkdir()
    return folder


LINE = "2026-03-01T10:00:00+00:00 web1 sshd[9]: Failed password for invalid user {} from 203.0.113.5 port 5 ssh2\n"
NAME = HOSTILE.replace("\r", "").replace("\x07", "").replace("\x1b", "")
"""What a log may hold of it."""


def write_config(folder: Path, more: str = "") -> Path:
    """A configuration that reads a log with that name in it."""
    (folder / "auth.log").write_text(LINE.format(NAME) * 20, "utf-8")
    config = folder.parent / "heptad.yaml"
    data = {
        "host": "web1",
        "store": {"path": str(folder / "events.db")},
        "aggregator": {"store": {"path": str(folder / "reports.db")}},
        "sources": [{"type": "file", "name": "auth", "paths": [str(folder / "auth.log")]}],
        "privacy": {"unknown_users": "keep"},
    }
    config.write_text(yaml.safe_dump(data), "utf-8")
    return config


def test_names_of_files(folder: Path, capfd: Captured) -> None:
    """A file that is absent, no log, packed wrongly or no YAML is named with escapes."""
    (folder / "no.gz").write_bytes(b"no gzip")
    (folder / "bad.yaml").write_text("[")
    (folder / "auth.log").write_text(LINE.format("root"))
    for name in ("absent", "no.gz"):
        assert "]52" in run(capfd, "parse", folder / name)
    run(capfd, "parse", folder / "auth.log")
    run(capfd, "parse", "--summary", folder / "auth.log", folder / "absent")
    for name in ("absent", "bad.yaml"):
        run(capfd, "check-config", folder / name)
        run(capfd, "exporter", "--config", folder / name)
        run(capfd, "rules", "test", folder / name)
    for command in ("events", "report", "influxdb check", "influxdb setup", "up", "aggregator"):
        run(capfd, *command.split(), "--config", folder / "bad.yaml")
    run(capfd, "grafana", "push", "--url", "http://127.0.0.1:9", "--token-file", folder / "absent")


def test_words_of_a_configuration(tmp_path: Path, capfd: Captured) -> None:
    """Keys and values of a configuration, and of a web-config file, come out with escapes."""
    quoted = yaml.safe_dump(HOSTILE, default_style='"', width=10**6).strip()
    web = tmp_path / "web.yml"
    web.write_text(f"{quoted}: 1\nbasic_auth_users: {{{quoted}: {quoted}}}\n")
    for text in (
        f"{quoted}: 1\n",
        f"store: {{{quoted}: 1, max_age: {quoted}, max_size: {quoted}}}\n",
        f"host: {quoted}\n",
        f"sources: [{{type: {quoted}, name: {quoted}}}]\n",
        f"sources: [{{type: file, name: {quoted}, paths: [{quoted}], timezone: {quoted}}}]\n",
        f"exporter: {{listen: {quoted}, web_config_file: {json.dumps(str(web))}}}\n",
        f"influxdb: {{url: {quoted}, version: {quoted}}}\n",
        f"rules: [{quoted}]\n",
        f"? {quoted}\n: *{quoted}\n",
    ):
        (tmp_path / "heptad.yaml").write_text(text)
        run(capfd, "check-config", tmp_path / "heptad.yaml")
    (tmp_path / "heptad.yaml").write_text(
        f"exporter: {{web_config_file: {json.dumps(str(web))}}}\n"
    )
    assert SEEN in run(capfd, "check-config", tmp_path / "heptad.yaml")


def test_words_of_rules(tmp_path: Path, capfd: Captured) -> None:
    """So do the names of rules and programs, and what is wrong with them."""
    rule = {
        "name": HOSTILE,
        "pattern": "x",
        "action": HOSTILE,
        HOSTILE: HOSTILE,
        "examples": [{"line": HOSTILE, "fields": {HOSTILE: HOSTILE}}],
    }
    for data in (
        {"program": HOSTILE, "rules": [rule]},
        {"program": "mydaemon", "tags": [HOSTILE], "rules": [rule]},
        {"program": "mydaemon", "rules": [{"name": HOSTILE, "pattern": "(", "action": "login"}]},
        {
            "program": "mydaemon",
            "rules": [{"name": "a", "pattern": HOSTILE + "(?P<user>", "action": "login"}],
        },
    ):
        (tmp_path / "mydaemon.yaml").write_text(json.dumps(data))
        run(capfd, "rules", "test", tmp_path)
        run(capfd, "rules", "list", tmp_path)


def test_arguments(capfd: Captured) -> None:
    """A wrong argument is said again with escapes."""
    for arguments in (
        [HOSTILE],
        ["events", HOSTILE],
        ["events", "--since", HOSTILE],
        ["events", "--user", HOSTILE, f"--{HOSTILE}"],
        ["report", "--format", HOSTILE],
        ["parse", "--timezone", HOSTILE, "x"],
        ["grafana", "push", "--use", HOSTILE, "--url", HOSTILE, "--token-file", HOSTILE],
    ):
        run(capfd, *arguments)


@pytest.mark.parametrize("form", ["table", "jsonl"])
def test_events(folder: Path, capfd: Captured, form: str) -> None:
    """A name in a log is harmless in a table, and the same name to a program that reads JSON."""
    config = write_config(folder)
    run(capfd, "exporter", "--once", "--config", config)
    for told in (
        run(capfd, "events", *SINCE, "--format", form, "--config", config),
        run(capfd, "parse", "--format", form, folder / "auth.log"),
    ):
        rows = told.splitlines()
        if form == "jsonl":
            events = [json.loads(row) for row in rows if row.startswith("{")]
            assert {event["user"] for event in events} == {NAME}
            assert "u200b" in told
        else:
            assert "\\u200b" in told or "…" in told


@pytest.mark.table
@pytest.mark.parametrize("form", ["text", "json", "html"])
def test_report(folder: Path, capfd: Captured, form: str) -> None:
    """So it is in each form of the report."""
    config = write_config(folder)
    run(capfd, "exporter", "--once", "--config", config)
    run(capfd, "aggregator", "--once", "--config", config)
    told = run(capfd, "report", *SINCE, "--format", form, "--config", config)
    assert "u200b" in told
    if form == "json":
        assert NAME in json.dumps(json.loads(told), ensure_ascii=False).replace("\\\\", "\\")


class Terminal(io.StringIO):
    """What a bar is drawn on."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def test_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar is named by a file's name with escapes."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(progress, "tqdm", lambda **keys: tqdm(**{**keys, "delay": 0}))
    with progress.make_bar(HOSTILE, 10, "B") as bar:
        bar.update(5)
    drawn = terminal.getvalue().replace("\r", "")
    assert drawn.startswith(printable(HOSTILE, 30))
    assert printable(drawn) == drawn


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_own_log(form: str, capfd: Captured) -> None:
    """A line of the log is one line, whatever it speaks of."""
    before = logging.getLogger().handlers[:]
    try:
        log.configure("info", form)
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            logging.getLogger("heptad.test").critical(
                HOSTILE, extra={"path": HOSTILE}, exc_info=True
            )
    finally:
        logging.getLogger().handlers[:] = before
    told = capfd.readouterr().err
    assert told.count("\n") == 1
    assert told.isascii()
    assert printable_lines(told) == told


def test_health() -> None:
    """A problem is one line of /healthz."""
    port = Port()
    port.problems = [HOSTILE, f"store: {HOSTILE}"]
    assert port.ask("/healthz")[2].decode().splitlines() == [SEEN, f"store: {SEEN}"]
    port.server.close()


def test_page(folder: Path) -> None:
    """The page names a store that cannot be read with escapes."""
    page = Page(HostStores(folder / "events.db", folder / "reports.db"), "127.0.0.1", list)
    answer = page({"PATH_INFO": "/api/events", "HTTP_HOST": "localhost", "QUERY_STRING": ""})
    assert answer is not None
    assert answer.status.startswith("503")
    error = json.loads(answer.body)["error"]
    assert "u200b" in error
    assert printable(error) == error


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_json_is_the_same(texts: list[str]) -> None:
    """JSON with escapes is harmless, and says the same."""
    for indent in (None, 2):
        told = escape_json(json.dumps(texts, ensure_ascii=False, indent=indent))
        assert json.loads(told) == texts
        assert printable_lines(told) == told
