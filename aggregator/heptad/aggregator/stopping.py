"""How long work ends at once where it is told to."""

import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

_T = TypeVar("_T")


class Stopped(Exception):
    """The work was told to end; what is not committed is done again after the next start."""


def until_stopped(items: Iterable[_T], stop: threading.Event) -> Iterator[_T]:
    """The items; raises Stopped as soon as ``stop`` is set."""
    stopped = stop.is_set
    for item in items:
        if stopped():
            raise Stopped
        yield item
