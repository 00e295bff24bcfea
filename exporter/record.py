"""A log line with its header understood: what every source hands over."""

import msgspec


class Record(msgspec.Struct, gc=False):
    """One logged message: who wrote it, when, and who vouches for that.

    ``time`` is nanoseconds since the epoch, UTC; ``tag`` the program's name as logged; ``count``
    how often syslog says the message came. ``exe``, ``uid`` and ``transport`` are the journal's
    trusted fields (systemd.journal-fields(7)); a file has none of them.
    """

    time: int
    host: str | None
    tag: str
    pid: int | None
    message: str
    raw: str
    count: int = 1
    line: int = 0
    path: str | None = None
    unit: str | None = None
    trusted: bool = False
    exe: str | None = None
    uid: int | None = None
    transport: str | None = None
