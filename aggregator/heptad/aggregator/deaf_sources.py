"""What is read and not heard: deaf sources, and programs whose lines are refused."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from heptad.aggregator.reports.counting import cut
from heptad.aggregator.summary.wording import list_names
from heptad.core.influxdb.store import InfluxStore
from heptad.core.store.api import PROBLEMS, StoreError
from heptad.core.store.field_conflict import describe
from heptad.core.store.point import Point
from heptad.core.store.sqlite import LocalStore

_MOST: Final = 20
_decode_problems: Final = msgspec.json.Decoder(list[str]).decode


_TROUBLES: Final = {
    "deaf": (
        "hosts with a source that is deaf or cannot be read",
        "`heptad report --local` on each of them shows why",
    ),
    "silent": ("exporters that are silent", "check that they are running and can reach InfluxDB"),
    "skewed": ("hosts whose clock is off by a minute or more", "synchronize the clocks"),
}


class _Deaf(msgspec.Struct):
    """Why a source is deaf, as the exporter keeps it."""

    reasons: dict[str, str] = {}


class _UntrustedProgram(msgspec.Struct):
    """The refused lines of a program, the last at ``last`` (ns), as the exporter keeps them."""

    sentence: str = ""
    last: int = 0


def read_unheard(events: LocalStore, since: int) -> list[str]:
    """A sentence for each deaf source, and each program with lines refused since then (ns)."""
    told = read_problems(events)
    known = " ".join(told)
    for data in events.recall_all("refused/").values():
        with suppress(msgspec.MsgspecError):
            programs = msgspec.json.decode(data, type=dict[str, _UntrustedProgram])
            late = (one.sentence for one in programs.values() if one.last >= since)
            told += [sentence for sentence in late if sentence and sentence not in known]
    return told[:_MOST]


def read_problems(events: LocalStore) -> list[str]:
    """What is wrong on one host, as /healthz of its exporter shows it; deaf sources first."""
    kept = events.intake.restore(PROBLEMS, events.recall(PROBLEMS), _decode_problems)
    return _read_deaf(events) + (kept or [])


def _read_deaf(events: LocalStore) -> list[str]:
    told = []
    for key, data in events.recall_all("deaf/").items():
        with suppress(msgspec.MsgspecError):
            reasons = msgspec.json.decode(data, type=_Deaf).reasons
            if reasons:
                source = key.partition("/")[2]
                told.append(f"source {source} is deaf: {'; '.join(reasons.values())}")
    return told


def read_fleet(events: InfluxStore) -> list[str]:
    """A sentence for each thing that keeps hosts of a fleet from being heard now."""
    try:
        fleet = events.find_fleet()
        held = events.confirm(fleet.held(0.0))
    except StoreError as error:
        # who may read the events may not read the heartbeats
        return [f"cannot determine which hosts are deaf: {error}"]
    told = describe_troubled(fleet.troubled(0.0))
    if text := describe(held):
        hosts = fleet.holders({one.conflict for one in held}, 0.0)
        told.append(f"{text}. Hosts that hold points: {list_names(hosts)}")
    return told


def describe_troubled(troubled: Mapping[str, Sequence[str]]) -> list[str]:
    """Sentences with the hosts that are in trouble, by what it is: see Fleet.troubled."""
    return [
        f"{what}: {list_names(troubled[kind])}; {remedy}"
        for kind, (what, remedy) in _TROUBLES.items()
        if troubled.get(kind)
    ]


class UntrustedCounter:
    """Takes up refused lines of a fleet: how many, of which program, from where."""

    def __init__(self) -> None:
        self._places: Counter[tuple[str, str, str]] = Counter()

    def add(self, point: Point) -> None:
        """Count one."""
        exe = cut(str(point.fields.get("exe", ""))) or "an unknown binary"
        key = (point.tags.get("program", ""), point.tags.get("host", ""), exe)
        if key in self._places or len(self._places) < 1000:
            self._places[key] += 1

    def results(self) -> list[str]:
        """A sentence for each of the most frequent."""
        return [
            f"{lines} lines of {program} on {host} come from {exe}, which is not trusted; "
            "`heptad report --local` on that host shows what to do"
            for (program, host, exe), lines in self._places.most_common(_MOST)
        ]
