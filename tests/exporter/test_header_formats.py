"""Headers beyond RFC 3164, 3339 and 5424: what other daemons, journalctl and relays write."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.exporter.log_record import LogRecord, Provenance
from heptad.exporter.parsing.header import HeaderParser
from heptad.exporter.parsing.timestamps import TimestampParser
from tests.support.moments import ns

NOW = datetime(2026, 11, 29, tzinfo=UTC)
MESSAGE = "Failed password for alice from 203.0.113.7 port 4711 ssh2"


def parser(zone: str = "UTC", locale: str | None = None) -> HeaderParser:
    """A parser of a log that is read now."""
    clock = TimestampParser(ZoneInfo(zone), reference=ns(NOW.isoformat()))
    return HeaderParser(clock, Provenance(), locale, {"sshd", "sudo", "su"})


def who_and_what(record: LogRecord) -> tuple[str | None, str, str | None, str]:
    """Host, program, process id and message."""
    return record.host, record.app_name, record.pid, record.message


def read(line: str, zone: str = "UTC", locale: str | None = None) -> LogRecord | None:
    """The record of one line, the same however often it came before."""
    header = parser(zone, locale)
    records, strange = header.parse_text("\n".join([line] * 3))
    assert len(records) + len(strange) == 3
    assert len(set(records)) <= 1
    return records[0] if records else None


FEB = "2026-02-26T06:02:30+00:00"
MAR = "2026-03-03T10:00:00+00:00"
SSHD = f"sshd[125]: {MESSAGE}"


@pytest.mark.parametrize(
    "header, time, host",
    [
        # BusyBox' syslogd, and with -S; OpenWrt's logread, and with -t
        ("Feb 26 06:02:30 web-1 auth.info ", FEB, "web-1"),
        ("Feb 26 06:02:30 auth.info ", FEB, ""),
        ("Feb 26 06:02:30 web-1 local7.notice ", FEB, "web-1"),
        ("Thu Feb 26 06:02:30 2026 authpriv.notice ", FEB, ""),
        ("Thu Feb 26 06:02:30 2026 [1772085750.123] auth.info ", FEB, ""),
        # FreeBSD's syslogd -vv and -v, and what it forwards
        ("Feb 26 06:02:30 <auth.info> web-1 ", FEB, "web-1"),
        ("Feb 26 06:02:30 <4.6> web-1 ", FEB, "web-1"),
        ("Feb 26 06:02:30 <16.6> web-1 ", FEB, "web-1"),
        # NetBSD's syslogd -v and -vv, and with PRI
        ("<4.6>Feb 26 06:02:30 web-1 ", FEB, "web-1"),
        ("<auth.info>Feb 26 06:02:30 web-1 ", FEB, "web-1"),
        ("<38><auth.info>Feb 26 06:02:30 web-1 ", FEB, "web-1"),
        ("<authpriv.info>2026-02-26T06:02:30.000000+00:00 web-1 ", FEB, "web-1"),
        ("Feb 26 06:02:30 relay Forwarded from web-1: ", FEB, "web-1"),
        ("Feb 26 06:02:30 Message forwarded from web-1: ", FEB, "web-1"),
        # journalctl -o short-full, with-unit's stamp, short-unix, short-iso, short-iso-precise
        ("Thu 2026-02-26 06:02:30 UTC web-1 ", FEB, "web-1"),
        ("Thu 2026-02-26 07:02:30 CET web-1 ", FEB, "web-1"),
        ("Thu 2026-02-26 03:02:30 -03 web-1 ", FEB, "web-1"),
        ("Thu 2026-02-26 11:47:30 +0545 web-1 ", FEB, "web-1"),
        ("Thu 2026-02-26 06:02:30.250000 UTC web-1 ", "2026-02-26T06:02:30.25+00:00", "web-1"),
        ("1772085750.123456 web-1 ", "2026-02-26T06:02:30.123456+00:00", "web-1"),
        ("2026-02-26T06:02:30+0000 web-1 ", FEB, "web-1"),
        ("2026-02-26T06:02:30.123456+00:00 web-1 ", "2026-02-26T06:02:30.123456+00:00", "web-1"),
        ("Feb 26 06:02:30.123456 web-1 ", "2026-02-26T06:02:30.123456+00:00", "web-1"),
        # macOS' log show --style syslog
        ("2026-03-03 03:00:00.5-0700  web-1 ", "2026-03-03T10:00:00.5+00:00", "web-1"),
        # other orders of a date, and zones
        ("26 Feb 2026 06:02:30 web-1 ", FEB, "web-1"),
        ("26 Feb 06:02:30 web-1 ", FEB, "web-1"),
        ("Thu, 26 Feb 2026 07:02:30 +0100 web-1 ", FEB, "web-1"),
        ("Thu Feb 26 06:02:30 UTC 2026 web-1 ", FEB, "web-1"),
        ("Thu Feb 26 06:02:30 web-1 ", FEB, "web-1"),
        ("Feb 26 06:02:30 2026 web-1 ", FEB, "web-1"),
        ("Feb 26 06:02:30 2026 ", FEB, ""),
        ("Feb 26 06:02:30 UTC web-1 ", FEB, "web-1"),
        ("Feb 26 06:02:30 UTC ", FEB, ""),
        ("<38>Thu Feb 26 06:02:30 2026 web-1 ", FEB, "web-1"),
        ("2026-02-26 07:02:30 +0100 web-1 ", FEB, "web-1"),
        ("2026-02-26 06:02:30 UTC web-1 ", FEB, "web-1"),
        ("2026/02/26 06:02:30 web-1 ", FEB, "web-1"),
        ("2026-02-26, 06:02:30 web-1 ", FEB, "web-1"),
        ("2026-02-26_06:02:30.00000 web-1 ", FEB, "web-1"),
        # two blanks, and facility and severity in other places and forms
        ("Feb 26 06:02:30  web-1 ", FEB, "web-1"),
        ("Feb 26 06:02:30 web-1  ", FEB, "web-1"),
        ("Feb 26 06:02:30  ", FEB, ""),
        ("Feb 26 06:02:30 web-1 [auth.info] ", FEB, "web-1"),
        ("Feb 26 06:02:30 web-1 <38>", FEB, "web-1"),
        ("2026-02-26T06:02:30Z web-1 auth.info ", FEB, "web-1"),
        # socklog, and lines in lines
        ("2026-03-03T10:00:01.12345 auth.info: Mar  3 10:00:00 ", MAR, ""),
        ("Mar  3 10:00:01 relay Mar  3 10:00:00 web-1 ", MAR, "web-1"),
        ("Mar  3 10:00:01 relay <38>Mar  3 10:00:00 web-1 ", MAR, "web-1"),
        ("Mar  3 10:00:01 relay 2026-03-03T10:00:00Z web-1 ", MAR, "web-1"),
        ("2026-03-03T10:00:01Z relay 2026-03-03T10:00:00Z web-1 ", MAR, "web-1"),
        ("2026-03-03T10:00:01Z relay Mar  3 10:00:00 ", MAR, "relay"),
        ("2026-03-03T10:00:01.5Z stdout F Mar  3 10:00:00 web-1 ", MAR, "web-1"),
        ("2026-03-03t10:00:00z web-1 ", MAR, "web-1"),
    ],
)
def test_headers(header: str, time: str, host: str) -> None:
    """Each daemon's stamp, host and decoration is read, and no part of the message."""
    line = f"{header}{SSHD}"
    assert read(line) == LogRecord(ns(time), host, "sshd", "125", MESSAGE, line, 1, Provenance())


@pytest.mark.parametrize(
    "line",
    [
        f"1 2026-03-03T10:00:00Z web-1 sshd 125 - - {MESSAGE}",
        f"98 <38>1 2026-03-03T10:00:00Z web-1 sshd 125 - - {MESSAGE}",
        f"2026-03-03T10:00:00Z web-1 sshd 125 - - {MESSAGE}",
        f'2026-03-03T10:00:00+00:00 web-1 sshd 125 ID47 [a@1 b="]"] {MESSAGE}',
        f"Mar  3 10:00:01 relay 1 2026-03-03T10:00:00Z web-1 sshd 125 - - {MESSAGE}",
        f"Mar  3 10:00:01 relay <38>1 2026-03-03T10:00:00Z web-1 sshd 125 - - {MESSAGE}",
        f"2026-03-03T10:00:00Z web-1 sshd[125] {MESSAGE}",
        f"Mar  3 10:00:00 web-1 sshd[125] {MESSAGE}",
        f"<auth.info>2026-03-03T10:00:00Z web-1 sshd 125 - - {MESSAGE}",
        f"<38>1 <4.6>2026-03-03T10:00:00.0Z web-1 sshd 125 - - {MESSAGE}",
        f"Mar  3 10:00:00 web-1 sshd[125]:{MESSAGE}",
        f"Mar  3 10:00:00 web-1 /usr/sbin/sshd[125]: {MESSAGE}",
        f"2026-03-03T10:00:00Z web-1 /usr/libexec/sshd[125]: {MESSAGE}",
        f"Mar  3 10:00:00 web-1 sshd[125] <Info>: {MESSAGE}",  # macOS' syslog(1)
        f"Mar  3 10:00:00 web-1 sshd[125] (libpam.2.dylib) <Notice>: {MESSAGE}",
    ],
)
def test_rfc_5424_through_another_daemon(line: str) -> None:
    """A receiver that dropped the PRI, the version or the colon leaves a header that is read."""
    assert read(line) == LogRecord(ns(MAR), "web-1", "sshd", "125", MESSAGE, line, 1, Provenance())


@pytest.mark.parametrize(
    "line, tag, message",
    [
        ("Mar  3 10:00:00 [sshd] error: PAM: x", "sshd", "error: PAM: x"),
        ("Mar  3 10:00:00.123: %SEC_LOGIN-4-LOGIN_FAILED: x", "%SEC_LOGIN-4-LOGIN_FAILED", "x"),
        ("Mar  3 10:00:00.123 UTC: %SEC_LOGIN-4-FAILED: x", "%SEC_LOGIN-4-FAILED", "x"),
        ("000123: *Mar  3 10:00:00: %SYS-5-CONFIG: x", "%SYS-5-CONFIG", "x"),
        ("Mar  3 2026 10:00:00: %ASA-6-605004: x", "%ASA-6-605004", "x"),
        ("Mar  3 2026 10:00:00 fw-1 : %ASA-6-605004: x", "%ASA-6-605004", "x"),
        ("Mar  3 10:00:00 web-1 auth.info kernel: x", "kernel", "x"),
        ("2026-03-03T10:00:00+00:00 web-1 sudo alice : TTY=pts/0", "sudo", "alice : TTY=pts/0"),
        ("Mar  3 10:00:00 web-1 su pam_unix(su:auth): x", "su", "pam_unix(su:auth): x"),
        ("2026-03-03T10:00:00Z web-1 sudo - - - sudo: x", "sudo", "x"),
        ("Mar  3 10:00:00 [su(pam_unix)] x", "su", "pam_unix(su): x"),
        ("Mar  3 10:00:00 [/usr/sbin/cron] x", "cron", "x"),
    ],
)
def test_programs(line: str, tag: str, message: str) -> None:
    """metalog's program in brackets and Cisco's mnemonic are the tag."""
    record = read(line)
    assert record is not None
    assert (record.app_name, record.pid, record.message) == (tag, "", message)


@pytest.mark.parametrize(
    "line",
    [
        "[12345.678901] web-1 sshd[1]: x",  # journalctl -o short-monotonic, short-delta
        "[12345.678901 <    0.000012 >] web-1 sshd[1]: x",
        "Failed password for alice from 203.0.113.7 port 4711 ssh2",
        '{"MESSAGE":"x","SYSLOG_IDENTIFIER":"sshd"}',
        "Thu 2026-02-26 06:02:34.123456 UTC [s=1;i=2;b=3;m=4;t=5;x=6]",
        "    MESSAGE=Failed password",
        "__CURSOR=s=1;i=2",
        "-- Boot 0123456789abcdef --",
        "                - Last output repeated 9 times -",
        '127.0.0.1 - - [26/Feb/2026:06:02:30 +0000] "GET /x: HTTP/1.1" 200 1',
        "Mar  3 10:00:00 web-1 no tag in here",
        "Mar  3 10:00:00 [10.0.0.1.2.3] x",
        "1772085750.123 12 10.0.0.1 TCP_MISS/200 512 GET http://h/ - DIRECT",
        "Feb 30 06:02:28 <auth.info> web-1 sshd[1]: x",
        "Thu 2026-02-30 06:02:34 UTC web-1 sshd[1]: x",
        "Xyz 2026-02-26 06:02:34 UTC web-1 sshd[1]: x",
        "99999999999.1 web-1 sshd[1]: x",
    ],
)
def test_no_headers(line: str) -> None:
    """What names no time, or no program, is handed back, and leaves the log's clock as it was."""
    header = parser()
    header.parse_text("Feb 26 06:02:28 web-1 su: x")
    last = header.timestamps.last
    assert header.parse_text(line) == ([], [line])
    assert header.timestamps.last == last


@pytest.mark.parametrize(
    "message, tag",
    [
        ("   alice : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id", "sudo"),
        ("alice : HOST=web-1 ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id", "sudo"),
        ("bob : user NOT in sudoers ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh", "sudo"),
        ("bob : (command continued) x", "sudo"),
        ("(to root) alice on pts/0", "su"),
        ("FAILED SU (to root) alice on pts/0", "su"),
        ("pam_unix(su:session): session closed for user root", "su"),
        ("alice: TTY=pts/0", "session-3"),
        ("Accepted password for root from 203.0.113.7 port 22 ssh2", "session-3"),
    ],
)
def test_what_a_user_started(message: str, tag: str) -> None:
    """In a user's session the unit names no program; sudo and su are known by their form."""
    record = read(f"Thu 2026-02-26 06:02:30 UTC web-1 session-3.scope[125]: {message}")
    assert record is not None
    assert (record.app_name, record.pid, record.message) == (tag, "125", message)


@pytest.mark.parametrize(
    "unit, tag",
    [
        ("ssh.service", "sshd"),
        ("sshd.service", "sshd"),
        ("sshd@0-203.0.113.5:22-203.0.113.7:50022.service", "sshd"),
        ("sshd@12-2001:db8::5:22-2001:db8::7:50022.service", "sshd"),
        ("cron.service", "cron"),
        ("systemd-logind.service", "systemd-logind"),
        ("session-3.scope", "session-3"),
        ("user@1000.service/app.service", "user"),
    ],
)
def test_units(unit: str, tag: str) -> None:
    """`journalctl -o with-unit` names the unit: mostly the program's, and PAM's lines name theirs."""
    head = f"Thu 2026-02-26 06:02:30 UTC web-1 {unit}[125]: "
    record = read(head + MESSAGE)
    assert record is not None
    assert who_and_what(record) == ("web-1", tag, "125", MESSAGE)
    pam = "pam_unix(sudo:session): session opened for user root by alice(uid=1000)"
    record = read(head + pam)
    assert record is not None
    assert who_and_what(record) == ("web-1", "sudo", "125", pam)


def test_a_zone_of_the_source_keeps_its_name() -> None:
    """IST is India's where the source is in India, and the hour that comes twice is told apart."""
    record = read(f"Thu 2026-02-26 11:32:30 IST web-1 {SSHD}", "Asia/Kolkata")
    assert record is not None
    assert record.time == ns(FEB)
    for name, time in (("CEST", "2026-10-25T00:30:00+00:00"), ("CET", "2026-10-25T01:30:00+00:00")):
        record = read(f"Sun 2026-10-25 02:30:00 {name} web-1 {SSHD}", "Europe/Berlin")
        assert record is not None
        assert record.time == ns(time)


@pytest.mark.parametrize(
    "name", ["nov.", "nov", "Nov.", "11月", "11월", "Thg 11", "de nov.", "лис", "marras", "Νοε"]
)
def test_months_of_locales(name: str) -> None:
    """The month's name of any locale is read without a setting where it is the name of one only."""
    line = f"{name} 28 19:46:01 web-1 {SSHD}"
    record = read(line)
    assert record is not None
    assert record == LogRecord(
        ns("2026-11-28T19:46:01+00:00"), "web-1", "sshd", "125", MESSAGE, line, 1, Provenance()
    )


def test_a_name_of_two_months_needs_the_locale() -> None:
    """`lip` is June in Croatian and July in Polish: without a locale it is a problem, and unread."""
    line, header = f"lip 28 19:46:01 web-1 {SSHD}", parser()
    assert header.parse_text(line) == ([], [line])
    assert header.problem is not None
    assert "`lip` is month 6 in hr_HR, month 7 in " in header.problem
    for locale, time in (("hr_HR", "2026-06-28T19:46:01Z"), ("pl_PL", "2026-07-28T19:46:01Z")):
        record = read(line, locale=locale)
        assert record is not None
        assert record.time == ns(time)


def test_an_english_name_is_english() -> None:
    """`Jan` is January, unless the source's locale is the one in which it is June."""
    line = f"Jan 28 19:46:01 web-1 {SSHD}"
    for locale, time in ((None, "2026-01-28T19:46:01Z"), ("st_ZA", "2026-06-28T19:46:01Z")):
        record = read(line, locale=locale)
        assert record is not None
        assert record.time == ns(time)


STAMPS = ["Mar  3 10:00:00", "2026-03-03T10:00:00Z", "Thu Mar 3 10:00:00 2026", "1772532000.1"]
PLACES = [" web-1 sshd[1]: x", " auth.info sshd[1]: x", " <4.6> web-1 su: x", " [su] x", " web-1 x"]


@given(st.lists(st.builds("{}{}".format, st.sampled_from(STAMPS), st.sampled_from(PLACES))))
def test_any_mixture(lines: list[str]) -> None:
    """Lines of several daemons in one file are each read as if they were alone."""
    records, strange = parser().parse_text("\n".join(lines))
    alone = [parser().parse(line) for line in lines]
    assert records == [record for record in alone if record is not None]
    assert len(records) + len(strange) == len(lines)
