"""Count answers, not key offers: what sshd tells of one connection counts as its user's answers."""

from datetime import UTC, datetime, timedelta

import pytest

from heptad.core.event import Event
from heptad.exporter.log_record import Provenance
from heptad.exporter.normalize.normalizer import Normalizer
from heptad.exporter.normalize.text import normalize_record
from heptad.exporter.parsing.header import HeaderParser
from heptad.exporter.parsing.timestamps import TimestampParser
from tests.support.rulebook import RULEBOOK

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
PEER = "192.0.2.7 port 50022"
NAMED = f"ann {PEER}"

CONNECTED = f"Connection from {PEER} on 192.0.2.1 port 22"
INVALID = f"Invalid user ann from {PEER}"
WRONG = f"Failed password for ann from {PEER} ssh2"
RIGHT = f"Accepted password for ann from {PEER} ssh2"
NO_KEY = f"Failed publickey for ann from {PEER} ssh2: ED25519 SHA256:Zm9vYmFyYmF6cXV4"
NONE = f"Failed none for ann from {PEER} ssh2"
GOOD_KEY = f"Accepted publickey for ann from {PEER} ssh2: ED25519 SHA256:Zm9vYmFyYmF6cXV4"
POSTPONED = f"Postponed keyboard-interactive for ann from {PEER} ssh2 [preauth]"
PAM = "error: PAM: Authentication failure for ann from 192.0.2.7"
NOT_PAM = f"Failed keyboard-interactive/pam for ann from {PEER} ssh2"
PAM_RIGHT = f"Accepted keyboard-interactive/pam for ann from {PEER} ssh2"
PARTIAL = f"Partial publickey for ann from {PEER} ssh2: ED25519 SHA256:Zm9vYmFyYmF6cXV4"
CLOSED = f"Connection closed by authenticating user {NAMED} [preauth]"
CLOSED_INVALID = f"Connection closed by invalid user {NAMED} [preauth]"
RESET = f"Connection reset by authenticating user {NAMED} [preauth]"
GONE = f"Disconnected from authenticating user {NAMED} [preauth]"
NOBODY_GONE = f"Connection closed by {PEER} [preauth]"
TOO_MANY = f"error: maximum authentication attempts exceeded for ann from {PEER} ssh2 [preauth]"
TOO_MANY_2 = (
    f"Disconnecting authenticating user {NAMED}: Too many authentication failures [preauth]"
)
DENIED = "fatal: Access denied for user ann by PAM account configuration [preauth]"
TIMEOUT = f"fatal: Timeout before authentication for {PEER}"
BYE = f"Received disconnect from {PEER}:11: disconnected by user"
LOGGED_OUT = f"Disconnected from user {NAMED}"
UNIX = "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.7  user=ann"

Line = tuple[float, int, str]
"""Seconds after the beginning, process id, message."""


def write(line: Line) -> str:
    """A line of a file."""
    seconds, pid, message = line
    stamp = BEGIN + timedelta(seconds=seconds)
    return f"{stamp:%Y-%m-%dT%H:%M:%S.%fZ} gate sshd[{pid}]: {message}"


def interpret(*messages: str | Line) -> list[Event]:
    """The events of these messages, of process 1 and a second apart where nothing else is said."""
    lines = [(n, 1, m) if isinstance(m, str) else m for n, m in enumerate(messages)]
    return interpret_lines(list(map(write, lines)))


def interpret_lines(lines: list[str]) -> list[Event]:
    """The events of lines with their headers."""
    normalizer = Normalizer(RULEBOOK, "gate", "text")
    records, strange = HeaderParser(TimestampParser(UTC), Provenance()).parse_text("\n".join(lines))
    assert strange == []
    return [event for record in records if (event := normalize_record(normalizer, record))]


def logins(*messages: str | Line) -> list[str]:
    """The logins among them: outcome, method, and how often if more than once."""
    return [
        f"{event.outcome} {event.method}" + (f" x{event.count}" if event.count > 1 else "")
        for event in interpret(*messages)
        if event.action == "login"
    ]


FAILED, ACCEPTED = "failure password", "success password"
PAM_FAILED = "failure keyboard-interactive"


@pytest.mark.parametrize(
    "messages, expected",
    [
        ([RIGHT], [ACCEPTED]),
        ([WRONG], [FAILED]),
        ([UNIX, WRONG, CLOSED], [FAILED]),
        ([WRONG, WRONG, WRONG, CLOSED], [FAILED] * 3),
        ([WRONG, WRONG, RIGHT, BYE, LOGGED_OUT], [FAILED, FAILED, ACCEPTED]),
        ([WRONG, f"message repeated 2 times: [ {WRONG}]", CLOSED], [FAILED, FAILED + " x2"]),
        ([UNIX, PAM, NOT_PAM, CLOSED], [PAM_FAILED]),
        ([PAM, NOT_PAM, POSTPONED, PAM, NOT_PAM, CLOSED], [PAM_FAILED] * 2),
        ([PAM, NOT_PAM, POSTPONED, PAM_RIGHT], [PAM_FAILED, "success keyboard-interactive"]),
        ([PAM, CLOSED], [PAM_FAILED]),
        ([NOT_PAM, CLOSED], [PAM_FAILED]),
        ([POSTPONED, CLOSED], ["failure none"]),
        ([NONE, NO_KEY, NO_KEY, NO_KEY, NO_KEY, GOOD_KEY], ["success publickey"]),
        ([NONE, NO_KEY, WRONG, CLOSED], [FAILED]),
        ([NO_KEY, NO_KEY, CLOSED], ["failure publickey"]),
        ([NONE, CLOSED], ["failure none"]),
        (
            [f"Failed hostbased for ann from {PEER} ssh2: RSA SHA256:Zm9vYmFy", CLOSED],
            ["failure hostbased"],
        ),
        ([PARTIAL, RIGHT], [ACCEPTED]),
        ([PARTIAL, WRONG, CLOSED], [FAILED]),
        ([NO_KEY, TOO_MANY, TOO_MANY_2, CLOSED], ["failure publickey"]),
        ([WRONG, WRONG, TOO_MANY, TOO_MANY_2], [FAILED, FAILED]),
        ([TOO_MANY, GONE, CLOSED], ["failure none"]),
        ([DENIED, CLOSED], ["failure none"]),
        ([CLOSED], ["failure none"]),
        ([RESET], ["failure none"]),
        ([GONE], ["failure none"]),
        ([INVALID, NOBODY_GONE], ["failure none"]),
        ([INVALID, CLOSED_INVALID], ["failure none"]),
        ([NO_KEY, TIMEOUT], ["failure publickey"]),
        ([TIMEOUT], []),
        ([CONNECTED, NOBODY_GONE], []),
        ([NOBODY_GONE], []),
        ([NO_KEY, NONE], []),
        ([RIGHT, NOBODY_GONE], [ACCEPTED]),
    ],
)
def test_one_connection(messages: list[str], expected: list[str]) -> None:
    """Answers count, offers do not, and a connection that names a user and ends counts once."""
    assert logins(*messages) == expected
    assert logins(CONNECTED, *messages) == expected


def test_offers_are_events_of_their_own() -> None:
    """A refused key is an offer; PAM's second line of one attempt is an authentication."""
    assert [e.action for e in interpret(NO_KEY, NONE, GOOD_KEY)] == ["offer", "offer", "login"]
    assert [e.action for e in interpret(PAM, NOT_PAM)] == ["login", "authentication"]


def test_what_the_end_line_does_not_say() -> None:
    """A login that an end line counts has user, address and method from the lines before it."""
    event = interpret(
        INVALID, f"Failed publickey for invalid user ann from {PEER} ssh2", NOBODY_GONE
    )[-1]
    assert (event.action, event.outcome, event.method) == ("login", "failure", "publickey")
    assert (event.user, event.source_ip, event.source_port) == ("ann", "192.0.2.7", 50022)
    denied = interpret(NO_KEY, DENIED)[-1]
    assert (denied.action, denied.reason, denied.user) == ("login", "access_denied", "ann")
    assert denied.source_ip == "192.0.2.7"


def test_a_name_cannot_leave_its_field() -> None:
    """A user name with quotes and commas is carried to the end line as it was."""
    name = 'x",source_ip="203.0.113.9\\'
    event = interpret(f"Invalid user {name} from {PEER}", NOBODY_GONE)[-1]
    assert (event.action, event.user, event.source_ip) == ("login", name, "192.0.2.7")


LISTENER = (
    "Timeout before authentication for connection from 192.0.2.7 to 192.0.2.1, pid = {} (early)"
)


def test_a_time_out_told_by_the_listener() -> None:
    """Since 9.8 the listener tells the time-out: it counts for the child that it names."""
    timeout = LISTENER.removesuffix(" (early)")
    assert logins((0, 71, NO_KEY), (1, 72, INVALID), (9, 5, timeout.format(71))) == [
        "failure publickey"
    ]
    assert logins((0, 71, WRONG), (9, 5, timeout.format(71))) == [FAILED]
    assert logins((0, 71, CONNECTED), (9, 5, timeout.format(71))) == []
    both = [(9.0, 5, timeout.format(pid)) for pid in (71, 72)]
    assert logins((0, 71, INVALID), (1, 72, NO_KEY), *both) == ["failure none", "failure publickey"]


def test_process_ids_recur() -> None:
    """A new connection with an old process id is another: by its start, port, age, or after its end."""
    other = CLOSED.replace("50022", "50023")
    assert logins(WRONG, CLOSED) == [FAILED]
    assert logins(WRONG, CONNECTED, CLOSED) == [FAILED, "failure none"]
    assert logins(WRONG, other) == [FAILED, "failure none"]
    assert logins((0, 1, WRONG), (600, 1, CLOSED)) == [FAILED]
    assert logins((0, 1, WRONG), (601, 1, CLOSED)) == [FAILED, "failure none"]
    assert logins((0, 1, CLOSED), (1, 1, CLOSED)) == ["failure none"]
    assert logins((0, 1, CLOSED), (60, 1, other)) == ["failure none"] * 2
    assert logins((0, 1, RIGHT), (60, 1, other)) == [ACCEPTED, "failure none"]
    assert logins((0, 1, CLOSED), (601, 1, CLOSED)) == ["failure none"] * 2
    assert logins((0, 1, NO_KEY), (601, 1, NOBODY_GONE)) == []


@pytest.mark.parametrize("seconds", [5, 11, 60, 599])
def test_a_late_end_line_counts_no_more(seconds: float) -> None:
    """sshd may tell the end of a connection again long after: process id and port are its own."""
    kicked = f"Disconnecting authenticating user {NAMED}: Change of username or service not allowed"
    assert logins((0, 1, kicked), (seconds, 1, CLOSED)) == ["failure none"]
    assert logins((0, 1, RIGHT), (seconds, 1, CLOSED)) == [ACCEPTED]


def test_an_end_that_is_repeated_counts_once() -> None:
    """A connection ends but once, however often syslog says that the line came."""
    repeated = f"message repeated 5 times: [ {CLOSED_INVALID}]"
    assert logins(repeated) == logins(INVALID, repeated) == ["failure none"]
    assert [event.count for event in interpret(repeated)] == [1]


@pytest.mark.parametrize("method, expected", [("bsdauth", 3), ("skey", 3), ("pam", 1)])
def test_only_what_pam_tells_is_told_twice(method: str, expected: int) -> None:
    """Three wrong answers by another device than PAM have three lines: three logins."""
    line = NOT_PAM.replace("/pam", f"/{method}")
    assert logins(line, line, line, CLOSED) == [PAM_FAILED] * expected


@pytest.mark.parametrize(
    "end",
    [
        f"ssh_dispatch_run_fatal: Connection from user {NAMED}: Broken pipe",
        f"Connection from user {NAMED} timed out",
        f"Disconnecting user {NAMED}: Packet corrupt",
        f"Disconnecting user {NAMED}: x 203.0.113.9 port 1: y",
        f"Unable to negotiate with user {NAMED}: no matching cipher found. Their offer: x",
        f"Connection closed by user {NAMED}",
        f"Connection reset by user {NAMED}",
        f"Timeout, client not responding from user {NAMED}",
        LOGGED_OUT,
    ],
)
def test_the_end_of_a_session_is_no_login(end: str) -> None:
    """What sshd says of `user ann` it says after the login, in a process of its own."""
    assert logins((0, 100, RIGHT), (3600, 101, end)) == [ACCEPTED]
    assert logins((3600, 101, end)) == []


def without_pid(*messages: str) -> list[Event]:
    """The events of these messages, a second apart and written without a process id."""
    lines = [write((n, 1, message)).replace("[1]", "") for n, message in enumerate(messages)]
    return [event for event in interpret_lines(lines) if event.action == "login"]


def test_without_a_process_id() -> None:
    """Where the tag has no process id, address and port tell the connections apart."""
    elsewhere = [m.replace("192.0.2.7", "192.0.2.8") for m in (INVALID, CLOSED_INVALID)]
    next_port = [m.replace("50022", "50023") for m in (INVALID, CLOSED_INVALID)]
    assert len(without_pid(INVALID, CLOSED_INVALID, *elsewhere, *next_port)) == 3
    assert len(without_pid(INVALID, elsewhere[0], next_port[0], elsewhere[1], next_port[1])) == 2
    assert len(without_pid(WRONG, elsewhere[0], CLOSED, elsewhere[1])) == 2
    assert len(without_pid(PAM, NOT_PAM, PAM, NOT_PAM, CLOSED)) == 2
    assert len(without_pid(DENIED, DENIED)) == 2


def test_a_host_with_a_wrong_clock() -> None:
    """A line of a host that is 20 minutes ahead leaves the other hosts' connections open."""
    ahead = write((1200, 7, INVALID)).replace(" gate ", " other ")
    events = interpret_lines([write((0, 1, WRONG)), ahead, write((2, 1, CLOSED))])
    assert [event.action for event in events] == ["login", "invalid_user", "disconnect"]


def test_connections_side_by_side() -> None:
    """Lines of different processes and hosts do not mix."""
    assert logins((0, 1, WRONG), (1, 2, INVALID), (2, 1, CLOSED), (3, 2, CLOSED)) == [
        FAILED,
        "failure none",
    ]
    lines = [write((0, 1, WRONG)), write((1, 1, CLOSED)).replace(" gate ", " other ")]
    events = interpret_lines(lines)
    assert [event.action for event in events] == ["login", "login"]


OFFERS = [NONE, NO_KEY, POSTPONED]
ANSWERS = [[WRONG], [PAM, NOT_PAM], [RIGHT]]
ENDS = [[CLOSED], [RESET], [TOO_MANY, TOO_MANY_2], [NO_KEY, TOO_MANY], [BYE, GONE]]


@pytest.mark.parametrize("answers", [[], *ANSWERS, [*ANSWERS[0], *ANSWERS[0]]])
@pytest.mark.parametrize("end", ENDS)
def test_the_same_at_both_levels(answers: list[str], end: list[str]) -> None:
    """The same client counts as often at INFO, where offers and starts are missing, as at VERBOSE."""
    lines = [CONNECTED, *OFFERS, *answers, *end]
    quiet = [m for m in lines if m not in (CONNECTED, *OFFERS)]
    told = [login.split()[0] for login in logins(*lines)]
    assert told == [login.split()[0] for login in logins(*quiet)]
    assert len(told) == max(1, len([a for a in answers if a != NOT_PAM]))


@pytest.mark.parametrize(
    "why",
    [
        "penalty: failed authentication",
        "penalty: exceeded LoginGraceTime",
        "penalty: connections without attempting authentication",
        "penalty: attempted authentication by invalid user",
        "penalty: connection prohibited by RefuseConnection",
        "penalty: caused crash",
        "too many penalised addresses",
        "Maxstartups",
    ],
)
def test_a_connection_that_is_refused_is_no_attempt(why: str) -> None:
    """What OpenSSH 10 drops is a refused connection of its address, and no failed login.

    The listener writes it. Connections that its log leaves out are counted by their number.
    """
    drop = f"drop connection #0 from [192.0.2.7]:50022 on [192.0.2.1]:22 {why}"
    kind = "Maxstartups" if why == "Maxstartups" else "PerSourcePenalties"
    left_out = f"{kind} logging rate-limited: additional 14 connections dropped"
    told = interpret(WRONG, CLOSED, (3, 9, drop), (4, 9, drop), (5, 9, left_out))
    failed = [event.count for event in told if event.action == "login"]
    refused = [event for event in told if event.action == "connect"]
    assert failed == [1]
    assert sum(event.count for event in refused) == 16
    assert [event.source_ip for event in refused] == ["192.0.2.7", "192.0.2.7", None]
    reason = "too_many_connections" if why == "Maxstartups" else "penalty"
    assert {(event.outcome, event.reason) for event in refused} == {("failure", reason)}
