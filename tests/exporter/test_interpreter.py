"""Who is believed: the journal's trusted fields, and the host names of a relay."""

import time
from datetime import UTC

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.core.event import Event
from heptad.exporter.log_record import Origin, Record
from heptad.exporter.normalize.normalizer import (
    RESULTS,
    Interpreter,
    Result,
    interpret_record,
    interpret_text,
)
from heptad.exporter.parsing.header import HeaderParser
from heptad.exporter.parsing.rulebook import Program
from heptad.exporter.parsing.timestamps import Clock
from tests.support.rulebook import RULEBOOK

WRONG = "Failed password for ann from 192.0.2.7 port 22 ssh2"
SSHD = Origin(unit="ssh.service", trusted=True, exe="/usr/sbin/sshd", uid=0, transport="syslog")


def record(
    tag: str = "sshd", message: str = WRONG, origin: Origin = SSHD, host: str = ""
) -> Record:
    """A record as a source hands it over."""
    return (10**18, host or None, tag, "7", message, f"{tag}[7]: {message}", 1, origin)


def understand(one: Record) -> Result:
    """What becomes of a record."""
    understood = Interpreter(RULEBOOK, "gate", "journal").understand(one)
    return understood if isinstance(understood, Result) else Result.EVENT


def altered(**fields: object) -> Origin:
    """sshd's own origin with other fields."""
    return msgspec.structs.replace(SSHD, **fields)


def test_the_program_itself_is_believed() -> None:
    """sshd's own binary as root is believed, under each of its names and places."""
    for tag, exe in (
        ("sshd", "/usr/sbin/sshd"),
        ("sshd-session", "/usr/lib/openssh/sshd-session"),
        ("sshd", None),
    ):
        assert understand(record(tag, origin=altered(exe=exe))) is Result.EVENT


@pytest.mark.parametrize(
    "origin",
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
def test_nobody_else_is(origin: Origin, message: str) -> None:
    """A forged record is no event and is not counted as one that no rule understood."""
    outcome = understand(record(message=message, origin=origin))
    if message == "no such message" and origin.exe == "/usr/sbin/sshd" and origin.uid:
        # the binary is sshd's: who preloads code into it can write nonsense in its name
        assert outcome is not Result.EVENT
    else:
        assert outcome is Result.UNTRUSTED


def test_a_forged_line_touches_no_connection() -> None:
    """An end line that another program writes does not end or count sshd's connection."""
    interpreter = Interpreter(RULEBOOK, "gate", "journal")
    forged = altered(exe="/usr/bin/logger", uid=1000)
    end = "Connection closed by authenticating user ann 192.0.2.7 port 22 [preauth]"
    before = interpreter.attempts.dump()
    assert interpreter.understand(record(message=WRONG, origin=forged)) is Result.UNTRUSTED
    assert interpreter.attempts.dump() == before
    assert interpret_record(interpreter, record()) is not None
    before = interpreter.attempts.dump()
    assert interpreter.understand(record(message=end, origin=forged)) is Result.UNTRUSTED
    assert interpreter.attempts.dump() == before


def test_a_user_speaks_of_himself_only() -> None:
    """After the login sshd runs as the user: of that process only the lines of a session count."""
    user = altered(uid=1000)
    bye = "Disconnected from user ann 192.0.2.7 port 22"
    assert understand(record(message=bye, origin=user)) is not Result.NOT_UNDERSTOOD
    accepted = "Accepted password for root from 192.0.2.7 port 22 ssh2"
    assert understand(record(message=accepted, origin=user)) is Result.UNTRUSTED


def test_files_are_not_judged() -> None:
    """A file has no trusted fields: the event says so, and the line is taken for what it says."""
    [event] = interpret_text(f"2026-03-01T12:00:00Z gate sshd[1]: {WRONG}\n")
    assert event.trust == "file"
    trusted = interpret_record(Interpreter(RULEBOOK, "gate", "journal"), record())
    assert trusted is not None
    assert (trusted.trust, trusted.unit) == ("journal", "ssh.service")


def test_accounts_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon with an account of its own is believed under that account, and under no other."""
    polkitd = RULEBOOK.programs["polkitd"]
    assert "polkitd" in polkitd.runs_as
    rule = next(r for r in polkitd.own_rules if not r.ignore and not r.step)
    message = rule.rule.examples[0].message
    monkeypatch.setattr(
        "heptad.exporter.normalize.normalizer._uids", lambda names: {0, 42 * ("polkitd" in names)}
    )
    for uid, result in ((0, Result.EVENT), (42, Result.EVENT), (43, Result.UNTRUSTED)):
        origin = altered(exe=min(polkitd.exe), uid=uid)
        assert understand(record("polkitd", message, origin)) is result


def test_setuid_programs() -> None:
    """su keeps its caller's user id: it is believed for the capabilities that a setuid binary has."""
    message = "(to root) ann on pts/0"
    origin = altered(exe="/usr/bin/su", uid=1000)
    assert understand(record("su", message, origin)) is Result.UNTRUSTED
    capable = msgspec.structs.replace(origin, capable=True)
    assert understand(record("su", message, capable)) is Result.EVENT
    forged = msgspec.structs.replace(capable, exe="/home/mallory/su")
    assert understand(record("su", message, forged)) is Result.UNTRUSTED


def test_capabilities_are_of_setuid_programs_only() -> None:
    """In a user namespace everybody has capabilities: they prove nothing of any other program."""
    for program in set(RULEBOOK.programs.values()):
        for exe in program.exe - program.setuid:
            origin = altered(exe=exe, uid=1000, capable=True)
            for message in (*examples(program), "pam_unix(x:y): z", "no such message"):
                outcome = understand(record(program.name, message, origin))
                assert outcome in (Result.UNTRUSTED, Result.IGNORED, Result.OTHER_PROGRAM)
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
    origin = altered(exe=f"/usr/lib/polkit-1/{helper}", uid=1000, capable=True)
    assert understand(record(helper, refused, origin)) is Result.EVENT
    assert understand(record("gdm", refused, origin)) is Result.UNTRUSTED


def test_nonsense_without_rights_is_not_kept() -> None:
    """What a user makes sshd say is no sign that sshd changed its words."""
    origin = altered(uid=1000, capable=True)
    assert understand(record(message="Qux", origin=origin)) is Result.UNTRUSTED


@pytest.mark.parametrize("count", ["7" * 5000, "9999999", "1000000", "0" * 5000 + "1"])
def test_no_count_is_beyond_measure(count: str) -> None:
    """However often a line says that something happened, the count is a number that is stored."""
    message = f"PAM {count} more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.7  user=ann"
    one = (10**18, None, "sshd", "7", message, message, 10**6, Origin())
    event = interpret_record(Interpreter(RULEBOOK, "gate", "auth"), one)
    assert event is None or event.count <= 10**6


def test_results() -> None:
    """A line of another program, a line of no interest and a strange line are told apart."""
    assert understand(record("quux")) is Result.OTHER_PROGRAM
    assert understand(record(message="Postponed publickey for a from 192.0.2.7 port 2 ssh2")) is (
        Result.IGNORED
    )
    assert understand(record(message="Qux")) is Result.NOT_UNDERSTOOD
    assert understand(record(message="")) is Result.NOT_UNDERSTOOD
    assert set(RESULTS) == set(Result)


def event(interpreter: Interpreter, host: str) -> Event:
    """The event of a line that has this host in its header."""
    header = HeaderParser(Clock(UTC), Origin())
    one = header.parse(f"2026-03-01T12:00:00Z {host}sshd[1]: {WRONG}")
    assert one is not None
    found = interpret_record(interpreter, one)
    assert found is not None
    return found


def test_host_names() -> None:
    """A line's own host becomes the event's if the configuration lists it, else it is evidence."""
    alone = Interpreter(RULEBOOK, "gate", "auth")
    assert (event(alone, "gate ").host, event(alone, "gate ").log_host) == ("gate", None)
    assert (event(alone, "").host, event(alone, "").log_host) == ("gate", None)
    assert (event(alone, "other ").host, event(alone, "other ").log_host) == ("gate", "other")
    relay = Interpreter(RULEBOOK, "relay", "auth", frozenset({"web1", "web2"}))
    assert (event(relay, "web1 ").host, event(relay, "web1 ").log_host) == ("web1", None)
    assert (event(relay, "evil ").host, event(relay, "evil ").log_host) == ("relay", "evil")


def test_chosen_programs() -> None:
    """With programs named, lines of all others are passed over."""
    interpreter = Interpreter(RULEBOOK, "gate", "auth", programs=frozenset({"sudo", "sshd"}))
    assert {interpreter.program_of(tag) for tag in interpreter.tags()} == {"sudo", "sshd"}
    assert interpreter.program_of("sshd-session") == "sshd"
    assert interpreter.understand(record("su")) is Result.OTHER_PROGRAM
    assert not isinstance(interpreter.understand(record()), Result)


def read(lines: list[str]) -> list[Event]:
    """The events of these lines."""
    interpreter = Interpreter(RULEBOOK, "gate", "auth")
    clock = Clock(UTC, reference=time.time_ns())
    records, _ = HeaderParser(clock, Origin()).parse_text("\n".join(lines))
    return [found for one in records if (found := interpret_record(interpreter, one))]


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
