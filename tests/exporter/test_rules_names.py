"""One account has one name in every daemon's lines, and two accounts never have one."""

import re
from collections.abc import Callable

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from heptad.exporter.normalize.text import normalize_text
from heptad.exporter.parsing.escapes import undo_rust, undo_vis
from tests.support.escaping import write_rust, write_vis
from tests.support.rulebook import RULEBOOK

PROGRAMS = RULEBOOK.programs
LETTERS = st.characters(exclude_categories=("Cc", "Cs"))
PIECES = st.sampled_from(
    ["\\", "\\\\", "\\303", "\\303\\266", "\\n", "\\x", "\\xff", "ö", "g", "303", "\\u{f6}", "'"]
)
NAMES = st.lists(PIECES | st.text(LETTERS, max_size=3), max_size=6).map("".join)
BYTES = NAMES.map(str.encode) | st.lists(
    st.sampled_from([b"\xff", b"\xc3", b"\\", b"\\377", b"\\xff", b"x", b"\xc3\xb6"]), max_size=6
).map(b"".join)
ACCOUNTS = (
    "göran",
    "g\\303\\266ran",
    "EXAMPLE\\alice",
    "EXAMPLE\\nadia",
    "EXAMPLE\\101",
    "a\\b\\\\c",
)


def user_of(program: str, message: str) -> str | None:
    """Whom the rules of a program find in a message."""
    found = PROGRAMS[program].read(message)
    assert found is not None, message
    user = found.rule.facts(found.values).get("user")
    assert user is None or isinstance(user, str)
    return user


@pytest.mark.parametrize("account", ACCOUNTS)
def test_every_daemon_gives_an_account_one_name(account: str) -> None:
    """sshd escapes a name and PAM, sudo and systemd-logind do not: the events have the same user."""
    lines = {
        "sshd": f"Accepted publickey for {write_vis(account)} from 192.0.2.7 port 1 ssh2",
        "sudo": f"{account:>8} : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id",
        "doas": f"{account} ran command id as root from /",
        "systemd-logind": f"New session 3 of user {account}.",
        "su": f"(to root) {account} on pts/0",
        "login": f"pam_unix(sshd:auth): auth could not identify password for [{account}]",
    }
    assert {user_of(program, line) for program, line in lines.items()} == {account}


@pytest.mark.parametrize("c_style", [True, False])
@given(one=BYTES, other=BYTES)
@example(one="göran".encode(), other=b"g\\303\\266ran")
@example(one=b"a\xff", other=b"a\\xff")
@example(one=b"a\xff", other=b"a\\\\xff")
def test_sshd_gives_two_accounts_two_names(one: bytes, other: bytes, c_style: bool) -> None:
    """What sshd escapes is undone so that no two names become one, UTF-8 or not."""
    assume(one != other)
    names = [undo_vis(write_vis(name, c_style=c_style), by_child=False) for name in (one, other)]
    assert names[0] != names[1]


@given(NAMES)
@example("EXAMPLE\\alice")
def test_sshd_names_an_account_as_it_is(name: str) -> None:
    """A name in UTF-8 is told as it is, but where it could be taken for one that is not."""
    assume(not re.search(r"\\x[0-9a-f]{2}", name))
    assert undo_vis(write_vis(name), by_child=False) == name


@given(NAMES, NAMES, st.booleans())
@example("göran", "g\\303\\266ran", True)
def test_what_sshds_child_says_is_nobody_elses(one: str, other: str, twice: bool) -> None:
    """Until 10.0 the child's lines are escaped twice: a name that may be either of two is not told."""
    assume(one != other)
    written = [write_vis(write_vis(name)) if twice else write_vis(name) for name in (one, other)]
    names = [undo_vis(name, by_child=True) for name in written]
    assert names[0] is None or names[0] != names[1]
    assert undo_vis(write_vis(write_vis("göran")), by_child=True) is None
    assert undo_vis(write_vis("göran"), by_child=True) == "göran"


@given(NAMES, NAMES)
@example("a'", "a\\'")
def test_sudo_rs_gives_two_accounts_two_names(one: str, other: str) -> None:
    """sudo-rs escapes the target as Rust does; undone, each name is the account's own."""
    assert undo_rust(write_rust(one)) == one
    assume(one != other)
    assert undo_rust(write_rust(one)) != undo_rust(write_rust(other))


@pytest.mark.parametrize("undo", [undo_rust, lambda name: undo_vis(name, by_child=False)])
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
@example(text="\\")
@example(text="\\u{d800}")
@example(text="\\u{ffffff}")
@example(text="\\999")
@example(text="\x00")
def test_any_text_is_some_name(undo: Callable[[str], str | None], text: str) -> None:
    """What no daemon escapes so is taken as it is, whatever it is."""
    name = undo(text)
    assert name is not None
    name.encode()


def test_a_login_and_its_sudo_are_of_one_user() -> None:
    """A login by sshd, its end and what was done by sudo are told of the same user."""
    log = (
        "2026-03-01T12:00:00Z web sshd[1]: Accepted publickey for g\\303\\266ran from 192.0.2.7 port 1 ssh2\n"
        "2026-03-01T12:00:01Z web sshd[1]: pam_unix(sshd:session): session opened for user göran(uid=7) by (uid=0)\n"
        "2026-03-01T12:00:02Z web sudo: göran : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/id\n"
        "2026-03-01T12:00:03Z web sshd[2]: Failed password for EXAMPLE\\\\bob from 192.0.2.7 port 2 ssh2\n"
        "2026-03-01T12:00:04Z web sshd[2]: Connection closed by authenticating user EXAMPLE\\\\bob 192.0.2.7 port 2 [preauth]\n"
    )
    users = [event.user for event in normalize_text(log)]
    assert users == ["göran", "göran", "göran", "EXAMPLE\\bob", "EXAMPLE\\bob"]
