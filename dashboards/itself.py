"""The dashboard Heptad itself: whether all logs are read, parsed, delivered and counted."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from dashboards import delivery
from dashboards.frame import instances, lay_out, source
from dashboards.hosts import NOT_RECORDED, RECORDED, grown
from dashboards.panels import (
    BLUE,
    GREEN,
    ORANGE,
    RED,
    ask,
    bars,
    colored,
    count_of,
    graph,
    joined,
    rows,
    scraped,
    words,
    worst_of,
)

_ALL: Final = "heptad_build_info"


def _reading_in_short() -> list[object]:
    return [
        count_of(
            "Not scraped",
            """Exporters and aggregators that Prometheus cannot scrape. Check that the service runs
            (systemctl status heptad-exporter) and that Prometheus can reach its port.""",
            f"count({scraped(_ALL)} == 0)",
            "heptad_build_info{$me}",
        ),
        count_of(
            "Unreadable sources",
            """Logs that cannot be read; the table below lists them. Nothing is lost while the log
            still exists.""",
            "count(heptad_source_up{$me} == 0)",
            "heptad_source_up{$me}",
        ),
        count_of(
            "Gaps in this range",
            """Parts of a log that were deleted before they were read, so their events are
            missing. Keep rotated logs for longer, or fix what stopped the exporter.""",
            f"sum({grown('heptad_gaps_total{$me}')})",
            "heptad_source_up{$me}",
        ),
    ]


def _storing_in_short() -> list[object]:
    return [
        count_of(
            "Stores in trouble",
            """Stores that are full, not writable, or were corrupt and replaced. Free disk
            space, or fix the delivery that should empty them.""",
            """count({__name__=~"heptad_store_full|heptad_store_failing|heptad_store_set_aside"""
            """|heptad_aggregator_store_failing|heptad_aggregator_store_set_aside", $me} == 1)""",
            "heptad_build_info{$me}",
        ),
        count_of(
            "Not delivering",
            """The last delivery to InfluxDB failed: `heptad influxdb check` on the host shows the
            cause. Nothing is lost until the store is full.""",
            "count(heptad_delivery_up{$me} == 0)",
            "heptad_delivery_up{$me}",
        ),
        count_of(
            "Aggregator parts failing",
            """Findings or reports that fail, or events that cannot be read: the aggregator's log
            shows the cause. All other findings and reports continue.""",
            """count({__name__=~"heptad_aggregator_part_failing|heptad_aggregator_events_failing",
            $me} == 1)""",
            "heptad_aggregator_behind_seconds{$me}",
        ),
    ]


_SILENT: Final = "time() - (heptad_source_last_event_timestamp_seconds{$me} > 0)"
_SHOWN: Final = f"topk(20, {_SILENT}) or heptad_source_up{{$me}} == 0"


def _sources() -> list[object]:
    return [
        rows(
            "Sources, the most silent first",
            """The twenty sources that have been silent for longest, and those that cannot be read.
            If a source was never silent for so long, its daemon may have stopped, or may log
            elsewhere now. If the bytes behind grow, the host is too slow, or its store is full.""",
            [
                ask(
                    f"max by (source) (label_join({text} and on (instance, source) ({_SHOWN}), "
                    '"source", " ", "instance", "source"))',
                    ref=ref,
                    rows=True,
                )
                for ref, text in (
                    ("up", "heptad_source_up{$me}"),
                    ("silent", f"({_SILENT})"),
                    ("behind", "heptad_source_behind_bytes{$me}"),
                )
            ],
            {
                "Readable": {
                    "mappings": [words({"1": ("yes", GREEN), "0": ("no", RED)})],
                    **colored("color-text"),
                },
                "Last event": {"unit": "s"},
                "Bytes behind": {"unit": "bytes"},
            },
            none="No exporter is scraped",
            worst=["Last event"],
            shaping=joined(
                "source",
                {
                    "source": "Instance and source",
                    "Value #up": "Readable",
                    "Value #silent": "Last event",
                    "Value #behind": "Bytes behind",
                },
            ),
        ),
    ]


def _lines() -> list[object]:
    return [
        graph(
            "Lines by result",
            """Orange results should be rare: not understood (a format may have changed), untrusted
            (the journal does not show that the program wrote the line), without a header,
            too long.""",
            ask(
                "sum by (result) (sum_over_time(heptad:lines:increase5m{$me}[$__interval]))",
                "{{result}}",
            ),
            bars=True,
            stack=True,
            colors={
                "event": GREEN,
                "ignored": BLUE,
                "not_understood": ORANGE,
                "untrusted": ORANGE,
                "no_header": ORANGE,
                "oversized": ORANGE,
            },
            none=f"Nothing in this range, or {NOT_RECORDED}",
            every=RECORDED,
        ),
        graph(
            "Lines not understood, by program",
            """If this continues, `heptad report` shows the lines; add a rule for them in a
            directory of your own (docs/rules.md). Then stop the exporter and run `heptad rules
            apply --since 7d`, which turns the stored lines into events.""",
            ask(
                """sum by (program) (
                sum_over_time(heptad:lines_not_understood:increase5m{$me}[$__interval]))""",
                "{{program}}",
            ),
            bars=True,
            stack=True,
            none=f"None in this range, or {NOT_RECORDED}",
            every=RECORDED,
        ),
    ]


def _backlog() -> list[object]:
    return [
        graph(
            "Bytes of log that are not read yet",
            """How far each exporter is behind its logs. It usually falls to zero within seconds. If
            it does not, the disk is slow, or the store is full and waits for delivery.""",
            ask(
                worst_of("heptad_source_behind_bytes{$me}", "instance, source"),
                "{{instance}} {{source}}",
            ),
            unit="bytes",
            none="No exporter is scraped",
        ),
        bars(
            "Local stores, by how full they are",
            """At 100 %, the oldest events are deleted. Undelivered events are not deleted; reading
            is paused instead. Raise store.max_size, or fix the delivery.""",
            ask(
                "topk(10, heptad_store_size_bytes{$me} / heptad_store_max_size_bytes{$me})",
                "{{instance}}",
                instant=True,
            ),
            unit="percentunit",
            steps=((None, GREEN), (0.8, ORANGE), (0.95, RED)),
            most=1,
            none="No exporter is scraped",
        ),
    ]


def _collectors() -> list[object]:
    return [
        bars(
            "Slowest collectors of host metrics",
            """Duration of the ten slowest collectors in the last scrape, in seconds. If a collector
            hangs (for example because of a dead NFS mount), only its own metrics are missing.""",
            ask(
                "topk(10, heptad_collector_duration_seconds{$me})",
                "{{instance}} {{collector}}",
                instant=True,
            ),
            unit="s",
            steps=((None, GREEN), (1, ORANGE), (10, RED)),
            none="No host metrics",
        ),
    ]


def _versions() -> list[object]:
    return [
        rows(
            "Versions in use",
            """How many exporters and aggregators run each version. If there is more than one
            version after an update, find the old ones with heptad_build_info in Prometheus.""",
            ask("count by (version) (heptad_build_info{$me})", rows=True),
            {"Time": {"custom.hidden": True}, "Value": {"decimals": 0}},
            none="Nothing is scraped",
            worst=["Value"],
            width=12,
        ),
    ]


_WRONG: Final = {
    "cannot be scraped: check that the host is up and its service runs": f"{scraped(_ALL)} == 0",
    "a source cannot be read: check its permissions and path": "heptad_source_up{$me} == 0",
    "a source is deaf: /healthz on the host shows the cause": "heptad_source_deaf{$me} == 1",
    "does not deliver: run heptad influxdb check on the host": "heptad_delivery_up{$me} == 0",
    "the local store is full: fix the delivery": "heptad_store_full{$me} == 1",
    "the local store cannot be written: check the disk": "heptad_store_failing{$me} == 1",
    "a corrupt store was renamed and replaced: check the disk": "heptad_store_set_aside{$me} == 1",
    "the new configuration was rejected: heptad check-config shows the errors": (
        "heptad_config_last_reload_successful{$me} == 0"
    ),
    "a collector of host metrics fails: see its log": "heptad_collector_success{$me} == 0",
    "the aggregator cannot read events: see its log": "heptad_aggregator_events_failing{$me} == 1",
    "the aggregator cannot write: see its log": "heptad_aggregator_store_failing{$me} == 1",
    "a finding or report fails: see its log": "heptad_aggregator_part_failing{$me} == 1",
}
"""Problem and remedy → the condition."""


def _wrong() -> object:
    parts = [
        f'label_replace(count by (instance, source) ({condition}), "problem", "{text}", "", "")'
        for text, condition in _WRONG.items()
    ]
    return rows(
        "What is wrong",
        """Each exporter or aggregator with a problem, and what to do. Hosts that Prometheus does
        not know are missing here: compare the number of hosts with your own list.""",
        ask(" or ".join(parts), rows=True),
        {
            "Time": {"custom.hidden": True},
            "Value": {"custom.hidden": True},
            "instance": {"custom.width": 220},
            "source": {"custom.width": 140},
            "problem": {"custom.minWidth": 320},
        },
        none="No known problem, or the query failed (icon in the corner)",
        height=7,
    )


def build() -> dashboard.Dashboard:
    return lay_out(
        "heptad-itself",
        "Heptad itself",
        "Whether everything that is written is read, understood, delivered and counted.",
        [source("prometheus"), *instances(_ALL)],
        *_reading_in_short(),
        *_storing_in_short(),
        _wrong(),
        *_sources(),
        "Reading",
        *_lines(),
        *_backlog(),
        "Delivering",
        *delivery.waiting(),
        *delivery.left(),
        "Findings and reports",
        *delivery.fleet(),
        *delivery.aggregator(),
        *delivery.windows(),
        "Running",
        *_collectors(),
        *_versions(),
    )
