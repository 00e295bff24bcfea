"""A pattern of a user's is refused, or costs no more time than its line is long."""

import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from heptad.core.config.strict_yaml import DocumentError
from heptad.core.store.event_row import row_of_event
from heptad.exporter.log_record import LogRecord, Provenance
from heptad.exporter.normalize.normalizer import Normalizer
from heptad.exporter.parsing.rule_file import BUILT_IN
from heptad.exporter.parsing.rulebook import Program, load_rulebook
from tests.support.ports import reserve_port
from tests.support.real.sandbox import wait_until

LONG = 65_536
BAD = (
    # nested
    r"login by (?P<user>(?:\w+\s?)*) failed",
    r"(?P<user>(?:a+)+)b",
    r"(?P<user>(?:a*)*)b",
    r"(?P<user>(?:(?:a+)+)+)b",
    r"(?P<user>(?:[a-z]+)*)\d",
    r"(?P<user>(?:\d+\.?)+)x",
    r"(?P<user>(?:.*)*)x",
    r"(?P<user>(?:.+)+)x",
    r"(?P<user>(?:a?)*)b",
    r"(?P<user>(?:x*y*)*)z",
    r"(?P<user>(?:\s*\w*\s*)*);",
    # overlapping
    r"(?P<user>(?:a|a)*)b",
    r"(?P<user>(?:a|aa)+)b",
    r"(?P<user>(?:a|ab|abc)*)x",
    r"(?P<user>(?:\w|\d)*)!",
    r"(?P<user>(?:.|a)*)b",
    r"(?P<user>(?:a|b|ab)*)c",
    r"(?P<user>(?:\w|-)+(?:\w|-)+(?:\w|-)+)!",
    # adjacent
    r".*.*.*x",
    r"(?P<user>.*).*.*.*y",
    r"a*a*a*a*a*b",
    r"(?P<user>\w*)\w*\w*\w*!",
    r".*,.*,.*,.*,.*;",
    r"(?P<user>[^ ]*)[^ ]*[^ ]* x",
    r"\s*\s*\s*\s*x",
    r"(?P<user>.*?).*?.*?x",
    r"(?P<user>x+x+)+y",
    # counted
    r"(?P<user>.*a){30}x",
    r"(?P<user>.*)a.{200}b",
    r"(?P<user>(?:a?){500}a{500})",
    r"(?P<user>(?:a{0,100}){0,100})",
    r"(?P<user>(?:\w{1,100}){1,100})x",
    r"(?P<user>.*)(?:a|b){900}x",
    r"(?P<user>(?:a{1,30}b?)*)c",
    r"(?P<user>.{0,500}.{0,500}.{0,500})x",
    r"(?P<user>(?:(?:a{1,9}){1,9}){1,9})b",
    r"(?P<user>(?:a|b)*a(?:a|b){20})x",
)
TEXTS = (
    "a",
    "ab",
    "aaaa!",
    "a ",
    "x",
    "xy",
    "1.",
    " ",
    ",",
    "\\",
    "a-b ",
    "ä",
    "login by aaaa ",
)


def write_rules(folder: Path, pattern: str, example: str = "x") -> Path:
    """A file of one rule for the program mydaemon."""
    rule = {
        "name": "mine",
        "pattern": pattern,
        "action": "login",
        "outcome": "failure",
        "examples": [{"message": example}],
    }
    folder.mkdir(exist_ok=True)
    (folder / "mydaemon.yaml").write_text(yaml.safe_dump({"program": "mydaemon", "rules": [rule]}))
    return folder


def load(folder: Path) -> Program:
    """The program of the folder's rule; raises DocumentError where it is refused."""
    return load_rulebook([folder]).programs["mydaemon"]


@pytest.mark.table
@pytest.mark.parametrize("pattern", BAD)
def test_a_bad_pattern_is_refused_or_linear(tmp_path: Path, pattern: str) -> None:
    """64 kB of whatever makes a backtracking engine try again take a few milliseconds a line."""
    try:
        program = load(write_rules(tmp_path, pattern))
    except DocumentError as error:
        [problem] = error.problems
        assert "rule mine: " in problem.message
        return
    program.read("x")
    took = {}
    for text in TEXTS:
        for end in ("", "!", "x"):
            line = (text * LONG)[:LONG] + end
            times = []
            for _ in range(3):
                began = time.process_time()
                program.read(line)
                times.append(time.process_time() - began)
            took[min(times)] = line[:20]
    assert max(took) < 0.05, took[max(took)]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"x(?!y)(?P<user>.*)", "`(?!` (look-around)"),
        (r"x(?<=y)(?P<user>.*)", "`(?<=` (look-around)"),
        (r"x(?>(?P<user>a*))", "`(?>` is only supported in built-in rules"),
        (r"x(?P<user>a*+)b", "`+` is only supported in built-in rules"),
        (r"(?P<user>a)(?P=user)", "`(?P=user)` (what another group captured)"),
        (r"(a)\1", r"`\1` (what another group captured)"),
        (r"(?P<user>.*) x{1,300}", "write `+` instead of a repetition"),
        (r"\Z", "RE2 rejects the pattern"),
        (r"%{pam_peer}", "only supported in built-in rules"),
    ],
)
def test_what_cannot_be_matched_in_linear_time_is_told(
    tmp_path: Path, pattern: str, words: str
) -> None:
    """The place of the pattern, what in it is not taken, and what to write instead."""
    with pytest.raises(DocumentError) as told:
        load(write_rules(tmp_path, pattern))
    [problem] = told.value.problems
    assert words in problem.message
    assert problem.file.endswith("mydaemon.yaml")
    assert problem.place.count(":") == 1


@pytest.mark.parametrize(
    ("pattern", "message", "facts"),
    [
        (
            r"refused (?P<user>.*) from %{peer}",
            "refused ann from x from 192.0.2.7 port 4711",
            {"user": "ann from x", "source_ip": "192.0.2.7", "source_port": 4711},
        ),
        (r"(?P<user>\w{1,64}) did (?P<object>.*)", "ann did\n", None),
        (
            r"(?P<user>\w{1,64}) did (?P<object>.*)",
            "ann did a\nb",
            {"user": "ann", "object": "a\nb"},
        ),
        (r"(?P<user>.+) gone(?: on (?P<tty>[^ ]+))?", "g\xf6ran gone", {"user": "g\xf6ran"}),
        (r"(?P<user>\w+) gone", "g\xf6ran gone", None),
        (r"(?P<user>.+) gone", "\ud800 gone", None),
        (r"(?P<user>.+) \(x\) (?P<object>[^ ]*)", "ann (x) ", {"user": "ann", "object": ""}),
    ],
)
def test_a_pattern_of_a_user_means_what_it_does_in_python(
    tmp_path: Path, pattern: str, message: str, facts: dict[str, str | int] | None
) -> None:
    """Groups, fragments, newlines and ASCII's letters are what they are in the rules that ship."""
    found = load(write_rules(tmp_path, pattern)).read(message)
    assert (found and found.rule.facts(found.values)) == facts


def test_a_copied_file_is_matched_as_before(tmp_path: Path) -> None:
    """A file that ships, copied to change what is not a pattern, is taken as it is."""
    text = (BUILT_IN / "sshd.yaml").read_text()
    (tmp_path / "sshd.yaml").write_text(text.replace("/usr/sbin/sshd\n", "/opt/sshd\n", 1))
    program = load_rulebook([tmp_path]).programs["sshd"]
    assert "/opt/sshd" in program.exe
    for rule in program.own_rules:
        for sample in rule.rule.examples:
            assert program.read(sample.message) is not None


def test_a_hostile_line_stops_neither_the_exporter_nor_its_end(tmp_path: Path) -> None:
    """With a pattern of nested loops the line is read, /metrics answers, and SIGTERM ends it."""
    rules = write_rules(tmp_path / "rules", BAD[0], "login by ann failed")
    log = tmp_path / "daemon.log"
    log.write_text(f"2026-03-01T12:00:00Z box mydaemon[1]: login by {'a' * 60}! x failed\n")
    config = tmp_path / "heptad.yaml"
    port = reserve_port()
    config.write_text(
        f"rules: [{rules}]\nstore: {{path: {tmp_path / 'events.db'}}}\n"
        f'exporter: {{listen: "127.0.0.1:{port}"}}\n'
        f"sources: [{{type: file, name: mine, paths: [{log}]}}]\n"
    )
    command = (sys.executable, "-m", "heptad", "exporter", "--config", config)
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as exporter:
        try:
            told = 'heptad_lines_not_understood_total{program="mydaemon"} 1.0'
            wait_until(lambda: told in read_metrics(port), "the line in the metrics", 30)
            exporter.terminate()
            assert exporter.wait(10) == 0
        finally:
            exporter.kill()


def read_metrics(port: int) -> str:
    """What the exporter exposes; nothing while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def test_a_captured_object_is_the_object(tmp_path: Path) -> None:
    """A rule that states an object and may capture one has the captured one where it is there."""
    folder = write_rules(tmp_path, 'got(?: (?P<object>[a-z"]{1,20}))?', "got")
    file = folder / "mydaemon.yaml"
    file.write_text(file.read_text().replace("  name: mine\n", "  name: mine\n  object: 'a \"b'\n"))
    normalizer = Normalizer(load_rulebook([folder]), "host", "source")
    records = [
        LogRecord(1, None, "mydaemon", None, message, message, 1, Provenance())
        for message in ("got", 'got c"d')
    ]
    events, rows, _ = normalizer.normalize(records)
    assert [event.object for event in events] == ['a "b', 'c"d']
    assert rows == list(map(row_of_event, events))
