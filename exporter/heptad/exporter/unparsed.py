"""Store lines that no rule matched or that were rejected, and apply the rules to them again.

If a daemon changes its log format, no rule matches its lines; if its binary moves, its lines are
rejected. They are stored with everything that a rule needs, so that a corrected rule or setting can
process them later. A line becomes an event and is removed in one transaction, so processing can
continue after a kill.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, Final

from heptad.core.store.event_row import UNPARSED, row_of_event
from heptad.core.store.line_protocol import encode_fields, encode_series
from heptad.core.store.point import Identity, Point, Row, Value
from heptad.core.store.sqlite import LocalStore
from heptad.core.telemetry.metrics import CounterDict, add_counters
from heptad.exporter.log_record import LogRecord, Provenance, RepeatCount
from heptad.exporter.metrics import CounterDelta
from heptad.exporter.normalize.line_result import IGNORED, LineResult
from heptad.exporter.normalize.normalizer import Normalizer
from heptad.exporter.normalize.privacy import Privacy
from heptad.exporter.normalize.provenance import UserIds
from heptad.exporter.parsing.rulebook import Rulebook
from heptad.exporter.rejected_lines import UntrustedLines

_CHUNK: Final = 1000
_FOREVER: Final = 2**63 - 1

ResultCounts = Counter[tuple[str, LineResult]]
"""(program, result of its lines) → their number."""


def row_of_line(
    record: LogRecord,
    host: str,
    source: str,
    program: str,
    *,
    history: bool,
    untrusted: bool = False,
    masked: bool = False,
) -> Row:
    """Return the row of a line that no rule of ``program`` matched, or that is ``untrusted``.

    ``masked``: what must not be stored is already masked. ``history``: the line was read before the
    source had been read to its end once, and is older than the first start, so its event is not
    counted as new.
    """
    message, raw, provenance = record.message, record.raw, record.provenance
    is_end = raw.endswith(message)
    fields: dict[str, Value | None] = {
        "tag": record.app_name,
        "pid": record.pid,
        "count": record.count,
        "begin": len(raw) - len(message) if is_end else None,
        "message": None if is_end else message,
        "log_host": record.host,
        "path": provenance.path,
        "unit": provenance.unit,
        "trusted": provenance.trusted or None,
        "exe": provenance.exe,
        "uid": provenance.uid,
        "capable": provenance.capable or None,
        "transport": provenance.transport,
        "history": history or None,
        "refused": untrusted or None,
        "masked": masked or None,
    }
    series = encode_series(UNPARSED, (("host", host), ("source", source), ("program", program)))
    return Row(series, record.time, encode_fields(fields), raw)


def record_of_point(point: Point) -> LogRecord:
    """Return the record given to ``row_of_line``; its time may have been moved by the store."""
    fields: dict[str, Any] = point.fields
    raw = fields.get("raw", "")
    message = fields["message"] if "message" in fields else raw[fields["begin"] :]
    names = ("path", "unit", "exe", "uid", "transport")
    provenance = Provenance(
        trusted=fields.get("trusted", False),
        capable=fields.get("capable", False),
        **{name: fields.get(name) for name in names},
    )
    log_host, pid = fields.get("log_host"), fields.get("pid")
    count = fields["count"]
    often = count if count == 1 else RepeatCount(count)
    return LogRecord(point.time, log_host, fields["tag"], pid, message, raw, often, provenance)


class Reprocessor:
    """Applies the rules of ``rulebook`` to stored lines; without ``store``, it changes nothing.

    ``user_ids`` are the accounts of each source whose journal another machine wrote. Login attempts
    may be classified differently, because the state of the connections when the lines were read is
    lost.
    """

    def __init__(
        self,
        rulebook: Rulebook,
        privacy: Privacy | None,
        store: LocalStore | None,
        user_ids: Mapping[str, UserIds | None] = {},
    ) -> None:
        self.results: ResultCounts = Counter()
        self._rulebook = rulebook
        self._privacy = privacy
        self._store = store
        self._user_ids = user_ids
        self._normalizers: dict[str, Normalizer] = {}
        self._plain: dict[str, Normalizer] = {}
        self._untrusted: dict[str, UntrustedLines] = {}

    def run(self, reader: LocalStore, since: int, report: Callable[[int], object]) -> None:
        """Process the stored lines from ``since`` (ns) on in order of time; raises StoreError.

        ``report`` is called with the number of lines processed. ``reader`` is another connection to
        the store, so that writing does not change its view.
        """
        points = reader.read(UNPARSED, since, _FOREVER)
        while chunk := list(islice(points, _CHUNK)):
            self._take(chunk, reader)
            report(len(chunk))
        if self._store is not None and self._normalizers:
            self._store.append([], dict.fromkeys(self._normalizers, b""))

    def _take(self, chunk: list[Point], reader: LocalStore) -> None:
        rows: list[Row] = []
        done: list[Identity] = []
        deltas: dict[tuple[str, bool], CounterDelta] = {}
        for point in chunk:
            source, program = point.tags["source"], point.tags["program"]
            normalizer = self._normalizer(point, reader)
            record = record_of_point(point)
            events, _, others = normalizer.normalize([record])
            result = others[0][0] if others else LineResult.EVENT
            self.results[program, result] += 1
            if events:
                history = "history" in point.fields
                delta = deltas.get((source, history))
                if delta is None:
                    delta = deltas[source, history] = CounterDelta(
                        source, _FOREVER if history else -1
                    )
                if _is_masked(point):  # an event with a masked value has no raw line
                    events[0].raw = ""
                rows.append(row_of_event(events[0]))
                delta.events(events, rows[-1:])
            elif result is not IGNORED:
                continue
            if "refused" in point.fields:
                self._trust(source, program, record.provenance, reader)
            done.append(Identity(point.time, encode_series(UNPARSED, point.tags.items())))
        if self._store is not None and done:
            state = {key: known.attempts.dump() for key, known in self._normalizers.items()}
            state |= {f"refused/{name}": known.dump() for name, known in self._untrusted.items()}
            self._store.append(rows, state, _add_up(deltas.values()), remove=done)

    def _normalizer(self, point: Point, reader: LocalStore) -> Normalizer:
        """Return a normalizer per host and source, with the connections of an interrupted run.

        It masks nothing if the line is already masked.
        """
        host, source = point.tags["host"], point.tags["source"]
        key = f"applied/{source}/{host}"
        normalizer = self._normalizers.get(key)
        if normalizer is None:
            user_ids = self._user_ids.get(source)
            normalizer = Normalizer(
                self._rulebook, host, source, privacy=self._privacy, user_ids=user_ids
            )
            if known := reader.recall(key):
                reader.intake.restore(key, known, normalizer.attempts.restore)
            self._normalizers[key] = normalizer
            self._plain[key] = plain = Normalizer(self._rulebook, host, source, user_ids=user_ids)
            plain.attempts = normalizer.attempts
        return self._plain[key] if _is_masked(point) else normalizer

    def _trust(self, source: str, program: str, provenance: Provenance, reader: LocalStore) -> None:
        """Remove lines of ``program`` that are now trusted from the rejected ones."""
        refusals = self._untrusted.get(source)
        if refusals is None:
            refusals = self._untrusted[source] = UntrustedLines()
            if known := reader.recall(f"refused/{source}"):
                refusals.restore(known)
        refusals.trust(program, provenance)


def _is_masked(point: Point) -> bool:
    return "masked" in point.fields


def _add_up(deltas: Iterable[CounterDelta]) -> CounterDict:
    total: CounterDict = {}
    for delta in deltas:
        add_counters(total, delta.counters())
    return total
