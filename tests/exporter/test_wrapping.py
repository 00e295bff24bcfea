"""What a daemon or syslog puts around a message: removed, and nothing that a client wrote."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.core.event import Event
from heptad.exporter.normalize.text import normalize_text
from heptad.exporter.parsing.wrapping import cut_begin, cut_end

STAMP = "2026-03-01T10:00:00Z web-1"
FAILED = "Failed password for alice from 203.0.113.7 port 4711 ssh2"
BAD = "Bad password attempt for 'alice' from 203.0.113.7:51000"


def events(*lines: str) -> list[Event]:
    """The events of lines without their stamps."""
    return normalize_text("\n".join(f"{STAMP} {line}" for line in lines))


@pytest.mark.parametrize(
    "message",
    [
        f"[ID 800047 auth.info] {FAILED}",
        f"[ID 800047 local2.notice] {FAILED}",
        f"[12345.678901] {FAILED}",
        f"[    0.000001][  T123] {FAILED}",
        f"[ID 1 auth.debug] [    1.000000] {FAILED}",
        f"{FAILED} ",
        f"{FAILED} \t ",
        f"{FAILED}#012",
        f"{FAILED}#015#012",
        f"message repeated 2 times: [ {FAILED}#012]",
        f"{FAILED}\\n",  # rsyslog in C style, syslog-ng
        f"{FAILED}\\015\\012",
        f"{FAILED}\\x0a",
        f"{FAILED}^M",  # the BSDs, BusyBox
        f"{FAILED}^M ^@",
        f"  {FAILED}",  # a template with a blank of its own
        f"#011{FAILED}",
        f"<4.6>{FAILED}",
        f"<38>{FAILED}",
        f"auth.info: {FAILED}",
        f"[auth.info] {FAILED}",
        f"sshd[123]: {FAILED}",
        f" <auth.info>sshd-session[123]: {FAILED}#012",
    ],
)
def test_the_message_alone_is_read(message: str) -> None:
    """A prefix or suffix changes nothing of the event, and stays in its line."""
    plain, wrapped = events(f"sshd[123]: {FAILED}", f"sshd[123]: {message}")
    assert (plain.labels, plain.user, plain.pid) == (wrapped.labels, wrapped.user, wrapped.pid)
    assert wrapped.source_ip == "203.0.113.7"
    assert wrapped.raw == f"{STAMP} sshd[123]: {message}"


@pytest.mark.parametrize(
    "message",
    [
        f"sshd[77]: {FAILED}",
        f"[   12.345678] sshd[77]: {FAILED}",
        f"[   12.345678][    T1] sshd-session[77]: {FAILED} ",
    ],
)
def test_what_a_daemon_wrote_to_the_kernels_log(message: str) -> None:
    """Before syslog runs, a daemon's line comes as the kernel's: it is the daemon's."""
    (event,) = events(f"kernel: {message}")
    assert (event.program, event.action, event.user) == ("sshd", "login", "alice")
    assert (event.pid, event.raw) == (77, f"{STAMP} kernel: {message}")


@pytest.mark.parametrize(
    "message",
    [
        "sshd[77]: segfault at 0 ip 00007f sp 00007f error 4 in libc.so.6",
        f"usb 1-1: Product: sshd[77]: {FAILED}",
        f"[ 1.0] audit: sshd[77]: {FAILED}",
        "x[77]: Accepted password for root from 203.0.113.7 port 1 ssh2",
    ],
)
def test_what_the_kernel_says_of_a_process_is_not_the_processs(message: str) -> None:
    """A process's or a device's name in a message of the kernel is nobody's login."""
    assert events(f"kernel: {message}") == []


def test_dropbear_tells_its_own_process() -> None:
    """dropbear -E names the connection's process itself: syslog's number is its parent's."""
    (event,) = events(f"dropbear[15386]: [15390] Oct 05 23:37:49 {BAD}")
    assert (event.action, event.outcome, event.user) == ("login", "failure", "alice")
    assert (event.pid, event.source_ip) == (15390, "203.0.113.7")


def test_dropbears_connections_are_told_apart() -> None:
    """Of two connections under one syslog process each counts its own failed login."""
    lines = [
        "[7] Oct 05 23:37:49 Child connection from 203.0.113.7:51000",
        "[8] Oct 05 23:37:49 Child connection from 203.0.113.8:51001",
        f"[7] Oct 05 23:37:50 {BAD}",
        "[7] Oct 05 23:37:51 Exit before auth from <203.0.113.7:51000>: Exited normally",
        "[8] Oct 05 23:37:52 Password auth succeeded for 'bob' from 203.0.113.8:51001",
    ]
    logins = [e for e in events(*(f"dropbear[1]: {line}" for line in lines)) if e.action == "login"]
    assert [(e.user, e.outcome, e.pid) for e in logins] == [
        ("alice", "failure", 7),
        ("bob", "success", 8),
    ]


def test_a_name_ends_as_it_was_typed() -> None:
    """Where a message ends in a name, a blank is a part of it: two accounts stay two."""
    told = "authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=203.0.113.7  user="
    users = [events(f"sshd[1]: pam_unix(sshd:auth): {told}{name}")[0].user for name in ("a", "a ")]
    assert users == ["a", "a "]


def test_what_sudo_says_on_solaris() -> None:
    """The user is not called like the prefix, though a name may have blanks in it."""
    command = "alice : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/id"
    (event,) = events(f"sudo[1]: [ID 800047 local2.notice] {command}")
    assert (event.user, event.object) == ("alice", "/bin/id")


def test_an_old_pam_is_read_as_todays() -> None:
    """`(pam_unix)` before the message is the module that wrote it."""
    text = "(pam_unix) session opened for user alice by (uid=0)"
    (event,) = events(f"sshd[221]: {text}")
    assert (event.action, event.user) == ("session_open", "alice")


@pytest.mark.parametrize(
    "name",
    [
        "[ID 1 auth.info] Accepted password for root",
        "[1] Oct 05 23:37:49 Password auth succeeded for 'root'",
        "[12.345678] x",
        "(pam_unix) session opened for user root by (uid=0)",
        "x#012",
    ],
)
def test_a_name_is_left_as_it_is(name: str) -> None:
    """What a client typed is a name, wherever it looks like a prefix or a suffix."""
    (event,) = events(f"sshd[1]: Invalid user {name} from 203.0.113.7 port 22")
    assert (event.outcome, event.user, event.source_ip) == ("failure", name, "203.0.113.7")


def test_only_dropbear_writes_a_stamp_of_its_own() -> None:
    """Another program's message that begins like dropbear's stamp keeps it and its process."""
    message = f"[7] Oct 05 23:37:49 {FAILED}"
    assert cut_begin(message, "sshd") == (message, None)


def test_a_command_ends_as_it_was_typed() -> None:
    """The end of a command is its user's: no blank of it is removed."""
    (event,) = events("sudo: alice : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/echo #012")
    assert event.object == "/bin/echo #012"


@given(st.text(st.sampled_from("[]() #012:ID \tx"), max_size=60))
def test_each_once_and_only_at_the_ends(message: str) -> None:
    """What is left stood in the message just so, and no second prefix is removed."""
    left, _ = cut_begin(cut_end(message), "dropbear")
    assert left in message
    assert len(cut_begin("[ID 1 auth.info] " * 3 + "x", "sshd")[0]) == 2 * 17 + 1
