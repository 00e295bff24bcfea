"""The connections of a port: a limited number; if it is reached, the oldest idle one is closed.

A connection that sends no complete request, or does not read its response, costs the client
nothing, so it is closed as soon as a new connection needs its place.
"""

import asyncio
import resource
from typing import Final

_MOST: Final = 128
_MOST_UNREAD: Final = 16 * 2**20
"""Maximum total size in bytes of the responses that clients have not read yet."""

Task = asyncio.Task[None]


def share_of_descriptors(most: int) -> int:
    """Return ``most``, limited to a quarter of the files that this process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if soft == resource.RLIM_INFINITY else max(1, min(most, soft // 4))


class ConnectionLimiter:
    """The connections of one event loop; each is identified by the task that serves it."""

    def __init__(self) -> None:
        self._most = share_of_descriptors(_MOST)
        # ordered by the time at which they entered their state
        self._asking: dict[Task, None] = {}
        self._waiting: dict[Task, None] = {}
        self._reading: dict[Task, int] = {}

    def make_place(self) -> bool:
        """Make room by closing the oldest idle connection; return False if none is idle."""
        taken = len(self._asking) + len(self._waiting) + len(self._reading)
        return taken < self._most or self.close_oldest()

    def admit(self, task: Task) -> None:
        """Add a connection that has not sent a request yet."""
        self._asking[task] = None
        task.add_done_callback(self._leave)

    def close_oldest(self) -> bool:
        """Close the oldest connection without a request, else the oldest one that does not read.

        Return False if there is none.
        """
        for idle in (self._asking, self._reading):
            for task in idle:
                self._leave(task)
                task.cancel()
                return True
        return False

    def note_asking(self, task: Task) -> None:
        """Mark a connection that waits for its next request."""
        self._leave(task)
        self._asking[task] = None

    def note_waiting(self, task: Task) -> None:
        """Mark a connection that waits for its response."""
        self._leave(task)
        self._waiting[task] = None

    def note_reading(self, task: Task, size: int) -> None:
        """Mark a connection that is sent a response of ``size`` bytes.

        Close the oldest ones that do not read if the total size of responses is too large.
        """
        self._leave(task)
        while self._reading and sum(self._reading.values()) + size > _MOST_UNREAD:
            oldest = next(iter(self._reading))
            self._leave(oldest)
            oldest.cancel()
        self._reading[task] = size

    def _leave(self, task: Task) -> None:
        self._asking.pop(task, None)
        self._waiting.pop(task, None)
        self._reading.pop(task, None)
