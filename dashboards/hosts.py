"""The dashboard Hosts: which host needs attention; and PromQL by host name.

Metrics of exporters have the label `instance`, events and findings the name `host`. The metric
``heptad_host_info`` has both, so that one variable `host` filters both stores.
"""

from typing import Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as models

from dashboards.frame import choice, host_names, job, lay_out, link, put, source
from dashboards.panels import (
    CPUS,
    GREEN,
    ORANGE,
    RED,
    Properties,
    ask,
    colored,
    count_of,
    graph,
    joined,
    levels,
    number,
    once,
    reshape,
    rows,
)

_CHOSEN: Final = '$fleet, host=~"$host"'
_INFO: Final = f"heptad_host_info{{{_CHOSEN}}}"
HOSTS: Final = f"topk by (instance) (1, {_INFO} or on (instance) last_over_time({_INFO}[1d]))"
"""The selected hosts that were scraped within a day, one series each, with instance and host.

The current name of a host takes precedence over earlier ones.
"""


def of_host(text: str) -> str:
    """Restrict a vector with the label instance to the selected hosts, and add the label host."""
    return f"(({text}) * on (instance) group_left (host) {HOSTS})"


def silent() -> str:
    """Select hosts that cannot be scraped, and targets of their jobs without a known name."""
    known = "last_over_time(heptad_host_info{$fleet}[1d])"
    return (
        f"(up{{$fleet}} == 0 and on (instance) {HOSTS} "
        f"or up{{$fleet}} == 0 and on (job) {known} unless on (instance) {known})"
    )


def recorded(name: str, *labels: str) -> str:
    """Select a recorded series (`provisioning/alerts/fleet.py`) for the selected hosts."""
    return f"heptad:{name}{{{', '.join((_CHOSEN, *labels))}}}"


LOGINS: Final = "logins:increase5m"
RECORDED: Final = "5m"
"""The interval of the recording rules."""
NOT_RECORDED: Final = "no answer: does Prometheus load rules/fleet.yml?"


def worst_hosts(name: str, how: str, *labels: str, most: int = 10) -> str:
    """Query the hosts with the highest values of a recorded series in the range.

    ``how`` values are combined: `sum` or `max`.
    """
    one = f"{how}_over_time({recorded(name, *labels)}[%s]%s)"
    worst = f"topk({most}, {how} by (host) ({one % ('$__range', ' @ end()')}))"
    return f"{how} by (host) ({one % ('$__interval', '')} and on (host) {worst})"


def grown(counter: str) -> str:
    """Return the exact growth of persistent counters in the range, without reading it."""
    before = f"last_over_time({counter}[1d] offset $__range)"
    return f"({counter} - ({before} or {counter} * 0) > 0)"


REAL_DISK: Final = 'fstype!~"tmpfs|ramfs|squashfs|iso9660|erofs"'
_DISK: Final = f"{{$fleet, {REAL_DISK}}}"
_FREE: Final = f"node_filesystem_avail_bytes{_DISK} / node_filesystem_size_bytes{_DISK}"
_FULLEST: Final = f"1 - min by (instance) ({_FREE})"
_UP: Final = f"min by (instance) (up{{$fleet}} and on (instance) {HOSTS} or {silent()})"
_BLIND: Final = '{__name__=~"heptad_source_up|heptad_collector_success", $fleet} == 0'
_DEAF: Final = '{__name__=~"heptad_source_deaf|heptad_store_failing", $fleet} == 1'
_STUCK: Final = '{__name__=~"heptad_delivery_up|heptad_config_last_reload_successful", $fleet} == 0'
_FULL_STORE: Final = '{__name__=~"heptad_store_full|heptad_store_set_aside", $fleet} == 1'


def _weigh(weight: int, condition: str, kind: str) -> str:
    counted = f"{weight} * count by (instance) ({condition})"
    return f'label_replace({counted}, "kind", "{kind}", "", "")'


_COLUMNS: Final = {
    "problem": "sum by (instance) ("
    + " or ".join(
        [
            _weigh(100_000, f"{_UP} == 0", "down"),
            _weigh(1000, _BLIND, "blind"),
            _weigh(1000, _DEAF, "deaf"),
            _weigh(100, _STUCK, "stuck"),
            _weigh(100, _FULL_STORE, "store"),
            f'label_replace(count by (instance) ({_FREE} < 0.1) > bool 0, "kind", "disk", "", "")',
            f'label_replace({_UP} * 0, "kind", "none", "", "")',
        ]
    )
    + f") and on (instance) ({_UP}) $shown",
    "name": f"max by (instance, host) ({HOSTS})",
    "last": """
        time() - max by (instance) (heptad_source_last_event_timestamp_seconds{$fleet} > 0)""",
    **{
        name: f"sum by (instance) (sum_over_time({recorded(LOGINS, outcome)}[$__range]))"
        for name, outcome in (("failed", 'outcome="failure"'), ("good", 'outcome="success"'))
    },
    "load": f"{once('node_load5{$fleet}')} / on (instance) {CPUS.replace('$me', '$fleet')}",
    "memory": """
        1 - max by (instance) (node_memory_MemAvailable_bytes{$fleet})
        / on (instance) max by (instance) (node_memory_MemTotal_bytes{$fleet})""",
    "disk": _FULLEST,
}
"""The query of each column; the key is its refId."""
_HEADINGS: Final = {
    "Value #problem": "Problem",
    "host": "Host",
    "Value #failed": "Failed logins",
    "Value #good": "Logins",
    "Value #last": "Last event",
    "Value #load": "Load per CPU",
    "Value #memory": "Memory used",
    "Value #disk": "Fullest disk",
    "instance": "Instance",
}


def _shade(*steps: tuple[float | None, str]) -> Properties:
    return {**levels(steps), **colored()}


_FULL: Final = _shade((None, "transparent"), (0.8, ORANGE), (0.9, RED))
_ASKED_FOR: Final = {"fieldName": "Problem", "config": {"id": "isNotNull", "options": {}}}
_PROBLEMS: Final = [
    models.RangeMap(
        models.DashboardRangeMapOptions(
            from_val=low, to=high, result=models.ValueMappingResult(text=text, color=color)
        )
    )
    for low, high, text, color in (
        (100_000, 1e12, "down", RED),
        (1000, 99_999, "blind: see its sources", RED),
        (100, 999, "does not deliver, or store full", ORANGE),
        (1, 99, "disk nearly full", ORANGE),
        (0, 0.5, "none seen", "transparent"),
    )
]


def _hosts() -> object:
    this = link("This host", "heptad-host", put("node", "__data.fields.Host"))
    about = link("What happened there", "heptad-investigate", put("host", "__data.fields.Host"))
    columns: dict[str, Properties] = {
        "Problem": {
            "mappings": _PROBLEMS,
            "custom.width": 200,
            "custom.align": "left",
            **colored(),
        },
        "Host": {"links": [this, about], "custom.width": 150},
        "Failed logins": {"unit": "locale", "decimals": 0, "custom.width": 105},
        "Logins": {"unit": "locale", "decimals": 0, "custom.width": 75},
        "Last event": {
            "unit": "s",
            "custom.width": 100,
            **_shade((None, "transparent"), (86400, ORANGE)),
        },
        "Load per CPU": {
            "decimals": 2,
            "custom.width": 110,
            **_shade((None, "transparent"), (1, ORANGE), (2, RED)),
        },
        "Memory used": {"unit": "percentunit", "decimals": 0, "custom.width": 115, **_FULL},
        "Fullest disk": {"unit": "percentunit", "decimals": 0, "custom.width": 105, **_FULL},
    }
    return rows(
        "Hosts, the worst first",
        """The worst problem of each host, in this order: down, blind, does not deliver, disk nearly
        full. A click on the name opens the host. A host that has been down for more than a day is
        shown by its instance, without a name.""",
        [
            ask(
                text if HOSTS in text else f"({text}) and on (instance) {HOSTS}", ref=ref, rows=True
            )
            for ref, text in _COLUMNS.items()
        ],
        columns,
        none="No host: is the exporter scraped? See docs/dashboards.md",
        worst=["Problem", "Failed logins"],
        # if only hosts with a problem are selected, the others have no value
        shaping=[
            *joined("instance", _HEADINGS, "Value #name"),
            reshape("filterByValue", type="include", match="all", filters=[_ASKED_FOR]),
        ],
        height=14,
    )


def _in_short() -> list[object]:
    return [
        number(
            "Hosts seen",
            """Hosts whose exporter was scraped within a day. If hosts are missing, add them to
            Prometheus.""",
            ask(f"count({HOSTS})", instant=True),
            none="Unknown",
            width=6,
        ),
        count_of(
            "Hosts down",
            """Hosts that Prometheus cannot scrape. Check that the host is up and that
            heptad-exporter runs on it (systemctl status). While it is down, its logins are
            unknown.""",
            f"count({silent()})",
            HOSTS,
            width=6,
        ),
        count_of(
            "Hosts that are blind",
            """Hosts with a source that cannot be read or is deaf. Open the dashboard Heptad itself:
            it shows the source and the remedy.""",
            f"""count(count by (instance) (({_BLIND} or {_DEAF}) and on (instance) {HOSTS}))""",
            HOSTS,
            width=6,
        ),
        count_of(
            "Disks nearly full",
            "Hosts with a filesystem that has less than 10 % free space. Free space before logs "
            "stop.",
            f"count(count by (instance) (({_FREE} < 0.1) and on (instance) {HOSTS}))",
            HOSTS,
            steps=((None, GREEN), (1, ORANGE)),
            width=6,
        ),
    ]


def _over_time() -> list[object]:
    return [
        graph(
            "Load per CPU, the ten busiest hosts",
            "Above 1, tasks wait for a CPU. Open the host with the highest value.",
            ask(worst_hosts("load:per_cpu", "max"), "{{host}}"),
            none=f"Nothing in this range, or {NOT_RECORDED}",
            steps=((None, "transparent"), (1, ORANGE)),
            every=RECORDED,
        ),
        graph(
            "Filesystems, the ten fullest hosts",
            "The fullest filesystem of each host. Above 90 %, free space before logs and databases "
            "stop.",
            ask(worst_hosts("disk:fullest", "max"), "{{host}}"),
            unit="percentunit",
            none=f"Nothing in this range, or {NOT_RECORDED}",
            every=RECORDED,
        ),
    ]


def _shown() -> dashboard.CustomVariable:
    about = "Which hosts the table lists"
    return choice("shown", "Show", about, {"all hosts": ">= 0", "only with a problem": "> 0"})


def build() -> dashboard.Dashboard:
    return lay_out(
        "heptad-hosts",
        "Hosts",
        "Which host needs attention? The worst is first; a click on its name opens it.",
        [source("prometheus"), source("events"), source("reports"), job(), host_names(), _shown()],
        _hosts(),
        *_in_short(),
        *_over_time(),
    )
