"""Fleet: every host at a glance, the worst first."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from dashboards.findings_table import ONE_OF_A_LIST, keep_last, query, table_of_findings
from dashboards.frame import instances, keep, lay_out, link, put, source
from dashboards.panels import (
    ACT_ABOVE_ZERO,
    CPUS,
    GREEN,
    LOOK_ABOVE_ZERO,
    ORANGE,
    RED,
    Properties,
    ask,
    count_of,
    graph,
    joined,
    number,
    once,
    reshape,
    rows,
    scraped,
    words,
)

HOSTS: Final = "heptad_source_up|node_uname_info"
"""What a host is known by: an exporter reads its logs, or node_exporter measures it."""
REAL_DISK: Final = 'fstype!~"tmpfs|ramfs|squashfs|iso9660|erofs"'

_ZERO_IS_WRONG: Final = (
    "heptad_source_up|heptad_delivery_up|heptad_config_last_reload_successful"
    "|heptad_collector_success"
)
_ONE_IS_WRONG: Final = (
    "heptad_source_deaf|heptad_store_full|heptad_store_failing|heptad_store_set_aside"
    "|node_filesystem_device_error"
)
_DISK: Final = f"{{$me, {REAL_DISK}}}"
_FREE: Final = f"node_filesystem_avail_bytes{_DISK} / node_filesystem_size_bytes{_DISK}"
_UP: Final = f"min by (instance) {scraped(HOSTS)}"

_COLUMNS: Final = {
    "problems": f"""
        sum by (instance) (
          label_replace(count by (instance) ({_UP} == 0), "kind", "up", "", "")
          or label_replace(
            count by (instance) ({{__name__=~"{_ZERO_IS_WRONG}", $me}} == 0), "kind", "0", "", "")
          or label_replace(
            count by (instance) ({{__name__=~"{_ONE_IS_WRONG}", $me}} == 1), "kind", "1", "", "")
          or label_replace(
            count by (instance) ({_FREE} < 0.1), "kind", "disk", "", "")
          or label_replace({_UP} * 0, "kind", "none", "", "")
        )""",
    "up": _UP,
    "name": "max by (instance, nodename) (node_uname_info{$me})",
    "last": """
        time() - max by (instance) (heptad_source_last_event_timestamp_seconds{$me} > 0)""",
    "failed": """
        sum by (instance) (
          increase(auth_events_total{$me, action="login", outcome="failure"}[$__range]))""",
    "good": """
        sum by (instance) (
          increase(auth_events_total{$me, action="login", outcome="success"}[$__range]))""",
    "load": f"{once('node_load5{$me}')} / on (instance) {CPUS}",
    "memory": """
        1 - max by (instance) (node_memory_MemAvailable_bytes{$me})
        / on (instance) max by (instance) (node_memory_MemTotal_bytes{$me})""",
    "disk": f"1 - min by (instance) ({_FREE})",
}
"""What is asked for each column; the name is the query's refId."""
_HEADINGS: Final = {
    "nodename": "Host",
    "instance": "Instance",
    "Value #problems": "Problems",
    "Value #up": "Up",
    "Value #last": "Last event",
    "Value #failed": "Failed logins",
    "Value #good": "Logins",
    "Value #load": "Load per CPU",
    "Value #memory": "Memory used",
    "Value #disk": "Fullest disk",
}


def _shade(*steps: tuple[float | None, str]) -> Properties:
    levels = [{"value": value, "color": color} for value, color in steps]
    return {
        "thresholds": {"mode": "absolute", "steps": levels},
        "custom.cellOptions": {"type": "color-background", "mode": "basic"},
    }


_FULL: Final = _shade((None, "transparent"), (0.8, ORANGE), (0.9, RED))


def _hosts() -> object:
    kept = keep("prometheus_datasource", "job")
    there = put("instance", "__data.fields.Instance")
    links = [link("This host", "heptad-host", *kept, there)]
    columns: dict[str, Properties] = {
        "Host": {"links": links, "custom.width": 180},
        "Instance": {"links": links, "custom.width": 180},
        "Problems": {"decimals": 0, **_shade((None, "transparent"), (1, RED))},
        "Up": {
            "mappings": [words({"1": ("up", GREEN), "0": ("down", RED)})],
            "custom.cellOptions": {"type": "color-text"},
        },
        "Last event": {"unit": "s", **_shade((None, "transparent"), (86400, ORANGE))},
        "Failed logins": {"unit": "short", "decimals": 0},
        "Logins": {"unit": "short", "decimals": 0},
        "Load per CPU": {"decimals": 2, **_shade((None, "transparent"), (1, ORANGE), (2, RED))},
        "Memory used": {"unit": "percentunit", "decimals": 0, **_FULL},
        "Fullest disk": {"unit": "percentunit", "decimals": 0, **_FULL},
    }
    return rows(
        "Hosts, the worst first",
        """Start at the top: a row with problems is down, has a source, a delivery or a collector
        that fails, a store that is full, or less than 10 % of a disk left. A click on the name
        opens the host. A host whose last event is a day old sends nothing, or nothing happens
        there: look at its sources on
        Heptad itself.""",
        [ask(text, ref=ref, rows=True) for ref, text in _COLUMNS.items()],
        columns,
        none="No host: is the exporter scraped? See docs/dashboards.md",
        worst=["Problems", "Failed logins"],
        shaping=joined("instance", _HEADINGS, "Value #name"),
        height=10,
    )


def _findings_by_host() -> object:
    return rows(
        "Findings by host",
        """Where the open findings are: begin with the host that has most. A list of names is an
        attack on several hosts at once.""",
        query("\"severity\" != 'info'"),
        {
            "Hosts": {"mappings": [ONE_OF_A_LIST]},
            "Findings": {"unit": "short", "custom.width": 90},
            "Events": {"unit": "short", "custom.width": 90},
        },
        none="No finding in this range: nothing to do",
        worst=["Findings"],
        shaping=[
            *keep_last("high|medium|low"),
            reshape(
                "groupBy",
                fields={
                    "hosts (first)": {"aggregations": [], "operation": "groupby"},
                    "rule": {"aggregations": ["count"], "operation": "aggregate"},
                    "count (first)": {"aggregations": ["sum"], "operation": "aggregate"},
                },
            ),
            reshape(
                "organize",
                renameByName={
                    "hosts (first)": "Hosts",
                    "rule (count)": "Findings",
                    "count (first) (sum)": "Events",
                },
            ),
        ],
        width=8,
        height=8,
    )


def _in_short() -> list[object]:
    return [
        count_of(
            "Hosts down",
            """Hosts that Prometheus cannot scrape. Is the host up, and heptad-exporter running
            on it (systemctl status)? While it is down nothing is known of its logins.""",
            f"count({_UP} == 0)",
        ),
        number(
            "Findings: high",
            "Found in this range, and to be looked at now: they stand in the table below.",
            ask(
                'sum(increase(heptad_findings_total{$fleet, severity="high"}[$__range]))',
                instant=True,
            ),
            steps=ACT_ABOVE_ZERO,
            none="No aggregator",
        ),
        number(
            "Findings: medium",
            "Found in this range, and to be looked at today.",
            ask(
                'sum(increase(heptad_findings_total{$fleet, severity="medium"}[$__range]))',
                instant=True,
            ),
            steps=LOOK_ABOVE_ZERO,
            none="No aggregator",
        ),
    ]


def _troubles() -> list[object]:
    return [
        count_of(
            "Sources that cannot be read",
            """Logs that an exporter may not or cannot read. Nothing is lost as long as the log is
            still there: mend the permissions (group adm or systemd-journal) or the path.""",
            "count(heptad_source_up{$me} == 0)",
        ),
        count_of(
            "Lines not understood",
            """Lines of known programs in this range that no rule understands: a daemon may have
            changed its format, and logins go unseen. `heptad report` shows them.""",
            "sum(increase(heptad_lines_not_understood_total{$me}[$__range]))",
            steps=LOOK_ABOVE_ZERO,
        ),
        count_of(
            "Hosts that do not deliver",
            """Exporters whose last delivery to InfluxDB failed. Nothing is lost until their store
            is full; `heptad influxdb check` on the host says what is wrong.""",
            "count(heptad_delivery_up{$me} == 0)",
        ),
    ]


def _over_time() -> list[object]:
    return [
        graph(
            "Failed logins by host",
            """Attempts a minute that failed, of the ten busiest hosts. A step upwards on one host
            is an attack or a job with an old password; on all hosts at once somebody scans.""",
            ask(
                """topk(10, 60 * sum by (instance) (rate(
                auth_events_total{$me, action="login", outcome="failure"}[$__rate_interval])))""",
                "{{instance}}",
            ),
            unit="cpm",
            none="No exporter is scraped",
        ),
        graph(
            "Load per CPU",
            "Above 1 tasks wait for a CPU. The ten busiest hosts; open the one that stands out.",
            ask(
                f"topk(10, {_COLUMNS['load']})",
                "{{instance}}",
            ),
            none="No host metrics",
            steps=((None, "transparent"), (1, ORANGE)),
        ),
    ]


def build() -> dashboard.Dashboard:
    """The dashboard."""
    return lay_out(
        "heptad-fleet",
        "Heptad / Fleet",
        "Every host at a glance, the worst first. Red wants somebody now.",
        [source("prometheus"), source("events"), source("reports"), *instances(HOSTS)],
        *_in_short(),
        *_troubles(),
        _hosts(),
        table_of_findings(
            "Look at these now: high and medium findings",
            """The newest first. Each sentence says what was found and about whom; a click on the
            name shows the events behind it. docs/findings.md says when a rule is wrong.""",
            none="No high or medium finding in this range: nothing to do",
            width=16,
        ),
        _findings_by_host(),
        *_over_time(),
    )
