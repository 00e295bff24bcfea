"""sudo's JSON gives the event of sudo's line of text, and nothing in it is believed but its values."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from heptad.exporter.normalize.text import normalize_text
from tests.exporter.test_rules_other import HOSTILE, HOSTILE_SET, WORD, write_sudo
from tests.support.rulebook import RULEBOOK

SUDO = RULEBOOK.programs["sudo"]


def write_json(kind: str, **fields: object) -> str:
    """A message as sudo's do_syslog_json() makes it."""
    entry = {"uuid": "5f0c", "server_time": {"seconds": 1, "nanoseconds": 2}, **fields}
    return f"@cee:{json.dumps({'sudo': {kind: entry}}, separators=(',', ':'), ensure_ascii=False)}"


def facts_of(message: str) -> tuple[str, dict[str, str | int]]:
    """The rule that understands a message, and the facts."""
    found = SUDO.read(message)
    assert found is not None, message
    return found.rule.name, found.rule.facts(found.values)


REASONS = (
    "command not allowed",
    "user NOT in sudoers",
    "3 incorrect password attempts",
    "a password is required",
    "unknown user: nosuch",
    "user NOT authorized on host",
)


@pytest.mark.parametrize("reason", [None, *REASONS])
@pytest.mark.parametrize("tty", [None, "pts/0"])
def test_json_gives_the_event_of_the_text(reason: str | None, tty: str | None) -> None:
    """Rule, user, target, terminal and command are those of the line of text."""
    line = write_sudo("alice", tty, "/home/alice", "root", None, "/usr/bin/id -u 'a b'")
    if reason is not None:
        user, _, rest = line.partition(" : ")
        line = f"{user} : {reason} ; {rest}"
    told = {
        "submituser": "alice",
        "command": "/usr/bin/id",
        "runuser": "root",
        "ttyname": f"/dev/{tty}",
        "runargv": ["id", "-u", "a b"],
    }
    if tty is None:
        del told["ttyname"]
    kind = "accept" if reason is None else "reject"
    if reason is not None:
        told["reason"] = reason
    assert facts_of(write_json(kind, **told)) == facts_of(line)


@given(user=WORD, target=WORD, command=HOSTILE_SET, words=st.lists(HOSTILE, max_size=3))
@example("ann", "root", '"},"reject":{', ["; USER=bob ; COMMAND=/bin/true"])
def test_no_value_of_the_json_becomes_another(
    user: str, target: str, command: str, words: list[str]
) -> None:
    """A command may hold quotes, braces and sudo's own words: the other values stay as they are."""
    rule, facts = facts_of(
        write_json(
            "accept",
            submituser=user,
            command=f"/{command}",
            runuser=target,
            runargv=["x", *words],
            ttyname="/dev/pts/7",
        )
    )
    assert rule == "ran"
    assert facts.pop("object")
    assert facts == {"user": user, "target_user": target, "tty": "pts/7"}


@pytest.mark.parametrize(
    "change",
    [
        {"submituser": 5},
        {"submituser": None},
        {"submituser": ""},
        {"submituser": "x" * 257},
        {"runargv": "id"},
        {"runargv": [1]},
        {"reason": "command not allowed"},
        {"runuser": "\ud800"},
    ],
)
def test_json_that_sudo_does_not_write_is_ambiguous(change: dict[str, object]) -> None:
    """Wrong types, no user or a contradiction: it happened, and nothing in it is believed."""
    told = {"submituser": "alice", "command": "/usr/bin/id", "runuser": "root", **change}
    message = f"@cee:{json.dumps({'sudo': {'accept': told}}, separators=(',', ':'))}"
    assert facts_of(message) == ("json_cut", {})


@given(cut=st.integers(30, 130))
def test_json_that_syslog_cut_is_ambiguous(cut: int) -> None:
    """A line that ends within the JSON is told as a privilege of somebody."""
    message = write_json("accept", submituser="alice", command="/usr/bin/id", runuser="root")[:cut]
    assert facts_of(message) == ("json_cut", {})


@pytest.mark.parametrize("text", ["[" * 16_000, '{"a":' * 3_000, '{"sudo":{"accept":' + "[" * 9000])
def test_deep_json_stops_nothing(text: str) -> None:
    """However deep it nests, the line is read or not understood."""
    found = SUDO.read(f"@cee:{text}")
    assert found is None or found.rule.name == "json_cut"


def test_the_end_of_a_command_is_no_second_one() -> None:
    """With log_exit_status sudo writes an exit beside the accept: one privilege in all."""
    messages = (
        write_json("accept", submituser="alice", command="/usr/bin/id"),
        write_json("exit", submituser="alice", exit_value=0),
    )
    log = "".join(f"2026-03-01T12:00:00Z web sudo: {message}\n" for message in messages)
    [event] = normalize_text(log)
    assert (event.action, event.outcome) == ("privilege", "success")
    assert (event.user, event.object) == ("alice", "/usr/bin/id")
