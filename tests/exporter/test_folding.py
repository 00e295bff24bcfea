"""Folded lines: a failure counts as often as syslog says, within bounds; a success once."""

import json
from pathlib import Path

import pytest

from heptad.cli.main import main
from heptad.core.event import Event
from heptad.exporter.log_record import Provenance
from heptad.exporter.normalize.normalizer import MOST_REPEATS, Normalizer
from heptad.exporter.normalize.text import normalize_record
from heptad.exporter.parsing.header import HeaderParser
from heptad.exporter.parsing.timestamps import TimestampParser
from tests.support.rulebook import RULEBOOK

AT = "Aug 10 10:00:09"
WRONG = f"{AT} fb-1 sshd[7]: Failed password for alice from 203.0.113.7 port 44714 ssh2"
RIGHT = f"{AT} fb-1 sshd[7]: Accepted password for alice from 203.0.113.7 port 44714 ssh2"
OPENED = f"{AT} fb-1 su: pam_unix(su:session): session opened for user root by alice(uid=1000)"
RAN = f"{AT} fb-1 sudo: alice : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/id"
LATER = "Aug 10 10:00:18"
BEGIN = "Failed password for "

FORMS = [
    f"{LATER} fb-1 last message repeated 4 times",
    f"{LATER} last message repeated 4 times",
    f"<38>{LATER} fb-1 last message repeated 4 times",
    f"{LATER} fb-1 syslogd: last message repeated 4 times",
    f"{LATER} fb-1 syslogd[99]: last message repeated 4 times",
    f"{LATER} syslogd: last message repeated 4 times",
    f"{LATER} <auth.info> fb-1 syslogd: last message repeated 4 times",
    f"{LATER} <4.6> fb-1 last message repeated 4 times",
    f"{LATER} fb-1 auth.info last message repeated 4 times",
    f"{LATER} fb-1 sshd[7]: last message repeated 4 times",
    f"{LATER}  sshd[7]: last message repeated 4 times",
    f"{LATER} sshd[7]: last message repeated 4 times",
    f"{LATER} fb-1 sshd[7]: [ID 800047 auth.info] last message repeated 4 times",
    f"{LATER} --- last message repeated 4 times ---",
    f"{LATER}: --- last message repeated 4 times ---",
    f"{LATER} fb-1 above message repeats 4 times",
    "                - Last output repeated 4 times -",
    f"{LATER} fb-1 sshd: Last message '{BEGIN}' repeated 4 times, suppressed by syslog-ng on fb-1",
    f"{LATER} fb-1 sshd[7]: message repeated 4 times: [ {WRONG.partition(': ')[2]}]",
    "<38>1 2026-08-10T10:00:18Z fb-1 syslogd - - - last message repeated 4 times",
    "2026-08-10T10:00:18+00:00 fb-1 last message repeated 4 times ",
]


def interpret(*lines: str) -> tuple[list[Event], Normalizer]:
    """The events of lines, and what interpreted them."""
    normalizer = Normalizer(RULEBOOK, "fb-1", "text")
    header = HeaderParser(TimestampParser(reference=1_790_000_000 * 10**9), Provenance())
    records, _ = header.parse_text("\n".join(lines))
    found = [normalize_record(normalizer, record) for record in records]
    return [event for event in found if event is not None], normalizer


def count(outcome: str, *lines: str) -> int:
    """How often the lines tell of that outcome."""
    return sum(event.count for event in interpret(*lines)[0] if event.outcome == outcome)


@pytest.mark.parametrize("form", FORMS)
def test_a_failure_counts_as_often_as_syslog_says(form: str) -> None:
    """Once for its own line, and N times more for the folded one, in the form of each daemon."""
    assert count("failure", WRONG, form) == 5
    assert count("failure", WRONG, form, form) == 9


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("success", [RIGHT, OPENED, RAN])
def test_a_success_counts_once(success: str, form: str) -> None:
    """No line of syslog's makes a login, a session or a command of root's happen again."""
    series, _, message = success.partition(": ")
    form = form.replace("sshd[7]", series.split()[-1]).replace(WRONG.partition(": ")[2], message)
    program = series.split()[-1].partition("[")[0]
    form = form.replace("sshd: Last", f"{program}: Last").replace(BEGIN, message[:20])
    events, normalizer = interpret(success, form)
    assert [(event.outcome, event.count) for event in events] == [("success", 1)]
    assert normalizer.rejected_repeats == 4


def test_a_success_that_only_a_folded_line_tells_is_told() -> None:
    """A line that names its message is evidence of it, once, where nothing else was."""
    message = RIGHT.partition(": ")[2]
    folded = f"{LATER} fb-1 sshd[7]: message repeated 9 times: [ {message}]"
    assert count("success", folded) == 1
    assert count("success", RIGHT, folded) == 1


@pytest.mark.parametrize("times", [1, 100, 101, 1_000_000, 999_999_999])
def test_a_failure_counts_a_hundred_times_at_most(times: int) -> None:
    """Whoever can write a line can write any number in it: the rest is rejected, and counted."""
    for form in (FORMS[0], FORMS[3], FORMS[-3]):
        events, normalizer = interpret(WRONG, form.replace("4 times", f"{times} times"))
        assert [event.count for event in events] == [1, min(times, MOST_REPEATS)]
        assert normalizer.rejected_repeats == max(0, min(times, 10**6) - MOST_REPEATS)


@pytest.mark.parametrize(
    "lines",
    [
        [FORMS[3]],
        [WRONG, "a line of nobody", FORMS[3]],
        [WRONG.replace(" fb-1 ", " fb-2 "), FORMS[3]],
        [WRONG, f"{LATER} fb-1 cron[1]: last message repeated 4 times"],
        [WRONG, f"{LATER} fb-1 sshd[8]: last message repeated 4 times"],
        [WRONG, FORMS[3].replace(" 4 ", " 0 ")],
        [WRONG, FORMS[-4].replace("Failed", "Closed")],
        [WRONG, f"{LATER} fb-1 syslogd: x last message repeated 4 times"],
        [WRONG, f"{LATER} fb-1 syslogd: last message repeated 4 times by root"],
    ],
)
def test_nothing_that_was_repeated(lines: list[str]) -> None:
    """Where the line before is unknown, or another's, nothing is multiplied."""
    assert count("failure", *lines) == len([line for line in lines if "Failed" in line])


def test_a_name_is_no_folded_line() -> None:
    """Whoever is called like syslog's words is a user who failed once."""
    name = "last message repeated 9 times"
    line = WRONG.replace("alice", name)
    events, _ = interpret(WRONG, line)
    assert [(event.user, event.count) for event in events] == [("alice", 1), (name, 1)]


def run(path: Path, *options: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What `heptad parse` prints of a file."""
    assert main(["parse", "--timezone", "UTC", *options, str(path)]) == 0
    return capsys.readouterr().out


@pytest.mark.table
@pytest.mark.parametrize("form", FORMS)
def test_parse_shows_them(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Table, JSON lines and summary agree on the events and on how often they came."""
    path = tmp_path / "auth.log"
    path.write_text(f"{WRONG}\n{form}\n{form}\n")
    told = run(path, "--format", "jsonl", capsys=capsys)
    found = [json.loads(line) for line in told.splitlines()]
    assert [(event["line"], event.get("count", 1)) for event in found] == [(1, 1), (2, 4), (3, 4)]
    assert len(run(path, capsys=capsys).splitlines()) == 4
    summary = json.loads(run(path, "--summary", capsys=capsys))
    assert summary["counts_by"]["sshd"]["login"]["failure"] == 9


def test_parse_over_a_chunk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line that is repeated may be the last of what was read before."""
    path = tmp_path / "auth.log"
    lines = [WRONG] * (2**17 // len(WRONG) + 2)
    for at in range(len(lines) - 4, len(lines)):
        path.write_text("\n".join([*lines[:at], FORMS[3], FORMS[0], ""]))
        summary = json.loads(run(path, "--summary", capsys=capsys))
        assert summary["counts_by"]["sshd"]["login"]["failure"] == at + 8


def test_the_summary_tells_what_is_not_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Repeats above the bound, and those of a success, are in no count but in one of their own."""
    path = tmp_path / "auth.log"
    path.write_text(f"{WRONG}\n{FORMS[3].replace('4', '500')}\n{RIGHT}\n{FORMS[3]}\n")
    summary = json.loads(run(path, "--summary", capsys=capsys))
    assert summary["repeats_rejected"] == 404
    assert summary["lines_by_result"]["repeated"] == 1
    assert summary["counts_by"]["sshd"]["login"] == {"failure": 101, "success": 1}
