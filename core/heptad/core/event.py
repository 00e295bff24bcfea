"""The 7W event and its closed vocabulary: what both sides of Heptad agree on.

Every name here that becomes a tag or a label is listed in this file. A rule that
uses a word that is not listed is refused when it is loaded, so nothing that an
attacker types into a log can become a tag, a label or a metric name.
"""

from typing import Annotated, Final

import msgspec

MOST_COUNT: Final = 10**6
LATEST: Final = 2**63 - 2**32
"""The first time (ns) that is too late: what moves on from it must still have 64 bits."""
Time = Annotated[int, msgspec.Meta(ge=0, lt=LATEST)]
"""Nanoseconds since the epoch."""
Count = Annotated[int, msgspec.Meta(ge=1, le=MOST_COUNT)]

OUTCOMES: Final[dict[str, str]] = {
    "success": "it was done",
    "failure": "it was refused, or it went wrong",
    "unknown": "the line tells that it happened, not how it ended",
}

ACTIONS: Final[dict[str, str]] = {
    "login": "an account was asked for and the answer was given: the one that counts attempts",
    "offer": "a credential was refused before the user had to answer (a key, a host, none)",
    "authentication": "what PAM says of a credential check; never a second login",
    "connect": "a peer connected",
    "disconnect": "a connection ended",
    "penalty": "an address is refused connections for a while",
    "handshake": "a connection failed before any account was named",
    "invalid_user": "an account that does not exist was named",
    "not_allowed": "an account that exists may not log in here",
    "session_open": "a session was opened for a user",
    "session_close": "a session was closed",
    "command": "a program was started for a user (CRON, a remote command, a subsystem)",
    "privilege": "a user became, or ran something as, another user (sudo, su, pkexec)",
    "authorization": "a policy was asked whether a user may do something (polkit)",
    "lockout": "an account was locked or unlocked after failures",
    "account_create": "a user account was added",
    "account_modify": "a user account was changed",
    "account_delete": "a user account was removed",
    "group_create": "a group was added",
    "group_modify": "a group was changed",
    "group_delete": "a group was removed",
    "member_add": "a user was put into a group",
    "member_remove": "a user was taken out of a group",
    "password_change": "a password was set, changed, locked or unlocked",
    "password_expiry": "the ageing of a password was changed, or a password was too old",
    "forwarding": "a forwarding through the connection was asked for",
    "service_start": "a daemon began to serve",
    "service_stop": "a daemon stopped serving",
    "host_start": "the host started",
    "host_stop": "the host stopped, restarted or was suspended",
    "host_resume": "the host woke up again",
    "daemon_error": "a daemon reports trouble of its own",
    "gap": "a part of a log could not be read, or was never written: what was in it is not known",
}

METHODS: Final[dict[str, str]] = {
    "": "does not apply",
    "none": "no credential was given",
    "password": "a password",
    "publickey": "a public key or certificate",
    "keyboard-interactive": "questions and answers, most often by PAM",
    "hostbased": "the client's host vouched for the user",
    "gssapi": "Kerberos through GSSAPI",
    "challenge": "another challenge and response",
    "unknown": "a method this version does not know",
}

REASONS: Final[dict[str, str]] = {
    "": "none given",
    "invalid_user": "the account does not exist",
    "bad_credential": "the password, key or answer was wrong",
    "not_allowed": "the account, group, shell or address may not log in here",
    "not_permitted": "the policy does not permit it",
    "not_in_sudoers": "the user is not in sudoers",
    "command_not_allowed": "sudoers does not allow the command",
    "password_required": "a password was needed and could not be asked for",
    "tty_required": "a terminal was needed",
    "max_attempts": "more attempts on one connection than allowed",
    "access_denied": "PAM's account check refused the account",
    "account_expired": "the account is too old",
    "account_locked": "the account is locked",
    "password_expired": "the password is too old",
    "no_shell": "the account's shell does not let it in",
    "timeout": "the peer took too long",
    "closed": "the peer closed the connection",
    "reset": "the connection was reset",
    "disconnected": "the peer said that it disconnects",
    "protocol_error": "the peer did not speak the protocol",
    "no_common_algorithm": "the two sides have no algorithm in common",
    "banner": "the peer's identification was not SSH's",
    "too_many_connections": "the daemon's limit of unauthenticated connections",
    "penalty": "the peer's address is in a penalty of the daemon",
    "name_mismatch": "the peer's name and address do not belong together",
    "factor_skipped": "the second factor could not be asked for, and the login went on without it",
    "factor_exempt": "the policy does not ask this user, or not now, for the second factor",
    "factor_unavailable": "the second factor could not be asked for",
    "key_refused": "the key or certificate is not acceptable",
    "bad_permissions": "a file or directory has unsafe modes or owner",
    "bad_configuration": "the daemon's configuration is faulty",
    "no_address": "the address could not be used",
    "exists": "it exists already",
    "does_not_exist": "it does not exist",
    "cancelled": "the user gave up",
    "locked": "locked by an administrator",
    "unlocked": "unlocked",
    "signal": "a signal ended it",
    "restart": "for a restart",
    "suspend": "for a suspension",
    "power_off": "for switching off",
    "ambiguous": "the line can be read in more than one way; nothing in it is believed",
    "rotated_away": "the rest of a file was gone before it was read",
    "vacuumed": "the journal was vacuumed past the position",
    "truncated": "a file was cut while it was read",
    "lost_tail": "a file's tail was lost, what follows is new",
    "oversized": "a line was longer than the maximum",
    "unreadable": "a part could not be read",
    "daemon_dropped": "the log's own daemon says that it dropped messages",
    "system_error": "an error of the system",
}

TRUSTS: Final[dict[str, str]] = {
    "journal": "the journal vouches for the program that wrote it",
    "file": "any process that may write to syslog could have written it",
}

TAGS: Final = ("host", "source", "program", "action", "outcome", "method", "reason")
LABELS: Final = ("program", "action", "outcome", "method")


class Event(msgspec.Struct, gc=False, omit_defaults=True):
    """One thing that happened on a host: the answers to the seven questions.

    ``time`` is nanoseconds since the epoch, UTC. The tags (``TAGS``) come from closed
    vocabularies or from the configuration; every other field may hold what an attacker chose.
    """

    time: Time
    host: str
    source: str
    program: str
    action: str
    outcome: str
    method: str = ""
    reason: str = ""
    count: Count = 1
    user: str | None = None
    target_user: str | None = None
    source_ip: str | None = None
    source_port: int | None = None
    source_domain: str | None = None
    tty: str | None = None
    object: str | None = None
    pid: int | None = None
    log_host: str | None = None
    trust: str = "file"
    path: str | None = None
    unit: str | None = None
    raw: str = ""

    @property
    def labels(self) -> tuple[str, str, str, str]:
        """The values of ``LABELS``, in that order."""
        return (self.program, self.action, self.outcome, self.method)


class EventField(msgspec.Struct, frozen=True):
    """What one field of an event answers and how others call it; its type is ``Event``'s."""

    question: str
    ecs: str
    description: str


FIELDS: Final[dict[str, EventField]] = {
    "time": EventField("when", "@timestamp", "nanoseconds since the epoch, UTC"),
    "host": EventField(
        "where", "host.name", "the host the event belongs to; set by the configuration"
    ),
    "program": EventField("to where", "process.name", "the program that tells it, normalised"),
    "target_user": EventField(
        "to where", "user.target.name", "the account acted on, where it differs"
    ),
    "action": EventField("what", "event.action", "what was done"),
    "outcome": EventField("what", "event.outcome", "how it ended"),
    "method": EventField("what", "heptad.method", "how the user proved who he is"),
    "reason": EventField("what", "event.reason", "why it ended so"),
    "count": EventField("what", "heptad.count", "how often: syslog folds repeated lines into one"),
    "user": EventField("who", "user.name", "the account that was asked for, or that acted"),
    "source_ip": EventField("from where", "source.ip", "the peer's address"),
    "source_port": EventField("from where", "source.port", "the peer's port"),
    "source_domain": EventField(
        "from where", "source.domain", "the peer's name, if only that is told"
    ),
    "tty": EventField("from where", "process.tty", "the terminal"),
    "object": EventField(
        "on what",
        "process.command_line, group.name, file.path, …",
        "the command, account, group, key fingerprint, seat or file",
    ),
    "pid": EventField("evidence", "process.pid", "the process that wrote the line"),
    "log_host": EventField(
        "evidence", "log.syslog.hostname", "the line's own host name, if another"
    ),
    "trust": EventField("evidence", "heptad.trust", "journal or file: who vouches for the line"),
    "path": EventField("evidence", "log.file.path", "the log file"),
    "unit": EventField("evidence", "journald.unit", "the systemd unit"),
    "raw": EventField("evidence", "event.original", "the line"),
    "source": EventField("-", "heptad.source", "the source's name in the configuration"),
}
