"""The view of health: problems, sources, lines not understood and gaps."""

import json
import time
from collections.abc import Sequence
from typing import Any, Final

from heptad.aggregator.web.events import SHOWN
from heptad.aggregator.web.source import AHEAD
from heptad.core.event import ACTIONS
from heptad.core.store.api import Counters, EventStore
from heptad.core.terminal import printable
from heptad.core.units import SECOND, format_time

_MOST: Final = 200
_STALE: Final = 180 * SECOND
"""If the logs were not read for this long, the page calls its state outdated."""


def describe_health(
    events: EventStore, reports: EventStore | None, problems: Sequence[str], judged: int | None
) -> dict[str, Any]:
    """Return the problems, and what is known of each host and source.

    What the stores do not contain is left out. Events are complete up to ``looked_until``, findings
    up to ``judged_until``.
    """
    if not events.is_shared:
        # an exporter in another process reports its problems in the store; those of this process
        # are newer
        known = {_topic_of(problem) for problem in problems}
        stored = (one for one in events.problems() if _topic_of(one) not in known)
        problems = [*problems, *stored]
    told: dict[str, Any] = {
        "problems": [printable(problem, 500) for problem in problems[:_MOST]],
        "sources": _sources(events)[:_MOST],
        "actions": list(ACTIONS),
    }
    looked = events.watermark()
    if looked is not None:
        told["looked_until"] = format_time(looked)
        told["is_stale"] = time.time_ns() - looked > _STALE
        if judged is not None:
            told["judged_until"] = format_time(min(looked, judged))
    if not events.is_shared:
        counters = events.counters()
        told["lines"] = _sum(counters, "heptad_lines_total", "source")
        told["not_understood"] = _sum(counters, "heptad_lines_not_understood_total", "program")
        told["gaps"] = _sum(counters, "heptad_gaps_total", "source")
    if (size := events.size()) is not None:
        told["size"] = size + ((reports.size() or 0) if reports is not None else 0)
    return told


def _topic_of(problem: str) -> str:
    return problem.partition(": ")[0]


def _sources(store: EventStore) -> list[dict[str, Any]]:
    """Return each host and source with its programs and the time of its last event."""
    known: dict[tuple[str, str], dict[str, int]] = {}
    until = time.time_ns() + AHEAD
    for (host, source, program), last in store.last_times(until).items():
        known.setdefault((host, source), {})[program] = last
    return [
        {
            "host": printable(host, SHOWN),
            "source": printable(source, SHOWN),
            "last": format_time(max(programs.values())),
            "programs": [printable(program, SHOWN) for program in sorted(programs)][:_MOST],
        }
        for (host, source), programs in sorted(known.items())
    ]


def _sum(counters: Counters, name: str, label: str) -> dict[str, int]:
    """Sum a counter by one of its labels; zeros are left out."""
    sums: dict[str, int] = {}
    for (known, labels), value in counters.items():
        if known == name and value:
            key = printable(str(json.loads(labels).get(label, "")), SHOWN)
            sums[key] = sums.get(key, 0) + int(value)
    return dict(sorted(sums.items(), key=lambda item: -item[1])[:_MOST])
