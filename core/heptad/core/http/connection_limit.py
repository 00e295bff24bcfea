"""The connections of a port: a bounded number, of which the oldest that is idle gives way.

A connection without a complete request, or whose answer is not read, costs the client nothing. So
it is closed where a new one needs its place.
"""

import asyncio
import resource
from typing import Final

_MOST: Final = 128
_MOST_UNREAD: Final = 16 * 2**20
"""Bytes of answers that clients have not read yet, in all."""

Task = asyncio.Task[None]


def share_of_descriptors(most: int) -> int:
    """At most ``most`` connections, and a quarter of the files that this process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if soft == resource.RLIM_INFINITY else max(1, min(most, soft // 4))


class ConnectionLimiter:
    """The connections of one event loop, each known by the task that serves it."""

    def __init__(self) -> None:
        self._most = share_of_descriptors(_MOST)
        # in the order in which they came into their state
        self._asking: dict[Task, None] = {}
        self._waiting: dict[Task, None] = {}
        self._reading: dict[Task, int] = {}

    def make_place(self) -> bool:
        """See that there is a place: the oldest idle connection gives way. False: none is idle."""
        taken = len(self._asking) + len(self._waiting) + len(self._reading)
        return taken < self._most or self.close_oldest()

    def admit(self, task: Task) -> None:
        """Take in a connection that has not asked yet."""
        self._asking[task] = None
        task.add_done_callback(self._leave)

    def close_oldest(self) -> bool:
        """Close the oldest connection that does not ask, or else does not read; False: none."""
        for idle in (self._asking, self._reading):
            for task in idle:
                self._leave(task)
                task.cancel()
                return True
        return False

    def note_asking(self, task: Task) -> None:
        """Its next request has yet to come."""
        self._leave(task)
        self._asking[task] = None

    def note_waiting(self, task: Task) -> None:
        """It waits for its answer."""
        self._leave(task)
        self._waiting[task] = None

    def note_reading(self, task: Task, size: int) -> None:
        """It is sent an answer of ``size`` bytes; the oldest that are not read give way to it."""
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
