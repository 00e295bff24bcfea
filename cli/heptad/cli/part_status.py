"""The status of the exporter or aggregator, from its port, its store and the kernel's lock list.

A part is only healthy with evidence: within the last three minutes, the exporter must have read its
logs to their end, and the aggregator must have processed all arrived events.
"""

import math
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec
import psutil

from heptad.cli.port import Port, PortAnswer, PortError
from heptad.core.config.schema import Config
from heptad.core.store.api import StoreError
from heptad.core.store.sqlite import LocalStore
from heptad.core.store.writer import find_writer
from heptad.core.telemetry.masking import mask_secrets
from heptad.core.terminal import printable
from heptad.core.units import SECOND, format_time
from heptad.exporter.app import choose_sources, describe_source

PARTS: Final = ("exporter", "aggregator")
PartState = Literal["healthy", "problem", "unknown", "not running"]

_STALE: Final = 180.0
"""Seconds after which the last progress of a part no longer proves that it is healthy."""
_MOST: Final = 50
_LONGEST: Final = 500
_OF_PART: Final = {
    "exporter": "heptad_host_info",
    "aggregator": "heptad_aggregator_behind_seconds",
}
"""A metric that only this part has."""


class SourceStatus(msgspec.Struct):
    """One source of the exporter; None means unknown."""

    name: str
    reads: str | None = None
    is_readable: bool | None = None
    behind_bytes: int | None = None
    last_event: str | None = None


class PartStatus(msgspec.Struct):
    """The status of a part. Times are RFC 3339; None means unknown or not applicable."""

    part: str
    state: PartState
    address: str
    store: str
    has_run_here: bool = False
    process: int | None = None
    version: str | None = None
    running_since: str | None = None
    sources: list[SourceStatus] = []
    read_until: str | None = None
    delivers_to: str | None = None
    delivery_behind_events: int | None = None
    last_delivery: str | None = None
    behind_seconds: float | None = None
    problems: list[str] = []
    notes: list[str] = []


def examine(
    part: str, config: Config, file: Path | None, login: tuple[str, str] | None
) -> PartStatus:
    """Return the status of a part of ``config``, which was read from ``file``."""
    return _Examination(part, config, file).run(login)


class _Examination:
    def __init__(self, part: str, config: Config, file: Path | None) -> None:
        self._config = config
        self._file = file
        self._is_exporter = part == "exporter"
        self._settings = config.exporter if self._is_exporter else config.aggregator
        self._path = self._find_store()
        store = str(self._path) if self._path else config.influxdb.url if config.influxdb else ""
        self._status = PartStatus(part, "unknown", "", store)
        self._is_locked: bool | None = None

    def _find_store(self) -> Path | None:
        """Return the file that this part writes; the aggregator of a fleet has none."""
        if self._is_exporter:
            return Path(self._config.store.path)
        return None if self._config.influxdb else Path(self._config.aggregator.store.path)

    def run(self, login: tuple[str, str] | None) -> PartStatus:
        """Collect all information, and determine the state."""
        status = self._status
        self._find_process()
        port = Port(self._settings.listen, self._settings.web_config_file, login)
        status.address = port.url
        answer, refusal = None, None
        try:
            answer = port.ask()
        except PortError as error:
            refusal = error
        if answer is not None and _OF_PART[status.part] not in answer.samples:
            text = f"is answered by another program than Heptad's {status.part}"
            answer, refusal = None, PortError(text, is_closed=not self._is_locked)
            status.problems.append(f"{port.url} {text}")
        if answer is None and not self._is_locked and (refusal is None or refusal.is_closed):
            status.state = "not running"
            return status
        if answer is not None:
            self._take(answer)
        else:
            self._do_without(port.url, refusal)
        if answer is not None and self._is_locked is False:
            self._refuse_other()
        else:
            if self._is_exporter:
                self._read_store(asks_problems=answer is None)
            self._judge(answer)
        status.problems = _sound(status.problems)
        status.notes = _sound(status.notes)
        return status

    def _find_process(self) -> None:
        if self._path is None:
            return
        try:
            self._status.has_run_here = self._path.exists()
            self._status.process = find_writer(self._path)
            self._is_locked = self._status.process is not None
        except OSError as error:
            self._status.has_run_here = True  # unknown; assume that it has
            self._note_unreadable(error.strerror or str(error))

    def _note_unreadable(self, why: str) -> None:
        text = f"cannot read {self._path} ({why}); run this as root or as the service's user"
        if text not in self._status.notes:
            self._status.notes.append(text)

    def _take(self, answer: PortAnswer) -> None:
        """Evaluate the response of the port."""
        status = self._status
        status.problems += answer.problems or []
        for labels, _ in answer.samples.get("heptad_build_info", ()):
            status.version = printable(labels.get("version", ""), 40)
        status.running_since = _time(answer.value("process_start_time_seconds"))
        if answer.value("heptad_config_last_reload_successful") == 0:
            status.problems.append(
                "the configuration was rejected at the last reload, and the previous one is still "
                f"active; `heptad check-config {self._file or 'FILE'}` shows the errors"
            )
        elif self._is_changed(answer):
            status.notes.append(f"{self._file} was changed after it was read; reload the service")
        if not self._is_exporter:
            status.behind_seconds = _finite(answer.value("heptad_aggregator_behind_seconds"))
            return
        status.sources = self._read_sources(answer)
        if self._config.influxdb is not None:
            status.delivers_to = self._config.influxdb.url
            behind = answer.value("heptad_delivery_behind_events")
            status.delivery_behind_events = _whole(behind)
            name = "heptad_delivery_last_success_timestamp_seconds"
            status.last_delivery = _time(answer.value(name))

    def _is_changed(self, answer: PortAnswer) -> bool:
        loaded = answer.value("heptad_config_last_reload_success_timestamp_seconds")
        if self._file is None or loaded is None:
            return False
        try:
            return self._file.stat().st_mtime > loaded
        except OSError:
            return False

    def _read_sources(self, answer: PortAnswer) -> list[SourceStatus]:
        configured = self._config.sources or choose_sources(Path(self._config.exporter.host_root))
        reads = {source.name: describe_source(source) for source in configured}
        behind = _by_source(answer, "heptad_source_behind_bytes")
        last = _by_source(answer, "heptad_source_last_event_timestamp_seconds")
        up = _by_source(answer, "heptad_source_up")
        return [
            SourceStatus(
                printable(name, 80),
                printable(reads[name], _LONGEST) if name in reads else None,
                up[name] == 1 if name in up else None,
                _whole(behind.get(name)),
                _time(last.get(name)),
            )
            for name in list(up or reads)[:_MOST]
        ]

    def _do_without(self, url: str, refusal: PortError | None) -> None:
        """Handle a part that runs, or may run, but whose port does not report its status."""
        text = f"{url} {refusal}"
        if refusal is not None and str(refusal).startswith("cannot be queried"):
            self._status.notes.append(text)
        elif text not in self._status.problems:
            self._status.problems.append(text)
        if self._status.process is not None:
            try:
                self._status.running_since = _time(
                    psutil.Process(self._status.process).create_time()
                )
            except psutil.Error:
                return

    def _refuse_other(self) -> None:
        """Handle a response of a process with another configuration."""
        status = self._status
        status.state = "problem" if status.problems else "unknown"
        status.notes.append(
            f"the {status.part} that answers does not write {self._path}; pass its configuration "
            "with --config"
        )

    def _read_store(self, *, asks_problems: bool) -> None:
        """Read the time up to which all logs were read, and, if requested, the problems."""
        if self._path is None:
            return
        try:
            with LocalStore(self._path, patience=3) as store:
                looked = store.watermark()
                if asks_problems:
                    self._status.problems += store.problems()
        except (StoreError, sqlite3.Error, OSError) as error:
            self._note_unreadable(str(error))
            return
        self._status.read_until = None if looked is None else format_time(looked)
        if looked is not None:
            self._status.behind_seconds = max(0.0, (time.time_ns() - looked) / SECOND)

    def _judge(self, answer: PortAnswer | None) -> None:
        status = self._status
        if status.problems:
            status.state = "problem"
            return
        if answer is not None and answer.problems is None:
            status.notes.append(f"the response of {status.address}/healthz is not valid")
            return
        if status.behind_seconds is None:
            text = "up to when the logs were read" if self._is_exporter else "how far behind it is"
            status.notes.append(f"it is unknown {text}")
            return
        if status.behind_seconds > self._patience():
            what = (
                "the logs were last read to their end"
                if self._is_exporter
                else "all events that had arrived were last processed"
            )
            status.notes.append(f"{what} more than {self._patience():.0f} s ago")
        elif answer is not None and not self._is_exporter and self._is_starting(answer):
            status.notes.append("it has started, and is still processing the stored events")
        elif answer is not None and self._is_exporter and not status.sources:
            status.notes.append("it reads no sources")
        else:
            status.state = "healthy"

    def _patience(self) -> float:
        """Return the maximum number of seconds without progress for a healthy part."""
        poll = 0.0 if self._is_exporter else self._config.aggregator.poll
        return max(_STALE, 3 * poll)

    def _is_starting(self, answer: PortAnswer) -> bool:
        """Return whether an aggregator is as far behind as it has been running."""
        begun = max(
            answer.value("process_start_time_seconds") or 0.0,
            answer.value("heptad_config_last_reload_success_timestamp_seconds") or 0.0,
        )
        behind = self._status.behind_seconds or 0.0
        return behind >= time.time() - begun - 1


def _by_source(answer: PortAnswer, name: str) -> Mapping[str, float]:
    return {labels.get("source", ""): value for labels, value in answer.samples.get(name, ())}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _whole(value: float | None) -> int | None:
    return None if _finite(value) is None else int(value or 0)


def _time(seconds: float | None) -> str | None:
    """Convert Unix seconds to RFC 3339; None for no or an invalid time, or 0 (never)."""
    if seconds is None or not 0 < seconds < 2**33:
        return None
    return format_time(int(seconds * SECOND))


def _sound(texts: list[str]) -> list[str]:
    return [printable(mask_secrets(text), _LONGEST) for text in texts[:_MOST]]
