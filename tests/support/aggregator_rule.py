"""Run a single rule on some events."""

from heptad.aggregator.detection.facts import EventBatch, facts_of
from heptad.aggregator.detection.finding import Finding
from heptad.aggregator.detection.rules import DetectionRule
from heptad.core.event import Event
from tests.support.aggregator_world import DAY, HOUR, MIDNIGHT, MINUTE, SECOND, login

__all__ = ["DAY", "HOUR", "MIDNIGHT", "MINUTE", "NOON", "SECOND", "find", "happen", "login"]

NOON = MIDNIGHT + 12 * HOUR


def find(rule: DetectionRule, *events: Event) -> list[Finding]:
    """Return the findings of all subjects, in order of time."""
    cells: dict[str, dict[int, object]] = {}
    for event in events:
        wanted = (getattr(event, tag) in values for tag, values in rule.filter.items())
        subject = rule.key_of(event) if all(wanted) else None
        if subject is not None:
            own = cells.setdefault(subject, {})
            minute = event.time // MINUTE
            cell = rule.add(own.get(minute), EventBatch([(event, facts_of(event))]))
            if cell is not None:
                own[minute] = cell
    found: list[Finding] = []
    for subject, own in cells.items():
        chain = rule.detector()
        for minute in sorted(own):
            chain.add(minute, own[minute])
        found += chain.findings(subject)
    return sorted(found, key=lambda finding: finding.first)


def happen(action: str, time: int, **fields: object) -> Event:
    """Return an event that succeeded."""
    return login(time, **{"outcome": "success", "action": action, "method": "", **fields})  # type: ignore[arg-type]
