"""Heptad itself: whether everything that is written is read, understood, delivered and counted."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from dashboards.frame import instances, lay_out, source
from dashboards.panels import (
    ACT_ABOVE_ZERO,
    BLUE,
    GREEN,
    LOOK_ABOVE_ZERO,
    ORANGE,
    RED,
    ask,
    bars,
    graph,
    joined,
    number,
    rows,
    states,
    words,
)

_ALL: Final = "heptad_build_info"
_BREAKER: Final = words({"0": ("closed", GREEN), "1": ("half open", ORANGE), "2": ("open", RED)})
_NOT_DELIVERING: Final = "Nothing is delivered: no InfluxDB is configured"


def _count(title: str, about: str, expr: str, **look: object) -> object:
    return number(
        title,
        about,
        ask(f"{expr} or vector(0)", instant=True),
        **{"steps": ACT_ABOVE_ZERO, **look},  # type: ignore[arg-type]
    )


def _overview() -> list[object]:
    return [
        _count(
            "Not scraped",
            """Exporters and aggregators that Prometheus cannot reach: see whether the service runs
            (systemctl status heptad-exporter), and its port is open to Prometheus.""",
            """count((up{$me} and on (job, instance)
            last_over_time(heptad_build_info{$me}[$__range])) == 0)""",
        ),
        _count(
            "Sources that cannot be read",
            """Logs that may not or cannot be read; the table below names them. Nothing is lost
            while the log is still there.""",
            "count(heptad_source_up{$me} == 0)",
        ),
        _count(
            "Gaps in this range",
            """Parts of a log that were gone before they were read, so nobody knows what was in
            them. Keep rotated logs for longer, or mend what stopped the exporter.""",
            "sum(increase(heptad_gaps_total{$me}[$__range]))",
        ),
        _count(
            "Stores in trouble",
            """Stores that are full, cannot be written or were corrupt and set aside. Make room on
            the disk, or mend the delivery that should empty them.""",
            """count({__name__=~"heptad_store_full|heptad_store_failing|heptad_store_set_aside"""
            """|heptad_aggregator_store_failing|heptad_aggregator_store_set_aside", $me} == 1)""",
        ),
        _count(
            "Exporters that do not deliver",
            """The last delivery to InfluxDB failed: `heptad influxdb check` on the host says what
            is wrong. Nothing is lost until the store is full.""",
            "count(heptad_delivery_up{$me} == 0)",
        ),
        _count(
            "Parts of the aggregator that fail",
            """Findings or reports that fail, or events that cannot be read: the aggregator's log
            says why. The others go on.""",
            """count({__name__=~"heptad_aggregator_part_failing|heptad_aggregator_events_failing",
            $me} == 1)""",
        ),
        rows(
            "Sources, the most silent first",
            """Where each log is read from. A source that was never silent for so long: has the
            daemon stopped, or does it log elsewhere now? Bytes behind that grow: the host is too
            slow, or its store is full.""",
            [
                ask(
                    f'max by (source) (label_join({text}, "source", " ", "instance", "source"))',
                    ref=ref,
                    rows=True,
                )
                for ref, text in (
                    ("up", "heptad_source_up{$me}"),
                    ("silent", "time() - (heptad_source_last_event_timestamp_seconds{$me} > 0)"),
                    ("behind", "heptad_source_behind_bytes{$me}"),
                )
            ],
            {
                "Readable": {
                    "mappings": [words({"1": ("yes", GREEN), "0": ("no", RED)})],
                    "custom.cellOptions": {"type": "color-background", "mode": "basic"},
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


def _reading() -> list[object]:
    return [
        graph(
            "Lines by what became of them",
            """Lines a second. Orange is what should be rare: not understood (a format has changed),
            untrusted (somebody wrote in another program's name), without a header, too long.""",
            ask(
                "sum by (result) (rate(heptad_lines_total{$me}[$__rate_interval]))",
                "{{result}}",
            ),
            unit="cps",
            stack=True,
            colors={
                "event": GREEN,
                "ignored": BLUE,
                "not_understood": ORANGE,
                "untrusted": ORANGE,
                "no_header": ORANGE,
                "oversized": ORANGE,
            },
            none="No exporter is scraped",
        ),
        graph(
            "Lines not understood, by program",
            """Any that go on: `heptad rules apply` shows the lines, and a rule for them goes into a
            folder of your own (docs/rules.md). Events are made of the kept lines then.""",
            ask(
                """sum by (program) (
                rate(heptad_lines_not_understood_total{$me}[$__rate_interval]))""",
                "{{program}}",
            ),
            unit="cps",
            none="Every line was understood",
        ),
        graph(
            "Bytes of log that are not read yet",
            """How far each exporter is behind its logs. It falls to nothing within seconds; else
            the disk is slow, or the store is full and waits for the delivery.""",
            ask("sum by (instance) (heptad_source_behind_bytes{$me})", "{{instance}}"),
            unit="bytes",
            none="No exporter is scraped",
        ),
        bars(
            "Local stores, by how full they are",
            """At 100 % the oldest events are deleted, and where there is a delivery reading waits
            for it. Raise store.max_size, or mend the delivery.""",
            ask(
                "sort_desc(heptad_store_size_bytes{$me} / heptad_store_max_size_bytes{$me})",
                "{{instance}}",
                instant=True,
            ),
            unit="percentunit",
            steps=((None, GREEN), (0.8, ORANGE), (0.95, RED)),
            most=1,
            none="No exporter is scraped",
        ),
    ]


def _delivering() -> list[object]:
    return [
        graph(
            "Points waiting to be delivered",
            """Events that are in a local store and not yet in InfluxDB. A line that only rises:
            see the breaker beside, and run `heptad influxdb check` on that host.""",
            ask("max by (instance) (heptad_delivery_behind_events{$me})", "{{instance}}"),
            none=_NOT_DELIVERING,
        ),
        states(
            "Circuit breaker",
            """Red: five deliveries in a row failed, and one trial is made every half minute.
            InfluxDB is down, or something in between.""",
            ask(
                """sum by (instance) (2 * heptad_delivery_breaker_state{$me, state="open"}
                + ignoring (state) heptad_delivery_breaker_state{$me, state="half-open"})""",
                "{{instance}}",
            ),
            _BREAKER,
            none=_NOT_DELIVERING,
        ),
        graph(
            "Events that left the local store",
            """Events a second. Rejected: InfluxDB refused them for good, `heptad exporter rejected`
            says why. Expired: older than the bucket keeps; raise `influxdb.retention.events`.""",
            ask(
                "sum by (result) (rate(heptad_delivery_events_total{$me}[$__rate_interval]))",
                "{{result}}",
            ),
            unit="cps",
            colors={"delivered": GREEN, "rejected": RED, "expired": ORANGE},
            none=_NOT_DELIVERING,
        ),
        graph(
            "Clocks against the server's",
            """Seconds that a host is ahead. More than a minute off: mend its time service (chrony,
            systemd-timesyncd), for the aggregator does not wait for it, and its events are stamped
            wrongly.""",
            ask(
                "max by (instance) (abs(heptad_delivery_clock_offset_seconds{$me}))", "{{instance}}"
            ),
            unit="s",
            steps=((None, "transparent"), (60, RED)),
            none=_NOT_DELIVERING,
        ),
    ]


def _aggregating() -> list[object]:
    return [
        _count(
            "Silent hosts",
            """Exporters that InfluxDB heard within the last day and that say nothing now: is the
            host down, or its exporter? Only with InfluxDB.""",
            "sum(heptad_aggregator_hosts_silent{$me})",
        ),
        _count(
            "Hosts with a wrong clock",
            """Their clocks are more than a minute off: mend their time service. Reports do not
            wait for them. Only with InfluxDB.""",
            "sum(heptad_aggregator_hosts_skewed{$me})",
        ),
        _count(
            "Names or machine ids that two hosts share",
            """Two machines under one name: their events mix, so set `host` in one's configuration.
            Two hosts with one machine id: one was cloned (systemd-machine-id-setup).""",
            'sum({__name__=~"heptad_aggregator_hosts_shared_names'
            '|heptad_aggregator_hosts_shared_machine_ids", $me})',
            steps=LOOK_ABOVE_ZERO,
        ),
        number(
            "Aggregator behind",
            """How long ago everything that had arrived was worked off. Minutes: it is too slow, or
            cannot read the events.""",
            ask("max(heptad_aggregator_behind_seconds{$me})", instant=True),
            unit="s",
            steps=((None, GREEN), (60, ORANGE), (600, RED)),
            none="No aggregator",
        ),
        _count(
            "Events too late or in the future",
            """In this range. Too late: no report was changed for them, `heptad aggregator --since`
            does it. In the future: a clock is wrong.""",
            "sum(increase(heptad_aggregator_late_events_total{$me}[$__range]))"
            " + sum(increase(heptad_aggregator_future_events_total{$me}[$__range]))",
            steps=LOOK_ABOVE_ZERO,
        ),
        _count(
            "Minutes that were forgotten",
            """More subjects than a rule holds in memory (100,000 minutes of them), in this range:
            a finding may be missing. An attack from very many addresses goes on.""",
            "sum(increase(heptad_aggregator_cells_dropped_total{$me}[$__range]))",
            steps=LOOK_ABOVE_ZERO,
        ),
        graph(
            "Windows that were computed",
            """Windows of reports a second, and how many were computed again because events came
            late. Revisions all the time: a host delivers late, see above.""",
            [
                ask(
                    """sum by (window) (
                    rate(heptad_aggregator_windows_total{$me}[$__rate_interval]))""",
                    "{{window}}",
                    ref="A",
                ),
                ask(
                    "sum(rate(heptad_aggregator_revisions_total{$me}[$__rate_interval]))",
                    "revisions",
                    ref="B",
                ),
            ],
            unit="cps",
            none="No aggregator",
        ),
        graph(
            "Slowest findings and reports",
            """Seconds that each took when it last had work; the five slowest. One that takes as
            long as the events take to come makes the aggregator fall behind.""",
            ask("topk(5, heptad_aggregator_part_duration_seconds{$me})", "{{part}}"),
            unit="s",
            none="No aggregator",
        ),
    ]


def _running() -> list[object]:
    return [
        graph(
            "Slowest collectors of host metrics",
            """Seconds in the last scrape; the five slowest. A collector that hangs (a dead NFS
            mount) costs only its own metrics: find the mount.""",
            ask(
                """topk(5, max by (instance, collector) (
                heptad_collector_duration_seconds{$me}))""",
                "{{instance}} {{collector}}",
            ),
            unit="s",
            none="No host metrics",
        ),
        rows(
            "Versions and configurations",
            """What runs where. After a change, a configuration that was not taken up was refused:
            `heptad check-config` tells every error of it.""",
            [
                ask("max by (instance, version) (heptad_build_info{$me})", ref="build", rows=True),
                ask(
                    "min by (instance) (heptad_config_last_reload_successful{$me})",
                    ref="taken",
                    rows=True,
                ),
                ask(
                    """1000 * max by (instance) (
                    heptad_config_last_reload_success_timestamp_seconds{$me})""",
                    ref="since",
                    rows=True,
                ),
            ],
            {
                "Configuration": {
                    "mappings": [words({"1": ("taken up", GREEN), "0": ("refused", RED)})],
                    "custom.cellOptions": {"type": "color-text"},
                },
                "In force since": {"unit": "dateTimeAsIso"},
            },
            none="Nothing is scraped",
            shaping=joined(
                "instance",
                {
                    "instance": "Instance",
                    "version": "Version",
                    "Value #taken": "Configuration",
                    "Value #since": "In force since",
                },
                "Value #build",
            ),
            width=12,
        ),
    ]


def build() -> dashboard.Dashboard:
    """The dashboard."""
    return lay_out(
        "heptad-itself",
        "Heptad / Heptad itself",
        "Whether everything that is written is read, understood, delivered and counted.",
        [source("prometheus"), *instances(_ALL)],
        *_overview(),
        "Reading",
        *_reading(),
        "Delivering",
        *_delivering(),
        "Findings and reports",
        *_aggregating(),
        "Running",
        *_running(),
    )
