"""One case of an alert: what Prometheus scraped, and whether the alert fires then."""

from typing import NamedTuple

EXPORTER = {"job": "heptad", "instance": "web-1:9707"}
AGGREGATOR = {"job": "heptad-aggregator", "instance": "fleet:9708"}


class Case(NamedTuple):
    """``series`` are in promtool's notation, a sample per ``interval``; ``at`` is the moment.

    ``labels`` are those of the alert that fires, beside its severity; None if none may fire.
    ``early``: for an alert that waits, the last moment at which it does not fire yet. ``newest``:
    for an alert on findings, the time (s) of the last event of the newest one. ``host``: the name of the host that its exporter tells.
    """

    alert: str
    why: str
    series: dict[str, str]
    at: str
    labels: dict[str, str] | None = None
    summary: str = ""
    description: str = ""
    interval: str = "1m"
    early: str = ""
    newest: int | None = None
    host: str = ""


def exporter(name: str, **labels: str) -> str:
    """A series of an exporter."""
    return _series(name, EXPORTER | labels)


def aggregator(name: str, **labels: str) -> str:
    """A series of the aggregator."""
    return _series(name, AGGREGATOR | labels)


def _series(name: str, labels: dict[str, str]) -> str:
    matched = ", ".join(f'{key}="{value}"' for key, value in labels.items())
    return f"{name}{{{matched}}}"


def events(action: str, outcome: str, method: str = "", program: str = "sshd") -> str:
    """A series of auth_events_total."""
    labels = {"program": program, "action": action, "outcome": outcome, "method": method}
    return exporter("auth_events_total", **labels)
