"""What the code exposes, to check queries against: metrics with their labels, measurements.

It also has the words that labels and tags may have.
"""

import re
from collections.abc import Iterable
from typing import Final

from heptad.aggregator.detection.finding import SEVERITIES
from heptad.aggregator.detection.open_findings import WITHIN
from heptad.aggregator.detection.rules import rules_of
from heptad.aggregator.metrics import COUNTERS as AGGREGATOR_COUNTERS
from heptad.aggregator.metrics import GAUGES as AGGREGATOR_GAUGES
from heptad.aggregator.reports.ranking import OTHERS
from heptad.aggregator.reports.top import QUESTIONS
from heptad.cli.influxdb_admin.buckets import BUCKETS
from heptad.core.config.findings import FindingsConfig
from heptad.core.event import LABELS as OF_AN_EVENT
from heptad.core.telemetry.metrics import REJECTIONS, RELOADS
from heptad.exporter.collectors import FAMILIES
from heptad.exporter.delivery.circuit_breaker import STATES
from heptad.exporter.delivery.forwarder import RESULTS as DELIVERED
from heptad.exporter.metrics import COUNTERS, GAUGES
from heptad.exporter.normalize.line_result import RESULTS
from heptad.exporter.normalize.login_attempts import label_sets
from tests.support.rulebook import RULEBOOK

TARGET: Final = frozenset({"job", "instance"})
"""Labels that Prometheus adds to scraped metrics."""
FUNCTIONS: Final = frozenset(
    "rate increase sum min max count avg by on or and unless time vector topk bottomk label_replace"
    " clamp_min clamp_max ignoring group_left bool abs round group quantile without scalar sort_desc label_join last_over_time max_over_time min_over_time"
    " avg_over_time sum_over_time end offset".split()
)
_OWN: Final = {
    **COUNTERS,
    **GAUGES,
    **AGGREGATOR_COUNTERS,
    **AGGREGATOR_GAUGES,
    **RELOADS,
    **REJECTIONS,
}
RECORDED: Final[dict[str, frozenset[str]]] = {
    **{
        f"heptad:{name}": frozenset({"host"})
        for name in ("host_up", "load:per_cpu", "disk:fullest")
    },
    "heptad:logins:increase5m": frozenset({"host", "program", "method", "outcome"}),
    "heptad:lines:increase5m": frozenset({"result"}),
    "heptad:lines_not_understood:increase5m": frozenset({"program"}),
    "heptad:delivered:increase5m": frozenset({"result"}),
}
"""Series recorded by rules/fleet.yml → their labels."""
LABELS: Final[dict[str, frozenset[str]]] = {
    **RECORDED,
    **{name: frozenset(labels) for name, (labels, _) in _OWN.items()},
    **{family.name: frozenset(family.labels) for family in FAMILIES},
    "up": frozenset(),
    "ALERTS": frozenset({"alertname", "alertstate", "severity", "host"}),
}
"""Metric → its own labels; a name may be a pattern, `node_memory_<Field>_bytes`."""
MEASUREMENTS: Final = {m.name: m for measurements in BUCKETS.values() for m in measurements}
BUCKET_OF: Final = {m.name: bucket for bucket, known in BUCKETS.items() for m in known}
EVENTS: Final = [dict(zip(OF_AN_EVENT, s, strict=True)) for s in label_sets(RULEBOOK)]
"""All label sets that `auth_events_total` has from the start."""
WORDS: Final[dict[str, frozenset[str]]] = {
    **{label: frozenset(one[label] for one in EVENTS) for label in OF_AN_EVENT},
    "rule": frozenset(rule.name for rule in rules_of(FindingsConfig())),
    "severity": frozenset(SEVERITIES),
    "result": frozenset(map(str, RESULTS)) | frozenset(DELIVERED),
    "state": frozenset(STATES) | {"current", "superseded", "withdrawn"},
    "alert": frozenset({"critical", "warning", "info"}),
    "top": frozenset(QUESTIONS),
    "rank": frozenset({OTHERS}),
    "within": frozenset(WITHIN),
    "mode": frozenset("user nice system idle iowait irq softirq steal".split()),
}
"""Label or tag → the words that a query may compare it with."""

_SELECTOR: Final = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)?\{(?P<matchers>[^{}]*)\}")
_MATCHER: Final = re.compile(r'\s*(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_COMPARED: Final = re.compile(r"\"(\w+)\" (?:=~|!=|=) (?:'|/\^\()([\w|-]*)")
_GROUPING: Final = re.compile(r"\b(?:by|on|ignoring|without|group_left)\s*\(([^()]*)\)")
_TEXT: Final = re.compile(r'"(?:[^"\\]|\\.)*"')


def labels_of(metric: str) -> frozenset[str] | None:
    """Return the labels of a metric; None if the code does not expose it."""
    for name, labels in LABELS.items():
        if re.fullmatch(re.sub(r"<\w+>", r"\\w+", name), metric):
            return labels | TARGET
    return None


def selectors_of(promql: str) -> list[tuple[list[str], dict[str, tuple[str, str]]]]:
    """Return the selectors of a query: metric names, and label → operator and operand."""
    found = []
    for selector in _SELECTOR.finditer(promql):
        matchers = {
            label: (how, what) for label, how, what in _MATCHER.findall(selector["matchers"])
        }
        names = [selector["name"]] if selector["name"] else matchers.pop("__name__")[1].split("|")
        found.append((names, matchers))
    return found


def strange_in_promql(promql: str) -> list[str]:
    """Return the names in a query that nothing exposes."""
    strange: list[str] = []
    known: set[str] = set(TARGET)
    for names, matchers in selectors_of(promql):
        for name in names:
            labels = labels_of(name)
            if labels is None:
                strange.append(name)
                continue
            known |= labels
            strange += [f"{name}{{{label}}}" for label in matchers.keys() - labels]
    made = set(re.findall(r'label_(?:replace|join)\(.*?,\s*"(\w+)"', promql))
    for group in _GROUPING.findall(promql):
        strange += [label for label in re.findall(r"\w+", group) if label not in known | made]
    rest = _TEXT.sub("", _GROUPING.sub("", _SELECTOR.sub("", promql)))
    rest = re.sub(r"\[[^\]]*\]|\$\w+", "", rest)
    return strange + [word for word in re.findall(r"[a-zA-Z_]\w*", rest) if word not in FUNCTIONS]


def strange_in_influxql(influxql: str) -> list[str]:
    """Return the double-quoted names in a query that no measurement has."""
    names = re.findall(r'"(\w+)"', influxql)
    measured = set(re.findall(r'FROM "(\w+)"', influxql))
    known = set(re.findall(r'AS "(\w+)"', influxql)) | measured
    for name in measured & MEASUREMENTS.keys():
        known |= MEASUREMENTS[name].tags.keys() | MEASUREMENTS[name].fields.keys()
    strange = [name for name in measured if name not in MEASUREMENTS]
    return strange + [name for name in names if name not in known]


def strange_words(query: str) -> list[str]:
    """Return the words that a query compares a label or tag with, but that it never has."""
    if query.startswith("SELECT"):
        return _strange(_COMPARED.findall(query))
    strange = []
    for names, matchers in selectors_of(query):
        fixed = {label: what for label, (_, what) in matchers.items() if "$" not in what}
        if names == ["ALERTS"] and "severity" in fixed:  # that of an alert, not of a finding
            fixed["alert"] = fixed.pop("severity")
        strange += _strange(fixed.items())
        if names == ["auth_events_total"]:
            own = {label: what for label, what in fixed.items() if label in OF_AN_EVENT}
            if not any(all(re.fullmatch(own[n], one[n]) for n in own) for one in EVENTS):
                strange.append(f"no event has {own}")
    return strange


def _strange(compared: Iterable[tuple[str, str]]) -> list[str]:
    return [
        f"{label}: {word}"
        for label, words in compared
        for word in words.split("|")
        if label in WORDS and not any(re.fullmatch(word, known) for known in WORDS[label])
    ]
