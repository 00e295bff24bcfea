"""Decide which source takes over which programs from another, over restarts.

The store records which source reads a program, and where. If the configuration moves a program to
another source or log, that source starts from the beginning and skips what was read before
(``already_read.py``).
"""

import os
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import msgspec

from heptad.core.config.schema import FileSourceConfig, SourceConfig
from heptad.core.store.api import StoreError
from heptad.core.store.sqlite import LocalStore
from heptad.core.store.sqlite_reading import Points
from heptad.core.units import format_time
from heptad.exporter.already_read import Handover, find_last_events
from heptad.exporter.normalize.login_attempts import LONGEST
from heptad.exporter.parsing.rulebook import Rulebook
from heptad.exporter.stored_line import machine_of

SPEAKERS: Final = "speakers"
BEGUN_ANEW: Final = "begun_anew"
"""When the store was set aside and replaced by an empty one (ns)."""
_FEW: Final = 8

Speaker = tuple[str, str]
"""The name of a source, and a place that it reads."""


class SourceScope(msgspec.Struct, frozen=True):
    """What a configured source reads: its places and programs."""

    name: str
    locations: tuple[str, ...]
    programs: frozenset[str]

    @property
    def speakers(self) -> set[Speaker]:
        """The source at each of its places."""
        return {(self.name, place) for place in self.locations}


def locations_of(config: SourceConfig) -> tuple[str, ...]:
    """Return the places that a source reads."""
    if isinstance(config, FileSourceConfig):
        return tuple(dict.fromkeys(map(os.path.normpath, config.paths)))
    return (config.directory or "journal",)


def scope_of(config: SourceConfig, rulebook: Rulebook) -> SourceScope:
    """Return what a configured source reads with these rules."""
    known = frozenset(program.name for program in rulebook.programs.values())
    programs = known & frozenset(config.programs) if config.programs else known
    return SourceScope(config.name, locations_of(config), programs)


class Takeover(msgspec.Struct):
    """The programs that a source takes over, and the sources that read them before."""

    source: str
    programs: list[str] = []
    before: set[str] = set()


class SpeakerState(msgspec.Struct):
    """Which sources last read each program, and the names that this host had."""

    speakers: dict[str, list[Speaker]] = {}
    own: list[str] = []


def find_changes(store: Points, readings: Sequence[SourceScope], host: str) -> list[Takeover]:
    """Return what sources take over from others, according to the store."""
    speakers = _recall(store, readings, host)
    changes: dict[str, Takeover] = {}
    for reading in readings:
        for program in sorted(reading.programs):
            old = set(speakers.speakers.get(program, ()))
            new = {one for r in readings if program in r.programs for one in r.speakers}
            gone = {one for one in old - new if not _is_covered(one, new)}
            if gone and reading.speakers - old:
                change = changes.setdefault(reading.name, Takeover(reading.name))
                change.programs.append(program)
                change.before |= {name for name, _ in gone}
    return list(changes.values())


def _is_covered(speaker: Speaker, others: Iterable[Speaker]) -> bool:
    """Return whether a pattern of the same source matches the path."""
    name, place = speaker
    return any(other == name and fnmatchcase(place, pattern) for other, pattern in others)


def preview(path: Path, readings: Sequence[SourceScope], host: str) -> list[str]:
    """Describe what a start with the store in ``path`` would take over."""
    if not path.exists():
        return []
    try:
        with LocalStore(path) as store:
            changes = find_changes(store, readings, host)
            told = [describe(change, store, host) for change in changes]
    except (StoreError, sqlite3.Error) as error:
        text = "cannot read the store, so it is unknown what a source takes over from another one"
        return [f"{text}: {error}; run the check as the user of the exporter"]
    return [text for text in told if text]


def begin(
    store: Points, readings: Sequence[SourceScope], host: str, now: int, lost: Collection[str] = ()
) -> dict[str, bytes]:
    """Return the state with which sources start a takeover; commit it in one transaction.

    A source whose position is ``lost`` takes over from itself.
    """
    speakers = _recall(store, readings, host)
    own = own_names(store, host)
    state: dict[str, bytes] = {}
    upto = store.newest_position()
    past = store.past(upto)
    changes = [c for c in find_changes(store, readings, host) if c.source not in lost]
    changes += [Takeover(r.name, sorted(r.programs), {r.name}) for r in readings if r.name in lost]
    tails = find_last_events(past, own) if changes else {}
    for change in changes:
        times = [tail.time for voice, tail in tails.items() if voice[1] in change.programs]
        arrived = past.last_mark() or now
        since = min(max(times, default=now), arrived, now) - LONGEST
        handed = Handover(
            upto=upto,
            at=now,
            since=since,
            whole=all(store.recall(f"caught_up/{name}") for name in change.before),
            begun_anew=int(store.recall(BEGUN_ANEW) or 0),
        )
        known = [
            (store.recall(f"attempts/{name}") or b"", store.recall(f"strangers/{name}") or b"")
            for name in sorted(change.before | {change.source})
        ]
        name = change.source
        keys = ("source", "attempts", "strangers", "caught_up")
        state |= {f"{key}/{name}": b"" for key in keys}
        state[f"handover/{name}"] = msgspec.msgpack.encode(handed)
        state[f"joined/{name}"] = msgspec.msgpack.encode(known)
    for program in {program for reading in readings for program in reading.programs}:
        speakers.speakers[program] = sorted(
            one for r in readings if program in r.programs for one in r.speakers
        )
    speakers.own = sorted(own)
    encoded = msgspec.json.encode(speakers)
    return state if encoded == store.recall(SPEAKERS) else state | {SPEAKERS: encoded}


def own_names(store: Points, host: str) -> frozenset[str]:
    """Return the names that this host has had in the store, in the form of ``machine_of``."""
    known = store.recall(SPEAKERS)
    earlier = msgspec.json.decode(known, type=SpeakerState).own if known else []
    return frozenset([*earlier[-_FEW:], machine_of(host), ""])


def recall_speakers(store: Points) -> dict[str, bytes]:
    """Return the stored state that all sources share."""
    recalled = {key: store.recall(key) or b"" for key in (SPEAKERS, BEGUN_ANEW)}
    return {key: value for key, value in recalled.items() if value}


def recall_handover(store: Points, source: str) -> Handover | None:
    """Return the progress of a source's takeover; None if there is none."""
    known = store.recall(f"handover/{source}")
    if not known:
        return None
    state = msgspec.msgpack.decode(known, type=Handover)
    begun_anew = int(store.recall(BEGUN_ANEW) or 0)
    if state.begun_anew != begun_anew:
        # the points to compare with are in a file that was set aside
        state.upto, state.begun_anew = 0, begun_anew
    return state


def _recall(store: Points, readings: Sequence[SourceScope], host: str) -> SpeakerState:
    known = store.recall(SPEAKERS)
    if known:
        return msgspec.json.decode(known, type=SpeakerState)
    return SpeakerState(_guess(store, readings, host))


def _guess(store: Points, readings: Sequence[SourceScope], host: str) -> dict[str, list[Speaker]]:
    """Guess who read each program, in a store without a record: the source of its last events."""
    names = {key.partition("/")[2] for key in store.recall_keys("source/")}
    others = names - {reading.name for reading in readings}
    if not others:
        return {}
    last: dict[str, tuple[int, str]] = {}
    past = store.past(store.newest_position())
    for (_, program), tail in find_last_events(past, own_names(store, host)).items():
        last[program] = max(last.get(program, (-1, "")), (tail.arrival, tail.source))
    speakers: dict[str, list[Speaker]] = {}
    for reading in readings:
        for program in reading.programs:
            source = last.get(program, (0, ""))[1]
            if source in others:
                speakers[program] = [(source, "")]
            elif reading.name in names or source == reading.name:
                speakers[program] = sorted(reading.speakers)
            else:
                speakers[program] = [(name, "") for name in sorted(others)]
    return speakers


def describe(change: Takeover, store: Points, host: str) -> str | None:
    """Describe a takeover, and how to choose another one; None if it has no effect."""
    own = own_names(store, host)
    tails = find_last_events(store.past(store.newest_position()), own)
    last: dict[str, int] = {}
    for (_, program), tail in tails.items():
        if program in change.programs:
            last[program] = max(last.get(program, tail.time), tail.time)
    before = ", ".join(f"`{name}`" for name in sorted(change.before))
    text = f"source `{change.source}` takes over {_count(change.programs)} from {before}: "
    begun_anew = int(store.recall(BEGUN_ANEW) or 0)
    if not last and not begun_anew:
        return None  # none of them was read
    if not last:
        return text + (
            "earlier events are in a corrupt store that was renamed, so lines from before "
            f"{format_time(begun_anew)} are skipped. To read the whole log again, set another "
            "store.path"
        )
    shown = sorted(last, key=lambda program: -last[program])
    told = ", ".join(f"{program} {format_time(last[program])}" for program in shown[:_FEW])
    more = f" and {len(shown) - _FEW} more" if len(shown) > _FEW else ""
    return text + (
        f"it starts after the last stored event of each ({told}{more}) and skips lines that were "
        "read before; lines of programs without events, and of other hosts, are read from the "
        "beginning. To read the whole log again, set another store.path; to go on with "
        f"{before}, keep it in `sources`"
    )


def _count(programs: Sequence[str]) -> str:
    if len(programs) > _FEW:
        return f"{len(programs)} programs"
    return ", ".join(programs)
