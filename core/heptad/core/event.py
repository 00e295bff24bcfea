"""The 7W event and its closed vocabulary, shared by the exporter and the aggregator.

This file lists every word that becomes a tag or a label. A rule with any other word is rejected
when it is loaded, so nothing that an attacker writes into a log can become a tag, a label or a
metric name.
"""

from typing import Annotated, Final

import msgspec

MOST_COUNT: Final = 10**6
LATEST: Final = 2**63 - 2**32
"""The first time (ns) that is too late: times derived from it must still fit into 64 bits."""
Time = Annotated[int, msgspec.Meta(ge=0, lt=LATEST)]
"""Nanoseconds since the epoch."""
Count = Annotated[int, msgspec.Meta(ge=1, le=MOST_COUNT)]

OUTCOMES: Final[dict[str, str]] = {
    "success": "it succeeded",
    "failure": "it was refused or failed",
    "unknown": "the line does not say how it ended",
}

ACTIONS: Final[dict[str, str]] = {
    "login": "a login attempt was answered; only this action counts attempts",
    "offer": "a credential was refused before the user had to answer (a key, a host, none)",
    "authentication": "PAM's result of a credential check; never counted as another login",
    "connect": "a peer connected",
    "disconnect": "a connection ended",
    "penalty": "connections from an address are refused for some time",
    "handshake": "a connection failed before any account was named",
    "invalid_user": "a login named an account that does not exist",
    "not_allowed": "an existing account is not allowed to log in here",
    "session_open": "a session was opened for a user",
    "session_close": "a session was closed",
    "command": "a program was started for a user (CRON, a remote command, a subsystem)",
    "privilege": "a user became another user, or ran a command as one (sudo, su, pkexec)",
    "authorization": "a policy decided whether a user may do something (polkit)",
    "lockout": "an account was locked or unlocked after failures",
    "account_create": "a user account was added",
    "account_modify": "a user account was changed",
    "account_delete": "a user account was removed",
    "group_create": "a group was added",
    "group_modify": "a group was changed",
    "group_delete": "a group was removed",
    "member_add": "a user was added to a group",
    "member_remove": "a user was removed from a group",
    "password_change": "a password was set, changed, locked or unlocked",
    "password_expiry": "the expiry of a password was changed, or a password has expired",
    "forwarding": "port forwarding through the connection was requested",
    "service_start": "a daemon started to serve",
    "service_stop": "a daemon stopped",
    "host_start": "the host started",
    "host_stop": "the host stopped, restarted or was suspended",
    "host_resume": "the host resumed from suspension",
    "daemon_error": "a daemon reports a problem of its own",
    "gap": "a part of a log could not be read, or was never written, so its events are missing",
}

METHODS: Final[dict[str, str]] = {
    "": "does not apply",
    "none": "no credential was presented",
    "password": "a password",
    "publickey": "a public key or certificate",
    "keyboard-interactive": "challenge and response, usually through PAM",
    "hostbased": "the client's host vouched for the user",
    "gssapi": "Kerberos through GSSAPI",
    "challenge": "another challenge-response method",
    "unknown": "a method that this version does not know, or that the line does not state",
}

REASONS: Final[dict[str, str]] = {
    "": "the line states no reason",
    "invalid_user": "the account does not exist",
    "bad_credential": "the password, key or answer was wrong",
    "not_allowed": "the account, group, shell or address is not allowed to log in here",
    "not_permitted": "the policy does not permit it",
    "not_in_sudoers": "the user is not in sudoers",
    "command_not_allowed": "sudoers does not allow the command",
    "password_required": "a password was required, but could not be prompted for",
    "tty_required": "a terminal was required",
    "max_attempts": "too many attempts on one connection",
    "access_denied": "PAM's account check refused the account",
    "account_expired": "the account has expired",
    "account_locked": "the account is locked",
    "password_expired": "the password has expired",
    "no_shell": "the account's shell does not allow a login",
    "timeout": "the peer timed out",
    "closed": "the peer closed the connection",
    "reset": "the connection was reset",
    "disconnected": "the peer disconnected",
    "protocol_error": "the peer did not speak the protocol",
    "no_common_algorithm": "the two sides have no algorithm in common",
    "banner": "the peer did not identify itself as SSH",
    "too_many_connections": "the daemon's limit of unauthenticated connections was reached",
    "penalty": "the daemon penalizes the peer's address",
    "name_mismatch": "the peer's name and address do not match",
    "factor_skipped": "the second factor was unavailable, and the login continued without it",
    "factor_exempt": "the policy does not require the second factor for this login",
    "factor_unavailable": "the second factor was unavailable",
    "key_refused": "the key or certificate is not acceptable",
    "bad_permissions": "a file or directory has unsafe permissions or an unsafe owner",
    "bad_configuration": "the daemon's configuration is invalid",
    "no_address": "the address could not be used",
    "exists": "it exists already",
    "does_not_exist": "it does not exist",
    "cancelled": "the user canceled",
    "locked": "locked by an administrator",
    "unlocked": "unlocked",
    "signal": "a signal ended it",
    "restart": "for a restart",
    "suspend": "for a suspension",
    "power_off": "for power-off",
    "ambiguous": "the line is ambiguous; none of its values is used",
    "rotated_away": "the rest of a file was deleted before it was read",
    "vacuumed": "the journal was vacuumed past the position",
    "truncated": "a file was truncated while it was read",
    "lost_tail": "the end of a file was lost; what follows is new",
    "oversized": "a line was longer than the maximum",
    "unreadable": "a part could not be read",
    "daemon_dropped": "the logging daemon reports that it dropped messages",
    "system_error": "a system error",
}

TRUSTS: Final[dict[str, str]] = {
    "journal": "the journal vouches for the program that wrote it",
    "file": "any process that may write to syslog could have written it",
}

TAGS: Final = ("host", "source", "program", "action", "outcome", "method", "reason")
LABELS: Final = ("program", "action", "outcome", "method")


class Event(msgspec.Struct, gc=False, omit_defaults=True):
    """One thing that happened on a host, as answers to the seven questions.

    ``time`` is nanoseconds since the epoch, UTC. The tags (``TAGS``) come from closed vocabularies
    or from the configuration; every other field may contain what an attacker chose.
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
    """The question that a field of ``Event`` answers, its ECS name and its description."""

    question: str
    ecs: str
    description: str


FIELDS: Final[dict[str, EventField]] = {
    "time": EventField("when", "@timestamp", "nanoseconds since the epoch, UTC"),
    "host": EventField("where", "host.name", "the host of the event, set by the configuration"),
    "program": EventField(
        "to where", "process.name", "the program that logged the event, normalized"
    ),
    "target_user": EventField(
        "to where", "user.target.name", "the target account, if it differs from the user"
    ),
    "action": EventField("what", "event.action", "what was done"),
    "outcome": EventField("what", "event.outcome", "how it ended"),
    "method": EventField("what", "heptad.method", "the authentication method"),
    "reason": EventField("what", "event.reason", "the reason of the outcome"),
    "count": EventField(
        "what", "heptad.count", ("number of occurrences: syslog folds repeated lines into one")
    ),
    "user": EventField("who", "user.name", "the account that acted, or that the login named"),
    "source_ip": EventField("from where", "source.ip", "the peer's address"),
    "source_port": EventField("from where", "source.port", "the peer's port"),
    "source_domain": EventField(
        "from where", "source.domain", "the peer's name, if the line has no address"
    ),
    "tty": EventField("from where", "process.tty", "the terminal"),
    "object": EventField(
        "on what",
        "process.command_line, group.name, file.path, …",
        "the command, account, group, key fingerprint, seat or file",
    ),
    "pid": EventField("evidence", "process.pid", "the process that wrote the line"),
    "log_host": EventField(
        "evidence", "log.syslog.hostname", "the host name in the line, if it differs from the host"
    ),
    "trust": EventField(
        "evidence", "heptad.trust", "how the origin of the line was verified: journal or file"
    ),
    "path": EventField("evidence", "log.file.path", "the log file"),
    "unit": EventField("evidence", "journald.unit", "the systemd unit"),
    "raw": EventField("evidence", "event.original", "the line"),
    "source": EventField("-", "heptad.source", "the source's name in the configuration"),
}
