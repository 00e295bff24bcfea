"""Lines that were not understood or not believed: stored, and given to the rules once more.

A daemon that changes its format writes lines that nothing understands, and one at another path
lines that nobody believes. They are kept with all that a rule would have been told, so that a
mended rule or setting finds them. A line becomes an event and stops
being left over in one transaction: whoever is killed in between goes on where he was.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, Final

from heptad.core.store.api import Point, Row
from heptad.core.store.event_row import LEFT_OVER
from heptad.core.store.line_protocol import Value, encode_fields, encode_head
from heptad.core.store.sqlite import LocalStore
from heptad.core.telemetry.metrics import CounterDict, add_counters
from heptad.exporter.log_record import Folded, Origin, Record
from heptad.exporter.metrics import Tally
from heptad.exporter.normalize.normalizer import IGNORED, Interpreter, Result
from heptad.exporter.normalize.privacy import Privacy
from heptad.exporter.normalize.provenance import Accounts
from heptad.exporter.parsing.rulebook import Rulebook
from heptad.exporter.rejected_lines import Refusals

_CHUNK: Final = 1000
_FOREVER: Final = 2**63 - 1

Became = Counter[tuple[str, Result]]
"""(program, what became of its lines) to their number."""


def row_of_line(
    record: Record,
    host: str,
    source: str,
    program: str,
    *,
    history: bool,
    refused: bool = False,
    masked: bool = False,
) -> Row:
    """The row of a line that no rule of ``program`` understood, or that is ``refused``.

    ``masked``: what of it may not be kept is masked, and is not to be masked once more.
    ``history``: it was read before the source had been read to its end once, and is older than
    the first start, so that an event of it is not counted as new.
    """
    time, log_host, tag, pid, message, raw, count, origin = record
    is_end = raw.endswith(message)
    fields: dict[str, Value | None] = {
        "tag": tag,
        "pid": pid,
        "count": count,
        "begin": len(raw) - len(message) if is_end else None,
        "message": None if is_end else message,
        "log_host": log_host,
        "path": origin.path,
        "unit": origin.unit,
        "trusted": origin.trusted or None,
        "exe": origin.exe,
        "uid": origin.uid,
        "capable": origin.capable or None,
        "transport": origin.transport,
        "history": history or None,
        "refused": refused or None,
        "masked": masked or None,
    }
    head = encode_head(LEFT_OVER, (("host", host), ("source", source), ("program", program)))
    return (head, time, encode_fields(fields), raw)


def record_of_point(point: Point) -> Record:
    """The record that ``row_of_line`` was given; its time may have moved on when it was stored."""
    fields: dict[str, Any] = point.fields
    raw = fields.get("raw", "")
    message = fields["message"] if "message" in fields else raw[fields["begin"] :]
    names = ("path", "unit", "exe", "uid", "transport")
    origin = Origin(
        trusted=fields.get("trusted", False),
        capable=fields.get("capable", False),
        **{name: fields.get(name) for name in names},
    )
    log_host, pid = fields.get("log_host"), fields.get("pid")
    count = fields["count"]
    often = count if count == 1 else Folded(count)
    return (point.time, log_host, fields["tag"], pid, message, raw, often, origin)


class Reapplication:
    """Gives stored lines to the rules of ``rulebook``; without ``store`` it only looks.

    ``accounts`` are those of each source whose journal another machine wrote. Lines are judged as
    if no others had been written: what the exporter knew of a connection when it read them is gone.
    """

    def __init__(
        self,
        rulebook: Rulebook,
        privacy: Privacy | None,
        store: LocalStore | None,
        accounts: Mapping[str, Accounts | None] = {},
    ) -> None:
        self.became: Became = Counter()
        self._rulebook = rulebook
        self._privacy = privacy
        self._store = store
        self._accounts = accounts
        self._interpreters: dict[str, Interpreter] = {}
        self._plain: dict[str, Interpreter] = {}
        self._refusals: dict[str, Refusals] = {}

    def run(self, reader: LocalStore, since: int, tell: Callable[[int], object]) -> None:
        """Take what is left over since ``since`` (ns) in order of time; raises StoreError.

        ``tell`` is told how many lines were looked at. ``reader`` is another connection to the
        store, whose view does not change under the writing.
        """
        points = reader.read(LEFT_OVER, since, _FOREVER)
        while chunk := list(islice(points, _CHUNK)):
            self._take(chunk, reader)
            tell(len(chunk))
        if self._store is not None and self._interpreters:
            self._store.append([], dict.fromkeys(self._interpreters, b""))

    def _take(self, chunk: list[Point], reader: LocalStore) -> None:
        rows: list[Row] = []
        done: list[tuple[str, int]] = []
        tallies: dict[tuple[str, bool], Tally] = {}
        for point in chunk:
            source, program = point.tags["source"], point.tags["program"]
            interpreter = self._interpreter(point, reader)
            record = record_of_point(point)
            events, folded, others = interpreter.interpret([record])
            result = others[0][0] if others else Result.EVENT
            self.became[program, result] += 1
            if events:
                history = "history" in point.fields
                tally = tallies.get((source, history))
                if tally is None:
                    tally = tallies[source, history] = Tally(source, _FOREVER if history else -1)
                # an event in which something was masked keeps no line
                rows += [(*row[:3], "") for row in events] if _is_masked(point) else events
                tally.events(events)
                for row, count in folded:
                    tally.fold(row, count)
            elif result is not IGNORED:
                continue
            if "refused" in point.fields:
                self._settle(source, program, record[7], reader)
            done.append((encode_head(LEFT_OVER, point.tags.items()), point.time))
        if self._store is not None and done:
            state = {key: known.attempts.dump() for key, known in self._interpreters.items()}
            state |= {f"refused/{name}": known.dump() for name, known in self._refusals.items()}
            self._store.append(rows, state, _add_up(tallies.values()), remove=done)

    def _interpreter(self, point: Point, reader: LocalStore) -> Interpreter:
        """One a host and source, with the connections as they were if a run was cut off.

        It masks nothing where that is done already.
        """
        host, source = point.tags["host"], point.tags["source"]
        key = f"applied/{source}/{host}"
        interpreter = self._interpreters.get(key)
        if interpreter is None:
            accounts = self._accounts.get(source)
            interpreter = Interpreter(
                self._rulebook, host, source, privacy=self._privacy, accounts=accounts
            )
            if known := reader.recall(key):
                reader.intake.restore(key, known, interpreter.attempts.restore)
            self._interpreters[key] = interpreter
            self._plain[key] = plain = Interpreter(self._rulebook, host, source, accounts=accounts)
            plain.attempts = interpreter.attempts
        return self._plain[key] if _is_masked(point) else interpreter

    def _settle(self, source: str, program: str, origin: Origin, reader: LocalStore) -> None:
        """Lines of ``program`` from there are believed now: report them as refused no more."""
        refusals = self._refusals.get(source)
        if refusals is None:
            refusals = self._refusals[source] = Refusals()
            if known := reader.recall(f"refused/{source}"):
                refusals.restore(known)
        refusals.settle(program, origin)


def _is_masked(point: Point) -> bool:
    return "masked" in point.fields


def _add_up(tallies: Iterable[Tally]) -> CounterDict:
    total: CounterDict = {}
    for tally in tallies:
        add_counters(total, tally.counters())
    return total
