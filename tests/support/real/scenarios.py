"""What clients do to sshd, and how many logins must be counted for each.

Every scenario has its own account, named after it; every password is `RIGHT`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from tests.support.real.sandbox import Sandbox
from tests.support.real.sshd import Client

RIGHT, WRONG = "right", "wrong"
BANNER = b"SSH-2.0-sandbox\r\n"


class Account(Enum):
    """The state of a scenario's account."""

    GOOD = auto()
    EXPIRED = auto()
    BARRED = auto()
    """pam_access(8) refuses it."""
    ABSENT = auto()


@dataclass(frozen=True)
class Scenario:
    """One connection: the user, the client's actions, sshd's options, and the expected counts."""

    user: str
    act: Callable[[Client, str], int]
    success: int
    failure: int
    options: tuple[str, ...] = ()
    account: Account = Account.GOOD
    only_verbose: int = 0

    def failures(self, level: str) -> int:
        """Return the expected failures; ``only_verbose`` of them are not logged at INFO."""
        return self.failure + (self.only_verbose if level == "VERBOSE" else 0)


def add_accounts(sandbox: Sandbox) -> None:
    """Add the accounts of all scenarios."""
    present = [one for one in SCENARIOS if one.account is not Account.ABSENT]
    sandbox.add_users(*(one.user for one in present if one.user != "root"), password=RIGHT)
    sandbox.run("chpasswd", input=f"root:{RIGHT}\n")
    barred = [one.user for one in present if one.account is Account.BARRED]
    sandbox.write("/etc/security/access.conf", f"-:{' '.join(barred)}:ALL\n+:ALL:ALL\n")
    sandbox.run("sed", "-i", "1i account required pam_access.so", "/etc/pam.d/sshd")
    for one in present:
        if one.account is Account.EXPIRED:
            sandbox.run("usermod", "--expiredate", "2020-01-01", one.user)


def offer(client: Client, user: str, *, unknown: int, then_good: bool = False) -> int:
    """Offer `unknown` keys from an agent, then optionally one of the account."""
    keys = [client.new_key() for _ in range(unknown)]
    return client.agent(user, [*keys, client.new_key(user)] if then_good else keys)


def offer_then_answer(client: Client, user: str, answer: str) -> int:
    """Offer unknown keys and then a password on the same connection."""
    files = [f"IdentityFile={client.new_key()}" for _ in range(2)]
    methods = "PreferredAuthentications=publickey,password"
    return client.ssh(user, methods, "IdentitiesOnly=yes", *files, answers=[answer])


def give_both(client: Client, user: str, answer: str) -> int:
    """Use a valid key and then a password, as AuthenticationMethods may require."""
    key = f"IdentityFile={client.new_key(user)}"
    methods = "PreferredAuthentications=publickey,password"
    return client.ssh(user, methods, "IdentitiesOnly=yes", key, answers=[answer])


def answer(*answers: str) -> Callable[[Client, str], int]:
    """Return a client that answers the method "password"."""
    return lambda client, user: client.password(user, *answers)


def reply(*answers: str) -> Callable[[Client, str], int]:
    """Return a client that answers the method "keyboard-interactive"."""
    return lambda client, user: client.interactive(user, *answers)


def ask_none(client: Client, user: str) -> int:
    """Use the method "none" to list the methods, and disconnect."""
    return client.ssh(user, "PreferredAuthentications=none")


BOTH = ("AuthenticationMethods publickey,password",)
NO_ROOT = ("PermitRootLogin no",)
SHORT = ("LoginGraceTime 2",)
TWICE = ("MaxAuthTries 2",)
ABSENT, EXPIRED, BARRED = Account.ABSENT, Account.EXPIRED, Account.BARRED

SCENARIOS = (
    Scenario("pw-right", answer(RIGHT), 1, 0),
    Scenario("pw-wrong", answer(WRONG), 0, 1),
    Scenario("pw-sshpass", lambda c, u: c.sshpass(u, WRONG), 0, 1),
    Scenario("pw-wrong-3", answer(WRONG, WRONG, WRONG), 0, 3),
    Scenario("pw-wrong-2-right", answer(WRONG, WRONG, RIGHT), 1, 2),
    Scenario("pw-empty", answer(""), 0, 1),
    Scenario("pw-absent", answer(WRONG), 0, 1, account=ABSENT),
    Scenario("pw-absent-3", answer(WRONG, WRONG, WRONG), 0, 3, account=ABSENT),
    Scenario("pam-right", reply(RIGHT), 1, 0),
    Scenario("pam-wrong", reply(WRONG), 0, 1),
    Scenario("pam-wrong-right", reply(WRONG, RIGHT), 1, 1),
    Scenario("pam-wrong-3", reply(WRONG, WRONG, WRONG), 0, 3),
    Scenario("pam-absent", reply(WRONG), 0, 1, account=ABSENT),
    Scenario("pam-cut-off", reply("<leave>"), 0, 1),
    Scenario("key-right", lambda c, u: c.key(u, c.new_key(u)), 1, 0),
    Scenario("key-refused", lambda c, u: c.key(u, c.new_key(), c.new_key()), 0, 1),
    Scenario("key-absent", lambda c, u: c.key(u, c.new_key()), 0, 1, account=ABSENT),
    Scenario("agent-4-good", lambda c, u: offer(c, u, unknown=4, then_good=True), 1, 0),
    Scenario("agent-4", lambda c, u: offer(c, u, unknown=4), 0, 1),
    Scenario("keys-pw-right", lambda c, u: offer_then_answer(c, u, RIGHT), 1, 0),
    Scenario("keys-pw-wrong", lambda c, u: offer_then_answer(c, u, WRONG), 0, 1),
    Scenario("none", ask_none, 0, 1),
    Scenario("none-absent", ask_none, 0, 1, account=ABSENT),
    Scenario("max-pw", answer(WRONG, WRONG, WRONG, WRONG), 0, 2, TWICE),
    Scenario("max-pam", reply(WRONG, WRONG, WRONG, WRONG), 0, 2, TWICE),
    Scenario("max-keys", lambda c, u: offer(c, u, unknown=8), 0, 1),
    Scenario("max-keys-2", lambda c, u: offer(c, u, unknown=4), 0, 1, TWICE),
    Scenario("max-absent", lambda c, u: offer(c, u, unknown=4), 0, 1, TWICE, ABSENT),
    Scenario("expired-pw", answer(RIGHT), 0, 1, account=EXPIRED),
    Scenario("expired-pam", reply(RIGHT), 0, 1, account=EXPIRED),
    # sshd's monitor dies at the second prompt ("unpermitted request") and logs no name at INFO.
    Scenario("expired-pam-3", reply(RIGHT, RIGHT, RIGHT), 0, 0, account=EXPIRED, only_verbose=1),
    Scenario("expired-pam-mix", reply(WRONG, RIGHT), 0, 1, account=EXPIRED),
    Scenario("expired-key", lambda c, u: c.key(u, c.new_key(u)), 0, 1, account=EXPIRED),
    Scenario("barred-pw", answer(RIGHT), 0, 1, account=BARRED),
    Scenario("barred-key", lambda c, u: c.key(u, c.new_key(u)), 0, 1, account=BARRED),
    Scenario("not-allowed", answer(RIGHT), 0, 1, ("AllowUsers bob",)),
    Scenario("denied", answer(RIGHT), 0, 1, ("DenyUsers denied",)),
    Scenario("denied-key", lambda c, u: c.key(u, c.new_key(u)), 0, 1, ("DenyUsers denied-key",)),
    Scenario("root", answer(RIGHT, RIGHT), 0, 2, NO_ROOT),
    Scenario("both-right", lambda c, u: give_both(c, u, RIGHT), 1, 0, BOTH),
    Scenario("both-half", lambda c, u: give_both(c, u, WRONG), 0, 1, BOTH),
    Scenario("cut-off", answer("<leave>"), 0, 1),
    Scenario("cut-off-absent", answer("<leave>"), 0, 1, account=ABSENT),
    Scenario("cut-off-wrong", answer(WRONG, "<leave>"), 0, 1),
    Scenario("no-name", lambda c, u: c.talk(), 0, 0),
    Scenario("no-banner", lambda c, u: c.talk(b"GET / HTTP/1.0\r\n\r\n"), 0, 0),
    Scenario("no-kex", lambda c, u: c.ssh(u, "KexAlgorithms=diffie-hellman-group1-sha1"), 0, 0),
    # Since Debian fixed CVE-2024-6387, its sshd ends these without a line (openssh
    # 9.2p1-2+deb12u3).
    Scenario("late", answer("<wait>"), 0, 0, SHORT),
    Scenario("late-absent", answer("<wait>"), 0, 0, SHORT, ABSENT),
    Scenario("late-wrong", answer(WRONG, "<wait>"), 0, 1, SHORT),
    Scenario("late-no-name", lambda c, u: c.talk(BANNER), 0, 0, SHORT),
)
