"""Generate docs/alerts.md from the table of alerts."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from provisioning.alerts.rule import (
    SEVERITIES,
    Alert,
    AlertSettings,
    Recording,
    RuleGroup,
    expression,
)

_WRITTEN: Final = "<!-- Written by `make rules` from provisioning/alerts/; change it there. -->\n"
_ABOUT: Final = """\
Prometheus loads the rule files in `provisioning/prometheus/rules/`; `prometheus.yml` in the parent
directory is a complete configuration that loads them. An alert shows what happened in labels and
counts, and never contains text from a log. The finding, `heptad events` and `heptad report` show
who it was.

Each alert shows the host, and the first thing to do. The host is the host name of the events, or
`instance` if no exporter reports that name. An alert on findings has the label `host` if a medium
or high finding has one: see
[decision 0038](decisions/0038-a-host-is-a-label-where-something-vouches.md).

| annotation | leads to |
| --- | --- |
| `dashboard_url` | Grafana, narrowed to the host: the two hours up to the alert or the finding |
| `page_url` | Heptad's page |
| `runbook_url` | the runbook of the alert, on Heptad's page |

Thresholds, the names of the jobs and the base of these links are in
`provisioning/prometheus/settings.yml`, and nowhere else. The links in the repository lead to
`http://127.0.0.1`, which works only on the host of `make stack` and `heptad up`. **For a fleet**,
set `external_url` to what the person on call can open: `grafana` to Grafana's address, and `page`
to the address of the aggregator's [page](page.md#who-can-see-it), with TLS or behind a reverse
proxy. `make rules` rejects an address that is not an absolute URL. After a change, run `make rules`
to write the rule files again.
To keep your own rules separate from updates, write them to other files:

```
make rules RULES_FLAGS="--settings /etc/heptad/alerts.yml --output /etc/prometheus/rules"
promtool check rules /etc/prometheus/rules/*.yml
```

If Prometheus scrapes only exporters, all rules except those in `findings.yml` and `aggregator.yml`
work without changes; these two files may stay loaded. If you already have rules for node_exporter's
metrics, omit `host.yml`: your rules also apply to Heptad's metrics.
"""


def alerts_page(files: Mapping[str, RuleGroup], settings: AlertSettings) -> str:
    """Return docs/alerts.md: all alerts with their expressions, and all thresholds."""
    alerts = [rule for group in files.values() for rule in group.rules if isinstance(rule, Alert)]
    overview = _table(
        ("alert", "severity", "for", "what happened", "first thing to do"),
        (
            (
                f"[{alert.name}](runbooks/{alert.runbook}#{alert.name.lower()})",
                alert.severity,
                settings.fill(alert.wait),
                _plain(settings.fill(alert.description)),
                alert.first,
            )
            for alert in alerts
        ),
    )
    severities = _table(("severity", "meaning"), SEVERITIES.items())
    thresholds = _table(
        ("name", "value", "meaning"),
        ((f"`{n}`", str(t.value), t.meaning) for n, t in settings.thresholds.items()),
    )
    sections = "".join(_section(name, group, settings) for name, group in files.items())
    return (
        f"# Alerts\n\n{_WRITTEN}\n{_ABOUT}\n{severities}\n{overview}\n## Thresholds\n\n"
        f"{thresholds}\n## Rules\n{sections}"
    )


def _section(name: str, group: RuleGroup, settings: AlertSettings) -> str:
    rules = "".join(_rule(rule, settings) for rule in group.rules)
    return f"\n### {name}\n\n{group.about}\n{rules}"


def _rule(rule: Alert | Recording, settings: AlertSettings) -> str:
    if isinstance(rule, Recording):
        about = f": {rule.why}"
    else:
        about = f", for {settings.fill(rule.wait)}" if rule.wait else ""
    return f"\n`{rule.name}`{about}\n\n```\n{expression(rule, settings)}\n```\n"


def _plain(description: str) -> str:
    """Replace the labels in a description by their names."""
    return re.sub(r"\{\{ \$(?:labels\.)?(\w+)[^}]*\}\}", r"*\1*", description)


def _table(heading: tuple[str, ...], rows: Iterable[Iterable[str]]) -> str:
    lines = ["| " + " | ".join(heading) + " |", "|" + " --- |" * len(heading)]
    for row in rows:
        cells = [cell.replace("|", "\\|").replace("\n", " ") for cell in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
