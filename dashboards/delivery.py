"""Rows of the dashboard Heptad itself: delivery and the aggregator."""

from typing import Final

from dashboards.hosts import NOT_RECORDED, RECORDED
from dashboards.panels import (
    GREEN,
    LOOK_ABOVE_ZERO,
    ORANGE,
    RED,
    ask,
    count_of,
    graph,
    number,
    states,
    words,
    worst_of,
)

_BREAKER: Final = words({"0": ("closed", GREEN), "1": ("open", RED)})
_CLOSED: Final = 'heptad_delivery_breaker_state{$me, state="closed"}'
_OFFSET: Final = "heptad_delivery_clock_offset_seconds{$me}"
_NOT_DELIVERING: Final = "Nothing is delivered: no InfluxDB is configured"


def waiting() -> list[object]:
    """Panels about undelivered events, and the cause."""
    return [
        graph(
            "Points waiting to be delivered",
            """Events that are in a local store and not yet in InfluxDB. If a line only rises, check
            the circuit breaker in the next panel, and run `heptad influxdb check` on that host.""",
            ask(worst_of("heptad_delivery_behind_events{$me}"), "{{instance}}"),
            none=_NOT_DELIVERING,
        ),
        states(
            "Circuit breaker",
            """The twenty hosts whose breaker was open for the longest. Red: five deliveries in a
            row failed, and Heptad tries one every half minute. InfluxDB is down or cannot be
            reached.""",
            ask(
                f"""1 - ({_CLOSED} and on (instance)
                bottomk(20, avg_over_time({_CLOSED}[$__range] @ end()) < 1))""",
                "{{instance}}",
            ),
            _BREAKER,
            none="None was open in this range, or nothing is delivered",
        ),
    ]


def left() -> list[object]:
    """Panels about the outcome of deliveries, and clock offsets."""
    return [
        graph(
            "Events that left the local store",
            """Rejected: InfluxDB refused them permanently; `heptad exporter rejected` shows why.
            Expired: older than the retention of the bucket; raise `influxdb.retention.events`.""",
            ask(
                "sum by (result) (sum_over_time(heptad:delivered:increase5m{$me}[$__interval]))",
                "{{result}}",
            ),
            every=RECORDED,
            bars=True,
            stack=True,
            colors={"delivered": GREEN, "rejected": RED, "expired": ORANGE},
            none=f"None in this range, or {NOT_RECORDED}",
        ),
        graph(
            "Clocks against the server's",
            """Clock offset in seconds of the five hosts that were farthest ahead and the five that
            were farthest behind. If it is more than a minute, fix the host's time service (chrony,
            systemd-timesyncd): the aggregator does not wait for this host, and its events have
            wrong times.""",
            ask(
                f"""abs({_OFFSET} and on (instance) (
                topk(5, max_over_time({_OFFSET}[$__range] @ end()))
                or bottomk(5, min_over_time({_OFFSET}[$__range] @ end()))))""",
                "{{instance}}",
            ),
            unit="s",
            steps=((None, "transparent"), (60, RED)),
            none=_NOT_DELIVERING,
        ),
    ]


def fleet() -> list[object]:
    """Tiles about all hosts, as seen by the aggregator."""
    return [
        count_of(
            "Silent hosts",
            """Exporters that sent a heartbeat within the last day, but not within the last three
            minutes. Check that the host is up and that its exporter runs. Only with InfluxDB.""",
            "sum(heptad_aggregator_hosts_silent{$me})",
            "heptad_aggregator_hosts_live{$me}",
        ),
        count_of(
            "Hosts with a wrong clock",
            """Hosts whose clock is off by more than a minute: fix their time service. Reports do
            not wait for these hosts. Only with InfluxDB.""",
            "sum(heptad_aggregator_hosts_skewed{$me})",
            "heptad_aggregator_hosts_live{$me}",
        ),
        count_of(
            "Shared names or ids",
            """If two machines have one name, their events mix: set a different `host` in the
            configuration of one. If two hosts have one machine id, one was cloned: run
            systemd-machine-id-setup.""",
            'sum({__name__=~"heptad_aggregator_hosts_shared_names'
            '|heptad_aggregator_hosts_shared_machine_ids", $me})',
            "heptad_aggregator_hosts_live{$me}",
            steps=LOOK_ABOVE_ZERO,
        ),
    ]


def aggregator() -> list[object]:
    """Tiles about the progress of the aggregator."""
    return [
        number(
            "Aggregator behind",
            """Time since the aggregator last processed all events that had arrived. If it is
            minutes, the aggregator is too slow, or cannot read the events.""",
            ask("max(heptad_aggregator_behind_seconds{$me})", instant=True),
            unit="s",
            steps=((None, GREEN), (60, ORANGE), (600, RED)),
            none="No aggregator",
        ),
        count_of(
            "Too late or in the future",
            """Events in this range. Too late: they changed no report; stop the service and run
            `heptad aggregator --since 7d` to compute the reports again. In the future: a clock is
            wrong.""",
            "sum(increase(heptad_aggregator_late_events_total{$me}[$__range]))"
            " + sum(increase(heptad_aggregator_future_events_total{$me}[$__range]))",
            "heptad_aggregator_behind_seconds{$me}",
            steps=LOOK_ABOVE_ZERO,
        ),
        count_of(
            "Minutes of subjects dropped",
            """A rule had more subjects in this range than it can hold in memory (60,000 minutes of
            subjects), so a finding may be missing. The usual cause is an attack from very many
            addresses.""",
            "sum(increase(heptad_aggregator_cells_dropped_total{$me}[$__range]))",
            "heptad_aggregator_behind_seconds{$me}",
            steps=LOOK_ABOVE_ZERO,
        ),
    ]


def windows() -> list[object]:
    """Panels about the work of the aggregator."""
    return [
        graph(
            "Computed report windows",
            """Report windows that were computed, and those that were computed again (revisions)
            because events arrived late. If there are always revisions, a host delivers late: see
            the rows above.""",
            [
                ask(
                    """sum by (window) (
                    increase(heptad_aggregator_windows_total{$me}[$__interval]))""",
                    "{{window}}",
                    ref="A",
                ),
                ask(
                    "sum(increase(heptad_aggregator_revisions_total{$me}[$__interval]))",
                    "revisions",
                    ref="B",
                ),
            ],
            bars=True,
            stack=True,
            none="No aggregator",
        ),
        graph(
            "Slowest findings and reports",
            """Duration of the last run that had work, in seconds; the five slowest. A rule or
            report that is slower than new events arrive makes the aggregator fall behind.""",
            ask(
                worst_of("heptad_aggregator_part_duration_seconds{$me}", "part"),
                "{{part}}",
            ),
            unit="s",
            none="No aggregator",
        ),
    ]
