"""Ends long work as soon as a stop is requested."""

import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

_T = TypeVar("_T")


class Stopped(Exception):
    """A stop was requested; uncommitted work is repeated after the next start."""


def until_stopped(items: Iterable[_T], stop: threading.Event) -> Iterator[_T]:
    """Yield the items; raise Stopped as soon as ``stop`` is set."""
    stopped = stop.is_set
    for item in items:
        if stopped():
            raise Stopped
        yield item
