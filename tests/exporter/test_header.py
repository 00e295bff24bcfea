"""Headers: who logged a line and when, in every format that syslog daemons write."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heptad.exporter.log_record import LogRecord, Provenance
from heptad.exporter.parsing.header import HeaderParser
from heptad.exporter.parsing.repeated_lines import unwrap_repeated
from heptad.exporter.parsing.timestamps import TimestampParser
from tests.support.effort import tries
from tests.support.moments import ns

NOW = datetime(2026, 3, 15, tzinfo=UTC)
MESSAGE = "Failed password for ann from 192.0.2.1 port 22 ssh2"
ORIGIN = Provenance(path="/log")


def parser(zone: str = "UTC", now: datetime = NOW, year: int = 0) -> HeaderParser:
    """A parser of a log that is read at ``now``."""
    clock = TimestampParser(ZoneInfo(zone), reference=ns(now.isoformat()), year=year)
    return HeaderParser(clock, ORIGIN)


def read(line: str) -> LogRecord | None:
    """The record of one line, which must be the same by both ways."""
    records, strange = parser().parse_text(line)
    assert len(records) + len(strange) == (1 if line.strip("\r\0\ufeff") else 0)
    one = parser().parse(line.rstrip("\r").lstrip("\0\ufeff"))
    assert one == (records[0] if records else None)
    return one


AT = "2026-03-01T13:06:56+00:00"


@pytest.mark.parametrize(
    "header, time, host",
    [
        ("Mar  1 13:06:56 gate sshd[123]", AT, "gate"),
        ("Mar 1 13:06:56 gate sshd[123]", AT, "gate"),
        ("Mar 01 13:06:56 gate sshd[123]", AT, "gate"),
        ("<38>Mar  1 13:06:56 gate sshd[123]", AT, "gate"),
        ("Mar  1 13:06:56 sshd[123]", AT, ""),
        ("Mar  1 13:06:56 2001:db8::7 sshd[123]", AT, "2001:db8::7"),
        ("2026 Mar  1 13:06:56 gate sshd[123]", AT, "gate"),
        ("2025 Mar  1 13:06:56 gate sshd[123]", "2025-03-01T13:06:56+00:00", "gate"),
        ("Mar  1 2025 13:06:56 gate sshd[123]", "2025-03-01T13:06:56+00:00", "gate"),
        ("<38>2025 Mar 1 13:06:56 sshd[123]", "2025-03-01T13:06:56+00:00", ""),
        ("2026-03-01T13:06:56+00:00 gate sshd[123]", AT, "gate"),
        ("2026-03-01T13:06:56Z gate sshd[123]", AT, "gate"),
        ("2026-03-01T13:06:56 gate sshd[123]", AT, "gate"),
        ("2026-03-01 13:06:56 gate sshd[123]", AT, "gate"),
        ("2026-03-01T14:06:56+0100 gate sshd[123]", AT, "gate"),
        ("2026-03-01T09:36:56.5-03:30 sshd[123]", "2026-03-01T13:06:56.5+00:00", ""),
        ("2026-03-01 13:06:56,250 gate sshd[123]", "2026-03-01T13:06:56.25+00:00", "gate"),
        ("<38>2026-03-01T13:06:56.123456Z gate sshd[123]", "2026-03-01T13:06:56.123456Z", "gate"),
        ("Feb 28 23:59:60 gate sshd[123]", "2026-02-28T23:59:59+00:00", "gate"),
        ("2016-12-31T23:59:60Z gate sshd[123]", "2016-12-31T23:59:59+00:00", "gate"),
    ],
)
def test_headers(header: str, time: str, host: str) -> None:
    """Stamp, host, program and process id are told apart, and the message is what is left."""
    line = f"{header}: {MESSAGE}"
    assert read(line) == LogRecord(ns(time), host, "sshd", "123", MESSAGE, line, 1, ORIGIN)


STRUCTURED = ["-", "[a]", '[a b="c"]', r'[a b="\]\"\\" c="] x"][d@1 e=""]', '[a b="ä [x] : "]']


@pytest.mark.parametrize("structured", STRUCTURED)
def test_rfc_5424(structured: str) -> None:
    """Structured data is passed over, with escaped quotes and brackets in it."""
    line = f"<38>1 2026-03-01T13:06:56.003Z gate sshd 123 ID47 {structured} \ufeff{MESSAGE}"
    time = ns("2026-03-01T13:06:56.003Z")
    assert read(line) == LogRecord(time, "gate", "sshd", "123", MESSAGE, line, 1, ORIGIN)


def test_rfc_5424_without_values() -> None:
    """A dash stands for what is not known; a process id that is no number is none."""
    for pid in ("-", "main", "1234567890", "\u0663"):
        record = read(f"<0>1 2026-03-01T13:06:56Z - su {pid} - -")
        assert record is not None
        assert (record.host, record.app_name, record.pid, record.message) == ("", "su", "", "")
    assert read("<0>1 - gate su - - - hello") is None


@pytest.mark.parametrize("digits", range(1, 13))
def test_fractions(digits: int) -> None:
    """A fraction has one to nine digits that count; further ones are dropped."""
    fraction = "123456789123"[:digits]
    for stamp in (f"2026-03-01T13:06:56.{fraction}Z", f"Mar  1 13:06:56.{fraction}"):
        record = read(f"{stamp} gate su: x")
        assert record is not None
        assert record.time == ns(AT) + int(fraction[:9].ljust(9, "0"))


@pytest.mark.parametrize(
    "header, tag, pid, message",
    [
        ("gate sshd(pam_unix)[12]", "sshd", "12", f"pam_unix(sshd): {MESSAGE}"),
        ("gate su(pam_unix)", "su", "", f"pam_unix(su): {MESSAGE}"),
        ("gate CRON[7]", "CRON", "7", MESSAGE),
        ("gate (systemd)[7]", "(systemd)", "7", MESSAGE),
        ("gate kernel", "kernel", "", MESSAGE),
        ("sshd", "sshd", "", MESSAGE),
        ("gate systemd-logind[7]", "systemd-logind", "7", MESSAGE),
    ],
)
def test_tags(header: str, tag: str, pid: str, message: str) -> None:
    """The program's name is cleaned of its process id and of an old PAM's module."""
    record = read(f"Mar  1 13:06:56 {header}: {MESSAGE}")
    assert record is not None
    assert (record.app_name, record.pid, record.message) == (tag, pid, message)


@pytest.mark.parametrize(
    "stamp", ["Mar  1 13:06:56", "2026-03-01T13:06:56Z", "2026 Mar 1 13:06:56"]
)
def test_repeated_messages(stamp: str) -> None:
    """A message that the daemon folded counts as often as it says; the raw line stays."""
    for inner in (f"[ {MESSAGE}]", f"[{MESSAGE}]"):
        line = f"{stamp} gate sshd[1]: message repeated 3 times: {inner}"
        record = read(line)
        assert record is not None
        assert (record.message, record.raw, record.count) == (MESSAGE, line, 3)


def test_what_only_looks_repeated() -> None:
    """A count is bounded, and what does not have the daemon's form counts once."""
    assert unwrap_repeated("message repeated 999999999 times: [ x]") == (10**6, "x")
    for text in ("message repeated 0 times: [ x]", "message repeated -1 times: [ x]", "x"):
        assert unwrap_repeated(text) == (1, text)
    assert unwrap_repeated("message repeated 2 times: [ a] b]") == (2, "a] b")


@pytest.mark.parametrize(
    "stamp", ["Mar  1 13:06:56", "2026-03-01T13:06:56Z", "2026 Mar 1 13:06:56"]
)
def test_line_ends(stamp: str) -> None:
    """A carriage return at the end, NUL bytes or a byte order mark before it are no part of it."""
    line = f"{stamp} gate sshd[1]: {MESSAGE}"
    for disguised in (f"{line}\r", f"\ufeff{line}", f"\0\0{line}\r\r"):
        records, strange = parser().parse_text(f"{line}\n{disguised}\n{disguised}")
        assert strange == []
        assert [record.message for record in records] == [MESSAGE] * 3
        assert [record.raw for record in records] == [line] * 3


def test_invalid_utf_8() -> None:
    """Bytes that are no UTF-8 stand in the message as escapes, and nothing else moves."""
    raw = b"Mar  1 13:06:56 gate sshd[1]: Invalid user \xff\xfe from 192.0.2.1 port 2"
    record = read(raw.decode("utf-8", "backslashreplace"))
    assert record is not None
    assert record.message == r"Invalid user \xff\xfe from 192.0.2.1 port 2"


@pytest.mark.parametrize(
    "line",
    [
        "x",
        "-- MARK --",
        "Mar  1 13:06:56",
        "Mar  1 13:06:56 gate last message repeated 2 times",
        "Foo  1 13:06:56 gate sshd[1]: x",
        "Feb 30 13:06:56 gate sshd[1]: x",
        "Mar  0 13:06:56 gate sshd[1]: x",
        "Mar  1 24:06:56 gate sshd[1]: x",
        "Mar  1 13:60:56 gate sshd[1]: x",
        "Mar  1 13:06:61 gate sshd[1]: x",
        "2026-03-01T13:06:61Z gate sshd[1]: x",
        "2026-03-01T13:60:56Z gate sshd[1]: x",
        "2026-02-29T13:06:56Z gate sshd[1]: x",
        "0000-01-01T00:00:00Z gate sshd[1]: x",
        "0001-01-01T00:00:00Z gate sshd[1]: x",
        "9999-12-31T23:59:59Z gate sshd[1]: x",
        "9999 Dec 31 23:59:59 gate sshd[1]: x",
        "2026-03-01T13:06:56+99:99 gate sshd[1]: x",
        "\u0662026-03-01T13:06:56Z gate sshd[1]: x",
    ],
)
def test_no_headers(line: str) -> None:
    """What has no header, or a stamp that no clock shows, is handed back."""
    assert read(line) is None
    assert parser().parse_text(line) == ([], [line])


def test_a_strange_stamp_disturbs_nothing() -> None:
    """After a stamp that cannot be, the lines around it are read as if it were not there."""
    good = ["2026-03-01T13:06:56Z gate su: a", "Mar  1 13:06:57 gate su: b"]
    strange = ["9999-12-31T23:59:59Z gate su: x", "Mar 32 13:06:56 gate su: x"]
    for bad in strange:
        records, _ = parser().parse_text("\n".join([good[0], bad, good[0], good[1], bad, good[1]]))
        assert [record.time - ns(AT) for record in records] == [0, 0, 10**9, 10**9]


STAMPS = [
    *("Oct 26 01:59:59", "Oct 26 02:30:00", "Oct 26 02:10:00", "Oct 26 03:00:00"),
    *("2025-10-26T01:59:59", "2025-10-26T02:30:00", "2025-10-26T02:10:00", "2025-10-26T03:00:00"),
    *("Mar  1 13:06:56", "Mar  1 13:06:57", "Dec 31 23:59:59", "Jan  1 00:00:00", "Feb 30 1:1:1"),
    *(
        "Mar  1 13:06:56.25",
        "Mar 1 13:06:56",
        "Mar  1 13 06:56",
        "Mar  1 13:06:6",
        "Mar  1 13:06:61",
    ),
    *("2026-03-01T13:06:57.123456789Z", "2026-03-01T13:06:58.1234567891Z", "2026-03-01T13:06:59+Z"),
    *("2026-03-01T13:06:56.Z", "2026-03-01T13:06:56.\u0661Z", "2026-03-01T13:06:56+01:00"),
    *(
        "2026-03-01T13:06:61Z",
        "2026-03-01T13:06:60,5Z",
        "2026-03-01 13:06:56",
        "2026-03-01T13.06:56Z",
    ),
    *(
        "2026-03-01T13:06:56Z",
        "2025-12-01T13:06:56.5",
        "2024 Feb 29 01:02:03",
        "<1>Mar 01 13:06:56",
    ),
    *("<2>Mar  1 13:06:56", "<2>Mar  1 13:06:57", "<13>Mar  1 13:07:00", "<2>Mar  1 13:06:61"),
    *(
        "Oct 26 02:30:00 2025",
        "Oct 26 02:10:00 2025",
        "Mar  1 13:06:56 2026",
        "Mar  1 13:06:57 2026",
    ),
    *("Sun Mar  1 13:06:56 2026", "Sun Mar  1 13:06:58 2025", "Mar  1 13:06:61 2026"),
    *("Sun 2026-03-01 13:06:56 UTC", "Sun 2026-03-01 13:06:57 CET", "Sun 2026-03-01 13:06:59 UTC"),
    *(
        "Mar  1 13:06:56 CET",
        "Mar  1 13:06:58 CET",
        "Mar  1 13:06:58.5 CET",
        "Mar  1 13:06:56 2026 CET",
    ),
]
TAGS = [
    *(" gate sshd[1]:", " gate sshd:", " sshd:", " sshd[22]:", " gate su(pam_unix)[2]:", " gate"),
    *(
        "",
        " a b c:",
        " [1]:",
        ":",
        " gate sshd[:",
        " gate sshd[1:",
        " gate sshd]:",
        " gate sshd[]:",
    ),
    *(" gate sshd[1]x:", " gate sshd[x]:", " gate sshd[\u0661]:", " gate sshd[1234567890]:"),
    *(
        " gate sshd[1][2]:",
        " gate sshd 9.1[1]:",
        " gate  sshd[1]:",
        " gate: sshd[1]:",
        " GATE sshd[1]:",
    ),
]
MESSAGES = st.one_of(
    st.sampled_from(["", " ", " x", " message repeated 2 times: [ x]", " x: y", "\r", " x\r"]),
    st.text(max_size=8).map(lambda text: " " + text.replace("\n", "")),
)
LINES = st.one_of(
    st.builds("{}{}{}".format, st.sampled_from(STAMPS), st.sampled_from(TAGS), MESSAGES),
    st.text(max_size=30).filter(lambda text: "\n" not in text),
)


@settings(max_examples=tries(500))
@given(st.lists(LINES, max_size=25), st.sampled_from(["UTC", "Europe/Berlin"]))
def test_both_ways_agree(lines: list[str], zone: str) -> None:
    """Many lines at once give what they give one by one, in any mixture of formats."""
    many, single = parser(zone), parser(zone)
    records, strange = many.parse_text("\n".join(lines))
    cleaned = [line.rstrip("\r").lstrip("\0\ufeff") for line in lines]
    one_by_one = [(line, single.parse(line)) for line in cleaned if line]
    assert records == [record for _, record in one_by_one if record is not None]
    found = [line.rstrip("\r").lstrip("\0\ufeff") for line in strange]
    assert found == [line for line, record in one_by_one if record is None]
    assert many.timestamps.last == single.timestamps.last


WRONG = "Mar  1 13:06:56 gate sshd[7]: Failed password for root from 192.0.2.1 port 2 ssh2"
AGAIN = "Mar  1 13:07:26 gate last message repeated {} times"


def counted(text: str, before: str = "") -> tuple[list[tuple[str | None, str, int]], list[str]]:
    """Process id, message's beginning and count of each record; and the strange lines."""
    parser = HeaderParser(TimestampParser(UTC, reference=ns(NOW.isoformat())), Provenance())
    records, strange = parser.parse_text(text, before)
    assert all(record.raw.endswith(record.message) for record in records)
    return [(one.pid, one.message[:6], one.count) for one in records], strange


def test_last_message_repeated() -> None:
    """sysklogd's words stand for the line right before, as often as they say, one after another."""
    text = "\n".join([WRONG, AGAIN.format(2), AGAIN.format(3), WRONG])
    told = [("7", "Failed", 1), ("7", "Failed", 2), ("7", "Failed", 3), ("7", "Failed", 1)]
    assert counted(text) == (told, [])


@pytest.mark.parametrize(
    "lines",
    [
        [AGAIN.format(2)],
        [WRONG, "a line of nobody", AGAIN.format(2)],
        [WRONG, "Foo  1 13:06:56 gate sshd[1]: x", AGAIN.format(2)],
        [WRONG.replace("gate", "other"), AGAIN.format(2)],
        [WRONG, AGAIN.format(0)],
        [WRONG, AGAIN.format(2) + " more"],
        [WRONG, AGAIN.format(2).replace("13:07", "13:77")],
    ],
)
def test_nothing_that_was_repeated(lines: list[str]) -> None:
    """Where the line before is unknown or another host's, nothing is counted, but told as strange."""
    records, strange = counted("\n".join(lines))
    assert len(records) == min(1, len(lines) - 1)
    assert strange == lines[1 if records else 0 :]


@pytest.mark.parametrize("before", [WRONG, f"x\n{WRONG}\n", f"{WRONG}\n{AGAIN.format(9)}\n"])
def test_repeated_over_a_read(before: str) -> None:
    """The line that is repeated may have been read before; it is not told again."""
    assert counted(AGAIN.format(4), before) == ([("7", "Failed", 4)], [])
    assert counted(AGAIN.format(4), before + "\nstrange\n")[0] == []


@pytest.mark.parametrize("between", ["", "\n", "\r\n", "\0strange\n", "\ufeffstrange\n", "\0\n"])
def test_a_read_ends_anywhere(between: str) -> None:
    """What stands between two lines means the same whether they were read at once or not."""
    before, again = f"{WRONG}\n{between}", AGAIN.format(4)
    records, _ = counted(before + again)
    assert counted(again, before)[0] == records[1:]
