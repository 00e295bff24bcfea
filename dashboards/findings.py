"""Findings and reports: what was found, what is new, and who changed or became what."""

from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard

from dashboards import reports
from dashboards.findings_table import table_of_findings
from dashboards.fleet import HOSTS
from dashboards.frame import hosts, instances, lay_out, source, window
from dashboards.influxql import one_of
from dashboards.panels import (
    ACT_ABOVE_ZERO,
    BLUE,
    LOOK_ABOVE_ZERO,
    ask,
    graph,
    number,
)

_ATTACKS: Final = ("brute_force", "slow_brute_force", "spraying", "distributed", "sweep")
_NEW: Final = ("new_network", "new_host", "unusual_hour", "new_account_login", "first_sudo")


def _by_severity(severity: str, about: str, steps: Any, width: int = 6) -> object:
    return number(
        f"Findings: {severity}",
        about,
        ask(
            f'sum(increase(heptad_findings_total{{$fleet, severity="{severity}"}}[$__range]))',
            instant=True,
        ),
        steps=steps,
        none="No aggregator",
        width=width,
    )


def _in_short() -> list[object]:
    return [
        _by_severity(
            "high",
            "Look at these now: they stand first in the table below. Counted when they are found.",
            ACT_ABOVE_ZERO,
        ),
        _by_severity(
            "medium",
            "Out of the ordinary: look at them today. They stand in the second table.",
            LOOK_ABOVE_ZERO,
        ),
        _by_severity(
            "low",
            """What every host on the internet sees. Look at them when something else is odd.""",
            ((None, BLUE),),
        ),
        number(
            "Since the last finding",
            """How long nothing was found. Longer than ever before, and logins still
            fail: is the aggregator running, and not behind? See Heptad itself.""",
            ask(
                "time() - max(heptad_finding_last_timestamp_seconds{$fleet} > 0)",
                instant=True,
            ),
            unit="s",
            none="None since the start",
            width=6,
        ),
    ]


def _worst_first() -> list[object]:
    return [
        table_of_findings(
            "High: look at these now",
            """The newest first. What is withdrawn or became part of another is left out. A click
            on the name shows the events; docs/findings.md says when the rule is wrong.""",
            none="No high finding in this range: nothing to do",
            severities="high",
            height=6,
        ),
        table_of_findings(
            "Medium: look at these today",
            """The newest first. A finding that grows becomes graver and moves up.""",
            none="No medium finding in this range",
            severities="medium",
        ),
    ]


def _attacks() -> list[object]:
    return [
        graph(
            "Findings by rule",
            """New findings a minute. A rule that suddenly tells much: an attack, or something
            that is new on your side; `aggregator.findings.ignore` keeps what is known out.""",
            ask(
                """60 * sum by (rule) (rate(
                heptad_findings_total{$fleet}[$__rate_interval])) > 0""",
                "{{rule}}",
            ),
            unit="cpm",
            bars=True,
            stack=True,
            none="Nothing was found in this range",
        ),
        table_of_findings(
            "Attacks: brute force, spraying, sweeps",
            """All of these, also the low ones; the newest first. An address that comes back for
            days belongs into the firewall.""",
            none="No attack in this range",
            severities="high|medium|low",
            where=one_of("rule", _ATTACKS),
            width=12,
        ),
    ]


def _new() -> list[object]:
    return [
        table_of_findings(
            "New: networks, hosts, hours, accounts, first sudo",
            """What did not happen before, as far as is remembered; low each, but ask the user if
            it is about a person with power.""",
            none="Nothing new in this range, or nobody is known for long enough yet",
            severities="high|medium|low",
            where=one_of("rule", _NEW),
            height=7,
        ),
    ]


def build() -> dashboard.Dashboard:
    """The dashboard."""
    return lay_out(
        "heptad-findings",
        "Heptad / Findings and reports",
        "What was found, what is new, and who changed or became what. Red wants somebody now.",
        [
            source("prometheus"),
            source("events"),
            source("reports"),
            *instances(HOSTS),
            hosts(),
            window(),
        ],
        *_in_short(),
        *_worst_first(),
        *_attacks(),
        *_new(),
        "Privilege use",
        *reports.privilege_over_time(),
        *reports.refused(),
        *reports.allowed(),
        "Accounts",
        *reports.accounts(),
        "Sessions and hosts",
        *reports.sessions_over_time(),
        *reports.sessions(),
        *reports.hosts(),
        since="now-24h",
    )
