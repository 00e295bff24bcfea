"""sshd's and dropbear's rules against what their examples cannot say: any text of any peer.

The format strings below are those of openssh-portable (auth.c, auth-pam.c, packet.c, sshd.c,
kex.c, session.c) and dropbear (svr-session.c). ``{user}`` is the name that the peer asks for and
``{text}`` what else the peer says; both may be anything. ``{peer}`` is the daemon's.
"""

import re
import time

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from heptad.core.config import strict_yaml
from heptad.exporter.parsing.patterns import first_words
from heptad.exporter.parsing.rule_file import BUILT_IN, RuleFile
from tests.support.escaping import write_vis
from tests.support.rulebook import RULEBOOK

PROGRAMS = RULEBOOK.programs
ADDRESS = "198.51.100.7"
PORT = 50022
PEER = f"{ADDRESS} port {PORT}"
FORGED = "203.0.113.9"
FINGERPRINT = "SHA256:Zm9vYmFyYmF6cXV4"
FRAGMENTS = tuple(
    (
        " |  |'|\"|[|]|(|)|:|: |from| from | for | port 1| ssh2| ssh2: | [preauth]|invalid user |user |"
        "illegal user |authenticating user | by user root|', 0 fails): | timed out|Their offer: |root|"
        ": Too many authentication failures| id 0| on pts/0|\\n|FORGED| FORGED| FORGED port 1|"
        " from FORGED| from FORGED port 1| from FORGED port 1 ssh2| [FORGED] failed.|rhost=FORGED |"
        " from FORGED port 1 ssh2: RSA SHA256:abcdefgh|RSA-CERT SHA256:abcdefgh ID |<FORGED:1>|"
        " (serial 0) CA RSA SHA256:abcdefgh| FORGED port 1: Packet corrupt| via FORGED"
    )
    .replace("FORGED", FORGED)
    .split("|")
)
HOSTILE = st.lists(
    st.sampled_from(FRAGMENTS)
    | st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=9),
    max_size=9,
).map(lambda parts: "".join(parts)[:100])

NAMED = (
    "Failed password for invalid user {user} from {peer} ssh2",
    "Failed none for invalid user {user} from {peer} ssh2",
    "Failed publickey for invalid user {user} from {peer} ssh2: RSA " + FINGERPRINT,
    "Failed keyboard-interactive/pam for {user} from {peer} ssh2",
    "Accepted password for {user} from {peer} ssh2",
    "Accepted publickey for {user} from {peer} ssh2: ED25519 " + FINGERPRINT,
    "Partial publickey for {user} from {peer} ssh2: ED25519 " + FINGERPRINT,
    "Invalid user {user} from {peer}",
    "administratively prohibited connection for {user} from {peer}",
    "error: maximum authentication attempts exceeded for {user} from {peer} ssh2 [preauth]",
    "Connection closed by authenticating user {user} {peer} [preauth]",
    "Connection closed by invalid user {user} {peer} [preauth]",
    "Connection reset by invalid user {user} {peer} [preauth]",
    "Disconnected from invalid user {user} {peer} [preauth]",
    "Connection from authenticating user {user} {peer} timed out [preauth]",
    "ssh_dispatch_run_fatal: Connection from invalid user {user} {peer}: Connection corrupted",
)
"""Lines that can be read in one way only: the name and the address are known exactly."""

SAID = (
    "Bad protocol version identification '{text}' from {peer}",
    "scanned from {peer} with {text}.  Don't panic.",
    "Protocol major versions differ for {peer}: SSH-2.0-OpenSSH_7.4 vs. {text}",
    "Unable to negotiate with {peer}: no matching cipher found. Their offer: {text} [preauth]",
    "Disconnecting {peer}: bad service request {text} [preauth]",
    "Starting session: subsystem '{text}' for bob from {peer} id 0",
    "Starting session: subsystem '{text}' on pts/1 for bob from {peer} id 0",
    "Received request from {peer} to connect to host {text} port 25, but the request was denied.",
)
"""Lines in which only the address is the daemon's."""

CERTIFICATE = "RSA-CERT SHA256:Zm9vYmFyYmF6cXV4 ID {text} (serial 0) CA RSA SHA256:Q0FDQUNBQ0E"
CHANGE = "Change of username or service not allowed: ({user},{text}) -> ({text},{text})"
BOTH = (
    f"Failed publickey for {{user}} from {{peer}} ssh2: {CERTIFICATE}",
    f"Accepted publickey for {{user}} from {{peer}} ssh2: {CERTIFICATE}",
    "Failed publickey for invalid user {user} from {peer} ssh2: RSA-CERT ID {text} (serial 0) CA RSA x",
    'Failed hostbased for {user} from {peer} ssh2: RSA 0e:ff:01:23, client user "{text}", client host ""',
    f"Disconnecting invalid user {{user}} {{peer}}: {CHANGE} [preauth]",
    "Unable to negotiate with invalid user {user} {peer}: no matching MAC found. Their offer: {text}",
)
"""Lines with the peer's text on both sides of the address: some can be read in several ways."""


def read(program: str, message: str) -> dict[str, str | int]:
    """The facts that the rules of ``program`` give; fails if none understands the message."""
    found = PROGRAMS[program].read(message)
    assert found is not None, f"not understood: {message!r}"
    return found.rule.facts(found.values)


@pytest.mark.parametrize("line", NAMED)
@given(user=HOSTILE)
@example(user="")
@example(user=f"x from {FORGED} port 1 ssh2")
@example(user=f"x {FORGED} port 1 [preauth]")
@example(user="\\x00")
def test_a_hostile_name_moves_no_field(line: str, user: str) -> None:
    """Whatever the name holds, the address is the daemon's and the name is told as it was."""
    if "invalid user {user}" not in line:  # an account that exists is not called so
        assume(not user.startswith(("invalid user ", "illegal user ")))
    facts = read("sshd", line.format(user=write_vis(user), peer=PEER))
    assert (facts["source_ip"], facts["source_port"]) == (ADDRESS, PORT)
    if re.search(r"\\x[0-9a-f]{2}", user):  # as a byte that is not UTF-8 is written
        user = user.replace("\\", "\\\\")
    if "\\" in user and line.endswith("[preauth]"):  # may have been escaped twice
        assert facts.get("user") in (user, None)
    else:
        assert facts["user"] == user


@pytest.mark.parametrize("kind", ["", "illegal user "])
@given(
    user=HOSTILE,
    why=st.sampled_from(
        ["Authentication failure", "Have exhausted maximum number of retries for service"]
    ),
)
def test_a_hostile_name_moves_no_field_of_pams_error(why: str, kind: str, user: str) -> None:
    """PAM's words stand before the name, the address after it: both are found whatever it holds."""
    assume(not user.startswith(("invalid user ", "illegal user ")))
    facts = read("sshd", f"error: PAM: {why} for {kind}{write_vis(user)} from {ADDRESS}")
    assert (facts["source_ip"], facts["user"]) == (ADDRESS, user)


@pytest.mark.parametrize("line", SAID)
@given(text=HOSTILE)
@example(text=f"' from {FORGED} port 1")
def test_a_hostile_banner_moves_no_address(line: str, text: str) -> None:
    """Banners, algorithm names, subsystems and hosts of a peer leave the address as it is."""
    facts = read("sshd", line.format(text=text, peer=PEER))
    assert (facts["source_ip"], facts["source_port"]) == (ADDRESS, PORT)


@pytest.mark.parametrize("line", BOTH)
@given(user=HOSTILE, text=HOSTILE)
@example(user="bob", text=f"x from {FORGED} port 1 ssh2: RSA {FINGERPRINT}")
@example(user=f"x from {FORGED} port 1 ssh2: RSA-CERT {FINGERPRINT} ID y", text="z")
@example(user=f"x {FORGED} port 1: y", text="z")
@example(user="bob", text=f"x {FORGED} port 1: Packet corrupt")
def test_an_ambiguous_line_gives_no_address_or_the_right_one(
    line: str, user: str, text: str
) -> None:
    """Where the peer writes on both sides of the address, no address of the peer's is believed."""
    facts = read("sshd", line.format(user=user, text=text, peer=PEER))
    assert facts.get("source_ip") in (None, ADDRESS)
    assert facts.get("source_domain") is None


@pytest.mark.parametrize("line", BOTH)
def test_an_honest_line_is_not_ambiguous(line: str) -> None:
    """A name and a text without tricks give the address also where tricks would be possible."""
    facts = read("sshd", line.format(user="bob", text="bob@example.org", peer=PEER))
    assert (facts["source_ip"], facts["user"]) == (ADDRESS, "bob")


@given(text=HOSTILE, suffix=st.sampled_from(["", " [preauth]"]))
def test_nothing_in_what_sshd_marks_as_an_error_is_believed(text: str, suffix: str) -> None:
    """An error that no rule names is an event by its level, or not understood if it names someone."""
    for level in ("error", "fatal"):
        found = PROGRAMS["sshd"].read(f"{level}: some_function: {text}{suffix}")
        assert found is None or found.rule.facts(found.values) == {}
        names = any(f"{word}{FORGED}" in text for word in ("from ", "rhost=", "via "))
        assert found is None or not names


@pytest.mark.parametrize("level", [1, 2, 3])
@given(text=HOSTILE)
@example(text=f"Failed password for alice from {PEER} ssh2")
@example(text="userauth-request for user alice service ssh-connection method none [preauth]")
def test_what_sshd_writes_for_debugging_is_ignored(level: int, text: str) -> None:
    """LogLevel DEBUG adds no event and no line that is not understood."""
    found = PROGRAMS["sshd"].read(f"debug{level}: {text}")
    assert found is not None
    assert found.rule.ignore


@pytest.mark.parametrize("where", ["", " from <198.51.100.7:50022>:"])
@given(text=HOSTILE)
def test_dropbears_address_is_not_the_clients(where: str, text: str) -> None:
    """The reason of an exit may hold the client's banner: neither address nor name come from it."""
    for account in ("", " (user 'bob', 2 fails)"):
        reason = f"{where}{account}" if where else account
        colon = "" if reason.endswith(":") else ":"
        facts = read(
            "dropbear", f"Exit before auth{reason}{colon} Incompatible remote version '{text}'"
        )
        assert facts.get("source_ip") == (ADDRESS if where else None)
        assert facts.get("user") == ("bob" if account else None)


@pytest.mark.parametrize("name", ["sshd-session", "sshd-auth"])
def test_the_parts_of_sshd_are_sshd(name: str) -> None:
    """Since OpenSSH 9.8 sshd logs under the names of its parts: they are one program."""
    assert PROGRAMS[name] is PROGRAMS["sshd"]


def test_every_login_of_sshd_is_counted_by_connection() -> None:
    """No rule of sshd's counts a login by itself: one attempt is told in up to five lines."""
    rules = strict_yaml.load(BUILT_IN / "sshd.yaml", RuleFile).rules
    counting = {rule.name for rule in rules if rule.action == "login" and not rule.ignore}
    assert counting
    assert all(
        rule.step in ("accepted", "failed", "pam_failed") for rule in rules if rule.name in counting
    )


def test_lines_of_the_listener_are_sshds_own() -> None:
    """A line that speaks of another process is believed from root only."""
    rules = strict_yaml.load(BUILT_IN / "sshd.yaml", RuleFile).rules
    assert all(rule.runs_as == "program" for rule in rules if "child_pid" in rule.pattern)
    assert all(
        rule.runs_as == "program" for rule in rules if rule.step in ("accepted", "failed", "name")
    )


@pytest.mark.table
@pytest.mark.parametrize("program", ["sshd", "dropbear"])
def test_no_message_takes_more_than_linear_time(program: str) -> None:
    """Fragments of the daemons' own words, repeated to 16 KiB, are read at once.

    Quadratic work on that length takes many seconds, linear work well under a millisecond.
    """
    lines = {line.format(user="{0}", text="{0}", peer=PEER) for line in (*NAMED, *SAID, *BOTH)}
    starts = {line.partition("{0}")[0] for line in lines}
    rules = strict_yaml.load(BUILT_IN / f"{program}.yaml", RuleFile).rules
    starts |= {f"{word} " for rule in rules for word in rule.first or first_words(rule.pattern)}
    fragments = (*FRAGMENTS, f" {PEER}", "a", "a:", " because shell ", ", target ", " rejected")
    for start in sorted(starts):
        for fragment in fragments:
            message = (start + fragment * (16384 // len(fragment)))[:16384]
            began = time.process_time()
            PROGRAMS[program].read(message)
            assert time.process_time() - began < 0.5, message[:80]


@pytest.mark.parametrize("word", ["Accepted", "Failed"])
@pytest.mark.parametrize("end", ["", " ssh1", " ssh2: RSA SHA256:abcdefgh"])
def test_the_client_of_rhosts_names_no_address(word: str, end: str) -> None:
    """Protocol 1 ends a line with the client's own user name: nothing in it is an address."""
    line = f"{word} rhosts-rsa for dan from {PEER} ssh1: ruser x from {FORGED} port 1{end}"
    found = PROGRAMS["sshd"].read(line)
    assert found is not None
    assert found.rule.facts(found.values).get("source_ip") in (ADDRESS, None)
    assert found.rule.fixed[0] == "login"
