"""Alerting and recording rules, and how they are written to Prometheus' rule files.

An expression, a duration and an annotation may contain ``<name>``: a threshold of the settings, or
``<exporter_job>`` and ``<aggregator_job>``; an annotation also ``<host>``.
"""

import re
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import yaml

from heptad.core.config import strict_yaml
from provisioning.alerts.links import ITSELF, Board, is_absolute

SEVERITIES: Final[dict[str, str]] = {
    "critical": (
        "an intruder may be active, or data is being lost and will not recover: page someone"
    ),
    "warning": "someone has to look at it today",
    "info": "nothing to do by itself; read it together with other alerts, or in a daily list",
}
DEFAULT: Final = Path(__file__).parent.parent / "prometheus" / "settings.yml"

_PLACEHOLDER: Final = re.compile("<([a-z_]+)>")
_VALUE: Final = re.compile(r"\d+(\.\d+)?|(\d+(w|d|h|m|s))+")


class Threshold(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A number, or a duration in Prometheus' format, with its meaning."""

    value: int | float | str
    meaning: str


class Jobs(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The label ``job`` of exporter and aggregator."""

    exporter: str
    aggregator: str


class ExternalUrl(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The base URLs of Grafana and Heptad's page that the recipients of alerts can open."""

    grafana: str
    page: str


class AlertSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The operator's settings: settings.yml."""

    external_url: ExternalUrl
    jobs: Jobs
    thresholds: dict[str, Threshold]

    def names(self) -> dict[str, str]:
        """Return placeholder names and their values."""
        known = {name: str(threshold.value) for name, threshold in self.thresholds.items()}
        jobs = {"exporter_job": self.jobs.exporter, "aggregator_job": self.jobs.aggregator}
        return known | jobs | {"host": "{{ $host }}"}

    def fill(self, text: str) -> str:
        """Replace the placeholders in ``text``; raise KeyError for an unknown one."""
        names = self.names()
        return _PLACEHOLDER.sub(lambda found: names[found[1]], text)


class Alert(NamedTuple):
    """An alerting rule.

    ``first`` is the first thing to do; ``runbook`` is the page in docs/runbooks/, its anchor is the
    name; ``board`` is the dashboard that shows it.
    """

    name: str
    severity: str
    expr: str
    summary: str
    description: str
    first: str
    runbook: str
    wait: str = ""
    board: Board = ITSELF

    def texts(self) -> tuple[str, ...]:
        """Return all texts that may contain placeholders."""
        return (self.expr, self.wait, self.summary, self.description, self.first)


class Recording(NamedTuple):
    """A recording rule, and its purpose."""

    name: str
    expr: str
    why: str

    def texts(self) -> tuple[str, ...]:
        """Return all texts that may contain placeholders."""
        return (self.expr,)


class RuleGroup(NamedTuple):
    """Rules that are evaluated together; an empty ``interval`` is Prometheus' default."""

    name: str
    about: str
    rules: Sequence[Alert | Recording]
    interval: str = ""


def grown(counter: str, window: str, before: str) -> str:
    """Return the expression for the growth of a counter within ``window``, if it grew.

    A counter that was not scraped for longer has no sample in ``window`` before it grew, so
    ``increase`` misses the growth; then its last value is subtracted. ``before`` is how far back to
    search for it and in what steps, such as ``1d:1h``: growth within a step before the outage may
    be counted twice, and each step of each series costs about 10 µs per evaluation.
    """
    return (
        f"  increase({counter}[{window}]) > 0\n"
        "or\n"
        f"  {counter}\n"
        f"    - last_over_time({counter}[{before}] offset {window}) > 0\n"
        f"  unless {counter} offset {window}"
    )


def load_settings(path: Path = DEFAULT) -> AlertSettings:
    """Load settings.yml; raise DocumentError with all errors."""
    return strict_yaml.load(path, AlertSettings, check=_check)


def _check(settings: AlertSettings) -> Iterable[tuple[tuple[str, ...], str]]:
    for name, threshold in settings.thresholds.items():
        if not _VALUE.fullmatch(str(threshold.value)):
            yield (
                ("thresholds", name, "value"),
                "is neither a number nor a duration such as 90s, 5m, 1d",
            )
    for name in ("grafana", "page"):
        url = getattr(settings.external_url, name)
        if not is_absolute(url):
            text = "is not an absolute URL; write http://HOST:PORT or https://HOST/PATH, without"
            # there may be a password before an @
            shown = re.sub(r".*@", "…@", url, flags=re.DOTALL)
            yield ("external_url", name), f"`{shown}` {text} user, query and fragment"
    for job in ("exporter", "aggregator"):
        if not re.fullmatch(r"[\w./-]+", getattr(settings.jobs, job)):
            yield ("jobs", job), "is not the name of a job"


def check_names(settings: AlertSettings, groups: Iterable[RuleGroup]) -> list[str]:
    """Return the thresholds that are missing or unused."""
    texts = [text for group in groups for rule in group.rules for text in rule.texts()]
    used = {name for text in texts for name in _PLACEHOLDER.findall(text)}
    known = settings.names().keys()
    missing = [f"thresholds: `{name}` is missing" for name in sorted(used - known)]
    return missing + [
        f"thresholds: no rule uses `{name}`" for name in sorted(settings.thresholds.keys() - used)
    ]


def annotations(alert: Alert, settings: AlertSettings) -> dict[str, str]:
    """Return the annotations of an alert, as templates of Prometheus; all links are absolute."""
    page, board = settings.external_url.page.rstrip("/"), alert.board
    texts = {"summary": alert.summary, "description": f"{alert.description} First: {alert.first}"}
    told = {name: board.name_host(settings.fill(text)) for name, text in texts.items()}
    return told | {
        "dashboard_url": board.dashboard_url(settings.external_url.grafana.rstrip("/")),
        "page_url": board.page_url(page),
        "runbook_url": f"{page}/runbooks/{Path(alert.runbook).stem}#{alert.name.lower()}",
    }


def expression(rule: Alert | Recording, settings: AlertSettings) -> str:
    return settings.fill(textwrap.dedent(rule.expr).strip())


def render(group: RuleGroup, settings: AlertSettings) -> str:
    """Return the rule file of a group, for Prometheus' ``rule_files``."""
    data: dict[str, Any] = {"name": group.name}
    if group.interval:
        data["interval"] = group.interval
    data["rules"] = [_render_rule(rule, settings) for rule in group.rules]
    about = "".join(f"# {line}\n" for line in textwrap.wrap(group.about, 96))
    text = yaml.dump({"groups": [data]}, Dumper=_Dumper, sort_keys=False, width=96)
    return (
        f"{about}#\n# Written by `make rules` from provisioning/alerts/; change it there.\n{text}"
    )


def _render_rule(rule: Alert | Recording, settings: AlertSettings) -> dict[str, Any]:
    expr = expression(rule, settings)
    if isinstance(rule, Recording):
        return {"record": rule.name, "expr": expr}
    return {
        "alert": rule.name,
        "expr": expr,
        **({"for": settings.fill(rule.wait)} if rule.wait else {}),
        "labels": {"severity": rule.severity},
        "annotations": annotations(rule, settings),
    }


class _Dumper(yaml.SafeDumper):
    """Writes multi-line texts as blocks, and indents lists."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        del indentless
        super().increase_indent(flow, False)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
