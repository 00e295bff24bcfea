"""Alerting and recording rules, and how they become the files that Prometheus loads.

An expression, a duration and an annotation may hold ``<name>``: a threshold of the settings, or
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
    """A number, or a duration as Prometheus writes it; and what it means."""

    value: int | float | str
    meaning: str


class Jobs(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The label ``job`` of the two parts."""

    exporter: str
    aggregator: str


class ExternalUrl(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Where the person who gets an alert can open Grafana and Heptad's page."""

    grafana: str
    page: str


class AlertSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What operators choose: settings.yml."""

    external_url: ExternalUrl
    jobs: Jobs
    thresholds: dict[str, Threshold]

    def names(self) -> dict[str, str]:
        """What a placeholder may name, and what it stands for."""
        known = {name: str(threshold.value) for name, threshold in self.thresholds.items()}
        jobs = {"exporter_job": self.jobs.exporter, "aggregator_job": self.jobs.aggregator}
        return known | jobs | {"host": "{{ $host }}"}

    def fill(self, text: str) -> str:
        """``text`` with what its placeholders stand for; an unknown one is a KeyError."""
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
        """Every text that may hold placeholders."""
        return (self.expr, self.wait, self.summary, self.description, self.first)


class Recording(NamedTuple):
    """A recording rule, and why there is one."""

    name: str
    expr: str
    why: str

    def texts(self) -> tuple[str, ...]:
        """Every text that may hold placeholders."""
        return (self.expr,)


class RuleGroup(NamedTuple):
    """Rules that are evaluated together; ``interval`` is Prometheus' own where it is empty."""

    name: str
    about: str
    rules: Sequence[Alert | Recording]
    interval: str = ""


def grown(counter: str, window: str, before: str) -> str:
    """By how much a counter grew within ``window``, and only where it did.

    A counter that was not scraped for longer has no sample in ``window`` before it grew, and
    ``increase`` sees nothing; there its last value is what it grew from. ``before`` says how long
    that is looked for and in what steps, as ``1d:1h``: what was counted within a step before the
    outage may be told once more, and each step of each series costs some 10 µs an evaluation.
    """
    return (
        f"  increase({counter}[{window}]) > 0\n"
        "or\n"
        f"  {counter}\n"
        f"    - last_over_time({counter}[{before}] offset {window}) > 0\n"
        f"  unless {counter} offset {window}"
    )


def load_settings(path: Path = DEFAULT) -> AlertSettings:
    """Read settings.yml; raises DocumentError with all that is wrong with it."""
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
            # before an @ there may be a password
            shown = re.sub(r".*@", "…@", url, flags=re.DOTALL)
            yield ("external_url", name), f"`{shown}` {text} user, query and fragment"
    for job in ("exporter", "aggregator"):
        if not re.fullmatch(r"[\w./-]+", getattr(settings.jobs, job)):
            yield ("jobs", job), "is not the name of a job"


def check_names(settings: AlertSettings, groups: Iterable[RuleGroup]) -> list[str]:
    """What is wrong between settings and rules: a threshold too few or too many."""
    texts = [text for group in groups for rule in group.rules for text in rule.texts()]
    used = {name for text in texts for name in _PLACEHOLDER.findall(text)}
    known = settings.names().keys()
    missing = [f"thresholds: `{name}` is missing" for name in sorted(used - known)]
    return missing + [
        f"thresholds: no rule uses `{name}`" for name in sorted(settings.thresholds.keys() - used)
    ]


def annotations(alert: Alert, settings: AlertSettings) -> dict[str, str]:
    """What is said of an alert, as templates of Prometheus; every link is absolute."""
    page, board = settings.external_url.page.rstrip("/"), alert.board
    texts = {"summary": alert.summary, "description": f"{alert.description} First: {alert.first}"}
    told = {name: board.name_host(settings.fill(text)) for name, text in texts.items()}
    return told | {
        "dashboard_url": board.dashboard_url(settings.external_url.grafana.rstrip("/")),
        "page_url": board.page_url(page),
        "runbook_url": f"{page}/runbooks/{Path(alert.runbook).stem}#{alert.name.lower()}",
    }


def expression(rule: Alert | Recording, settings: AlertSettings) -> str:
    """The PromQL of a rule."""
    return settings.fill(textwrap.dedent(rule.expr).strip())


def render(group: RuleGroup, settings: AlertSettings) -> str:
    """The file of a group, for Prometheus' ``rule_files``."""
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
    """Writes texts of several lines as such, and lists indented."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent lists, too."""
        del indentless
        super().increase_indent(flow, False)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
