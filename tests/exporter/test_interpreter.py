"""Who is believed: the journal's trusted fields, and the host names of a relay."""

import time
from datetime import UTC
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.core.event import Event
from heptad.exporter.log_record import LogRecord, Provenance
from heptad.exporter.normalize.line_result import RESULTS, LineResult
from heptad.exporter.normalize.normalizer import Normalizer
from heptad.exporter.normalize.provenance import UserIds
from heptad.exporter.normalize.text import normalize_record, normalize_text
from heptad.exporter.parsing.header import HeaderParser
from heptad.exporter.parsing.rulebook import Program
from heptad.exporter.parsing.timestamps import TimestampParser
from tests.support.rulebook import RULEBOOK

WRONG = "Failed password for ann from 192.0.2.7 port 22 ssh2"
SSHD = Provenance(unit="ssh.service", trusted=True, exe="/usr/sbin/sshd", uid=0, transport="syslog")


def record(
    tag: str = "sshd", message: str = WRONG, provenance: Provenance = SSHD, host: str = ""
) -> LogRecord:
    """A record as a source hands it over."""
    return LogRecord(10**18, host or None, tag, "7", message, f"{tag}[7]: {message}", 1, provenance)


def understand(one: LogRecord, user_ids: UserIds | None = None) -> LineResult:
    """What becomes of a record; ``user_ids`` are those of the machine that wrote it."""
    understood = Normalizer(RULEBOOK, "gate", "journal", user_ids=user_ids).classify(one)
    return understood if isinstance(understood, LineResult) else LineResult.EVENT


def altered(**fields: object) -> Provenance:
    """sshd's own origin with other fields."""
    return msgspec.structs.replace(SSHD, **fields)


def test_the_program_itself_is_believed() -> None:
    """sshd's own binary as root is believed, under each of its names and places."""
    for tag, exe in (
        ("sshd", "/usr/sbin/sshd"),
        ("sshd-session", "/usr/lib/openssh/sshd-session"),
        ("sshd", None),
    ):
        assert understand(record(tag, provenance=altered(exe=exe))) is LineResult.EVENT


@pytest.mark.parametrize(
    "provenance",
    [
        altered(exe="/home/mallory/sshd"),
        altered(exe="/usr/bin/logger"),
        altered(exe="/usr/sbin/sshd2"),
        altered(exe="/usr/sbin/sshd\0"),
        altered(exe=""),
        altered(exe="/usr/sbin/sshd (deleted)x"),
        altered(exe="/home/mallory/sshd", uid=1000),
        altered(exe=None, uid=1000),
        altered(exe=None, uid=None),
        altered(uid=1000),
        altered(transport="kernel"),
        altered(exe=None, transport="kernel"),
    ],
    ids=str,
)
@pytest.mark.parametrize("message", [WRONG, "Invalid user x from 192.0.2.7", "no such message"])
def test_nobody_else_is(provenance: Provenance, message: str) -> None:
    """A forged record is no event and is not counted as one that no rule understood."""
    outcome = understand(record(message=message, provenance=provenance))
    if message == "no such message" and provenance.exe == "/usr/sbin/sshd" and provenance.uid:
        # the binary is sshd's: who preloads code into it can write nonsense in its name
        assert outcome is not LineResult.EVENT
    else:
        assert outcome is LineResult.UNTRUSTED


def test_a_forged_line_touches_no_connection() -> None:
    """An end line that another program writes does not end or count sshd's connection."""
    normalizer = Normalizer(RULEBOOK, "gate", "journal")
    forged = altered(exe="/usr/bin/logger", uid=1000)
    end = "Connection closed by authenticating user ann 192.0.2.7 port 22 [preauth]"
    before = normalizer.attempts.dump()
    assert normalizer.classify(record(message=WRONG, provenance=forged)) is LineResult.UNTRUSTED
    assert normalizer.attempts.dump() == before
    assert normalize_record(normalizer, record()) is not None
    before = normalizer.attempts.dump()
    assert normalizer.classify(record(message=end, provenance=forged)) is LineResult.UNTRUSTED
    assert normalizer.attempts.dump() == before


def test_a_user_speaks_of_himself_only() -> None:
    """After the login sshd runs as the user: of that process only the lines of a session count."""
    user = altered(uid=1000)
    bye = "Disconnected from user ann 192.0.2.7 port 22"
    assert understand(record(message=bye, provenance=user)) is not LineResult.NOT_UNDERSTOOD
    accepted = "Accepted password for root from 192.0.2.7 port 22 ssh2"
    assert understand(record(message=accepted, provenance=user)) is LineResult.UNTRUSTED


def test_files_are_not_judged() -> None:
    """A file has no trusted fields: the event says so, and the line is taken for what it says."""
    [event] = normalize_text(f"2026-03-01T12:00:00Z gate sshd[1]: {WRONG}\n")
    assert event.trust == "file"
    trusted = normalize_record(Normalizer(RULEBOOK, "gate", "journal"), record())
    assert trusted is not None
    assert (trusted.trust, trusted.unit) == ("journal", "ssh.service")


def test_accounts_of_their_own(tmp_path: Path) -> None:
    """A daemon with an account of its own is believed under that account, and under no other."""
    polkitd = RULEBOOK.programs["polkitd"]
    assert "polkitd" in polkitd.runs_as
    rule = next(r for r in polkitd.own_rules if not r.ignore and not r.step)
    message = rule.rule.examples[0].message
    passwd = tmp_path / "passwd"
    passwd.write_text(
        "root:x:0:0::/:/bin/sh\npolkitd:x:42:42::/:/bin/false\nann:x:43:43::/:/bin/sh\n"
    )
    for uid, result in ((0, LineResult.EVENT), (42, LineResult.EVENT), (43, LineResult.UNTRUSTED)):
        provenance = altered(exe=min(polkitd.exe), uid=uid)
        assert understand(record("polkitd", message, provenance), UserIds(passwd)) is result


def test_setuid_programs() -> None:
    """su keeps its caller's user id: it is believed for the capabilities that a setuid binary has."""
    message = "(to root) ann on pts/0"
    provenance = altered(exe="/usr/bin/su", uid=1000)
    assert understand(record("su", message, provenance)) is LineResult.UNTRUSTED
    capable = msgspec.structs.replace(provenance, capable=True)
    assert understand(record("su", message, capable)) is LineResult.EVENT
    forged = msgspec.structs.replace(capable, exe="/home/mallory/su")
    assert understand(record("su", message, forged)) is LineResult.UNTRUSTED


def test_capabilities_are_of_setuid_programs_only() -> None:
    """In a user namespace everybody has capabilities: they prove nothing of any other program."""
    for program in set(RULEBOOK.programs.values()):
        for exe in program.exe - program.setuid:
            provenance = altered(exe=exe, uid=1000, capable=True)
            for message in (*examples(program), "pam_unix(x:y): z", "no such message"):
                outcome = understand(record(program.name, message, provenance))
                assert outcome in (
                    LineResult.UNTRUSTED,
                    LineResult.IGNORED,
                    LineResult.OTHER_PROGRAM,
                )
    named = {program.name for program in RULEBOOK.programs.values() if program.setuid}
    assert named == {
        *("sudo", "doas", "su", "pkexec", "passwd", "chfn", "newgrp", "gpasswd", "login_duo"),
        "polkit-agent-helper-1",
    }


def examples(program: Program) -> list[str]:
    """The messages of a program's own rules."""
    return [example.message for rule in program.own_rules for example in rule.rule.examples]


def test_the_helper_of_polkit() -> None:
    """It is setuid, and has no rules but those of PAM."""
    refused = "pam_unix(polkit-1:auth): authentication failure; logname= uid=1000 euid=0 tty= ruser=ann rhost=  user=root"
    helper = "polkit-agent-helper-1"
    provenance = altered(exe=f"/usr/lib/polkit-1/{helper}", uid=1000, capable=True)
    assert understand(record(helper, refused, provenance)) is LineResult.EVENT
    assert understand(record("gdm", refused, provenance)) is LineResult.UNTRUSTED


def test_nonsense_without_rights_is_not_kept() -> None:
    """What a user makes sshd say is no sign that sshd changed its words."""
    provenance = altered(uid=1000, capable=True)
    assert understand(record(message="Qux", provenance=provenance)) is LineResult.UNTRUSTED


def test_nothing_that_happened_is_no_event() -> None:
    """A line that says that something happened 0 times is ignored."""
    message = "0 LOGIN FAILURES ON tty1"
    one = LogRecord(10**18, None, "login", "7", message, message, 1, Provenance())
    assert understand(one) is LineResult.IGNORED


@pytest.mark.parametrize("count", ["7" * 5000, "9999999", "1000000", "0" * 5000 + "1"])
def test_no_count_is_beyond_measure(count: str) -> None:
    """However often a line says that something happened, the count is a number that is stored."""
    message = f"PAM {count} more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.7  user=ann"
    one = LogRecord(10**18, None, "sshd", "7", message, message, 10**6, Provenance())
    event = normalize_record(Normalizer(RULEBOOK, "gate", "auth"), one)
    assert event is None or event.count <= 10**6


def test_results() -> None:
    """A line of another program, a line of no interest and a strange line are told apart."""
    assert understand(record("quux")) is LineResult.OTHER_PROGRAM
    assert understand(record(message="Postponed publickey for a from 192.0.2.7 port 2 ssh2")) is (
        LineResult.IGNORED
    )
    assert understand(record(message="Qux")) is LineResult.NOT_UNDERSTOOD
    assert understand(record(message="")) is LineResult.NOT_UNDERSTOOD
    assert set(RESULTS) == set(LineResult)


def event(normalizer: Normalizer, host: str) -> Event:
    """The event of a line that has this host in its header."""
    header = HeaderParser(TimestampParser(UTC), Provenance())
    one = header.parse(f"2026-03-01T12:00:00Z {host}sshd[1]: {WRONG}")
    assert one is not None
    found = normalize_record(normalizer, one)
    assert found is not None
    return found


def test_host_names() -> None:
    """A line's own host becomes the event's if the configuration lists it, else it is evidence."""
    alone = Normalizer(RULEBOOK, "gate", "auth")
    assert (event(alone, "gate ").host, event(alone, "gate ").log_host) == ("gate", None)
    assert (event(alone, "").host, event(alone, "").log_host) == ("gate", None)
    assert (event(alone, "other ").host, event(alone, "other ").log_host) == ("gate", "other")
    relay = Normalizer(RULEBOOK, "relay", "auth", frozenset({"web1", "web2"}))
    assert (event(relay, "web1 ").host, event(relay, "web1 ").log_host) == ("web1", None)
    assert (event(relay, "evil ").host, event(relay, "evil ").log_host) == ("relay", "evil")


def test_chosen_programs() -> None:
    """With programs named, lines of all others are passed over."""
    normalizer = Normalizer(RULEBOOK, "gate", "auth", programs=frozenset({"sudo", "sshd"}))
    assert {normalizer.program_of(tag) for tag in normalizer.app_names()} == {"sudo", "sshd"}
    assert normalizer.program_of("sshd-session") == "sshd"
    assert normalizer.classify(record("su")) is LineResult.OTHER_PROGRAM
    assert not isinstance(normalizer.classify(record()), LineResult)


def read(lines: list[str]) -> list[Event]:
    """The events of these lines."""
    normalizer = Normalizer(RULEBOOK, "gate", "auth")
    clock = TimestampParser(UTC, reference=time.time_ns())
    records, _ = HeaderParser(clock, Provenance()).parse_text("\n".join(lines))
    return [found for one in records if (found := normalize_record(normalizer, one))]


# sources hand NUL over as an escape
@given(st.text(st.characters(exclude_characters="\n\0", exclude_categories=["Cs"])))
def test_tags_are_never_typed(text: str) -> None:
    """Whatever is typed as a user or host: the event's tags are words of the vocabulary."""
    lines = [
        f"Mar  1 12:00:00 gate sshd[1]: Invalid user {text} from 192.0.2.7 port 22",
        f"Mar  1 12:00:00 {text} sshd[1]: {WRONG}",
        f"Mar  1 12:00:00 gate {text}: {WRONG}",
    ]
    for one in read(lines):
        assert one.host == "gate"
        assert one.source == "auth"
        assert one.action in ("login", "invalid_user")
        assert one.program == "sshd"
