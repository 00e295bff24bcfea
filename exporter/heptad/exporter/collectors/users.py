"""Logged-in users: the session files of systemd-logind, else utmp.

The format of the files is systemd's (src/login/logind-session.c, session_save): one `KEY=value` per
line. node_exporter gets the same facts from logind over D-Bus, in a collector that is off by
default.
"""

import itertools
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.metrics_core import Metric

from heptad.exporter.collectors.procfs import Family, HostRoots, names, read

_SESSIONS = Family(
    "node_logind_sessions",
    "gauge",
    "Sessions that systemd-logind knows.",
    ("seat", "remote", "type", "class"),
)
_USERS = Family(
    "heptad_logged_in_users",
    "gauge",
    "Different users with a session of their own (not cron, greeter or lock screen), else in utmp.",
)
FAMILIES: tuple[Family, ...] = (_SESSIONS, _USERS)

LOGIND = "run/systemd"  # below the root
MOST_SESSIONS = 4096

# A session's user chooses its type and class (pam_systemd(8)), so only known values are labels.
_REMOTE = ("true", "false")
_TYPES = ("other", "unspecified", "tty", "x11", "wayland", "mir", "web")
_CLASSES = ("other", "user", "greeter", "lock-screen", "background")


def collect(host: HostRoots) -> Iterator[Metric]:
    """Without logind, only the users of utmp are returned. Raises OSError."""
    sessions = _sessions(f"{host.root}/{LOGIND}/sessions")
    seats = names(f"{host.root}/{LOGIND}/seats")
    if sessions or seats:  # a running logind has at least seat0, sd-login(3)
        counts = Counter(_key(session) for session in sessions)
        # Sessions without a seat are those of remote users.
        keys = itertools.product([*seats, ""], _REMOTE, _TYPES, _CLASSES)
        yield _SESSIONS.metric((key, float(counts[key])) for key in keys)
        yield _USERS.single(float(_own_users(sessions)))
    elif host.root == Path("/"):  # psutil can read no other utmp
        yield _USERS.single(float(_utmp_users()))


def _sessions(folder: str) -> list[dict[str, str]]:
    """Return the content of the session files; empty if the folder does not exist."""
    try:
        with os.scandir(folder) as entries:
            # Next to each session is a FIFO, <id>.ref, whose other end the session holds open.
            files = [e.path for e in entries if e.is_file(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    sessions = []
    for path in files[:MOST_SESSIONS]:
        try:
            text = read(path)
        except FileNotFoundError:  # the session ended meanwhile
            continue
        pairs = (line.partition("=") for line in text.split("\n"))
        sessions.append({key: value for key, _, value in pairs})
    return sessions


def _key(session: dict[str, str]) -> tuple[str, str, str, str]:
    kind, class_ = session.get("TYPE", ""), session.get("CLASS", "")
    return (
        session.get("SEAT", ""),
        "true" if session.get("REMOTE") == "1" else "false",
        kind if kind in _TYPES else "other",
        class_ if class_ in _CLASSES else "other",
    )


def _own_users(sessions: list[dict[str, str]]) -> int:
    users = {
        session.get("UID")
        for session in sessions
        if session.get("CLASS", "").startswith("user") and session.get("STATE") != "closing"
    }
    return len(users)


def _utmp_users() -> int:
    import psutil  # noqa: PLC0415 - uses 4 MB, and is not needed with logind

    return len({user.name for user in psutil.users()})
