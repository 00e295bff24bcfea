"""The dashboard Now: what is wrong, and what to check first."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from dashboards.current import query, table_of_findings, tile_of_findings
from dashboards.frame import hosts, job, lay_out, source
from dashboards.hosts import (
    HOSTS,
    LOGINS,
    NOT_RECORDED,
    RECORDED,
    grown,
    of_host,
    silent,
    worst_hosts,
)
from dashboards.panels import (
    BLUE,
    GREEN,
    LOOK_ABOVE_ZERO,
    ORANGE,
    RED,
    ask,
    colored,
    count_of,
    graph,
    number,
    reshape,
    rows,
    words,
)
from dashboards.top import top_of

_GOT_IN: Final = "^(success_after_failures|root_password_login|new_account_login)$"
_FOUND: Final = query()
"""The tiles and the table use the same query."""
_SEVERITIES: Final = {"high": RED, "medium": ORANGE, "low": BLUE}


def _findings() -> list[object]:
    return [
        tile_of_findings(
            "High findings",
            """Check these now: they are the first rows of the table, and counted from the same
            query.""",
            _FOUND,
            of="high",
        ),
        tile_of_findings(
            "Medium findings",
            "Check these today: they follow the high ones in the table.",
            _FOUND,
            of="medium",
            steps=LOOK_ABOVE_ZERO,
        ),
        tile_of_findings(
            "Got in",
            """Findings about someone who logged in: after failures, as root by password, or as a
            new account. Ask the owner of the account; if they do not know of it, lock it.""",
            _FOUND,
            of="finding",
            rules=_GOT_IN,
        ),
    ]


def _proof() -> list[object]:
    return [
        count_of(
            "Hosts silent",
            """Hosts that Prometheus cannot scrape. Check that the host is up and that
            heptad-exporter runs (systemctl status). Until then, its logins are unknown.""",
            f"count({silent()})",
            "last_over_time(heptad_host_info{$fleet}[1d])",
            height=3,
        ),
        count_of(
            "Blind spots",
            """Sources that cannot be read or are deaf, exporters that do not deliver, and gaps in
            logs in this range. Open the dashboard Heptad itself: it shows each one and what to
            do.""",
            f"""(count({of_host("heptad_source_up{$fleet} == 0")}) or 0 * count({HOSTS}))
            + (count({of_host("heptad_source_deaf{$fleet} == 1")}) or 0 * count({HOSTS}))
            + (count({of_host("heptad_delivery_up{$fleet} == 0")}) or 0 * count({HOSTS}))
            + (count({of_host(grown("heptad_gaps_total{$fleet}"))})
               or 0 * count({HOSTS}))""",
            HOSTS,
            steps=LOOK_ABOVE_ZERO,
            height=3,
        ),
        number(
            "Looked at until",
            """Time since the aggregator last processed all events that had arrived. If it is
            minutes, the aggregator is too slow, or cannot read the events. Grey: there is no
            aggregator, or Prometheus does not scrape it, and no list of findings is complete.""",
            ask("max(heptad_aggregator_behind_seconds{$fleet})", instant=True),
            unit="s",
            steps=((None, GREEN), (60, ORANGE), (600, RED)),
            none="No aggregator",
            height=3,
        ),
    ]


_RANKS: Final = {"critical": 3, "warning": 2, "info": 1}


def _alerts() -> object:
    fires = 'ALERTS{alertstate="firing", severity="%s", alertname=~"Heptad.*|Host.*"}'
    ranked = " or ".join(
        f"{rank} * max by (severity, alertname, host, instance) ({fires % severity})"
        for severity, rank in _RANKS.items()
    )
    return rows(
        "Firing alerts",
        """The alerts that Prometheus sends to Alertmanager. docs/alerts.md explains what each means
        and what to do first. An empty list may also mean that the rules are not loaded.""",
        ask(ranked, rows=True),
        {
            "severity": {
                "mappings": [
                    words(
                        {
                            "critical": ("critical", RED),
                            "warning": ("warning", ORANGE),
                            "info": ("info", BLUE),
                        }
                    )
                ],
                "custom.width": 80,
                **colored(),
            },
            "alertname": {"custom.minWidth": 200},
            "Time": {"custom.hidden": True},
            "Value": {"custom.hidden": True},
        },
        none="None fires, or the query failed (icon in the corner)",
        shaping=[
            reshape("sortBy", fields={}, sort=[{"field": "Value", "desc": True}]),
            reshape(
                "organize",
                excludeByName={},
                indexByName={
                    n: i for i, n in enumerate(("severity", "alertname", "host", "instance"))
                },
                renameByName={},
            ),
        ],
        width=12,
    )


def _failed() -> object:
    return graph(
        "Failed logins, the ten worst hosts",
        """Failed logins. A sudden increase on one host is an attack or a job with an old password;
        on all hosts at once, it is a scan.""",
        ask(worst_hosts(LOGINS, "sum", 'outcome="failure"'), "{{host}}"),
        bars=True,
        stack=True,
        none=f"No failed login, or {NOT_RECORDED}",
        every=RECORDED,
        width=12,
    )


def _background() -> list[object]:
    return [
        graph(
            "Open findings",
            """Findings whose last event was less than an hour before, by severity. Works without
            InfluxDB. After a sudden increase, narrow the range to it and read the table above.""",
            ask(
                """max by (severity) (
                sum by (severity, instance) (heptad_findings_open{$fleet, within="1h"}))""",
                "{{severity}}",
            ),
            bars=True,
            stack=True,
            colors=_SEVERITIES,
            none="No aggregator is scraped",
            width=8,
        ),
        top_of(
            "Addresses that failed most",
            """Where failed logins came from. A click shows everything that the address did, and
            whether it logged in.""",
            "address",
            "Address",
            width=8,
        ),
        top_of(
            "Names tried most",
            """User names of failed logins. If a name is one of your accounts other than root,
            someone knows it.""",
            "user",
            "User",
            width=8,
        ),
    ]


def build() -> dashboard.Dashboard:
    return lay_out(
        "heptad-now",
        "Now",
        """Is something wrong, and what should you check first? Start at the top of the table: a
        click on What shows exactly those events. Grey means unknown.""",
        [source("prometheus"), source("events"), source("reports"), job(), hosts()],
        table_of_findings(
            "Look at these first",
            """High and medium findings with events in the range, the most severe first. A click on
            What shows their events; a click on a name shows everything about it.""",
            _FOUND,
            height=9,
        ),
        *_findings(),
        *_proof(),
        _alerts(),
        _failed(),
        *_background(),
        since="now-24h",
    )
