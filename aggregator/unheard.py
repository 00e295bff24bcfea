"""What is read and not heard: deaf sources, and programs whose lines are refused."""

from collections import Counter
from contextlib import suppress
from typing import Final

import msgspec

from aggregator.tally import cut
from heptad.store import Point
from heptad.store.local import LocalStore

_MOST: Final = 20


class _Deaf(msgspec.Struct):
    """Why a source is deaf, as the exporter keeps it."""

    reasons: dict[str, str] = {}


class _Refused(msgspec.Struct):
    """The refused lines of a program, the last at ``last`` (ns), as the exporter keeps them."""

    sentence: str = ""
    last: int = 0


def read_unheard(events: LocalStore, since: int) -> list[str]:
    """A sentence for each deaf source, and each program with lines refused since then (ns)."""
    told = read_deaf(events)
    known = " ".join(told)
    for data in events.recall_all("refused/").values():
        with suppress(msgspec.MsgspecError):
            programs = msgspec.json.decode(data, type=dict[str, _Refused])
            late = (one.sentence for one in programs.values() if one.last >= since)
            told += [sentence for sentence in late if sentence and sentence not in known]
    return told[:_MOST]


def read_deaf(events: LocalStore) -> list[str]:
    """A sentence for each deaf source of one host, as /healthz of its exporter shows it."""
    told = []
    for key, data in events.recall_all("deaf/").items():
        with suppress(msgspec.MsgspecError):
            reasons = msgspec.json.decode(data, type=_Deaf).reasons
            if reasons:
                source = key.partition("/")[2]
                told.append(f"source {source} is deaf: {'; '.join(reasons.values())}")
    return told


class Refused:
    """Takes up refused lines of a fleet: how many, of which program, from where."""

    def __init__(self) -> None:
        self._places: Counter[tuple[str, str, str]] = Counter()

    def add(self, point: Point) -> None:
        """Count one."""
        exe = cut(str(point.fields.get("exe", ""))) or "an unknown binary"
        key = (point.tags.get("program", ""), point.tags.get("host", ""), exe)
        if key in self._places or len(self._places) < 1000:
            self._places[key] += 1

    def told(self) -> list[str]:
        """A sentence for each of the most frequent."""
        return [
            f"{lines} lines of {program} on {host} come from {exe}, which is not trusted; "
            "`heptad report --local` on that host shows what to do"
            for (program, host, exe), lines in self._places.most_common(_MOST)
        ]
