"""Alerts on the aggregator: problems with reading, computing and storing."""

from typing import Final

from provisioning.alerts.rule import Alert, RuleGroup

_PAGE: Final = "aggregator.md"

AGGREGATOR: Final = RuleGroup(
    "heptad-aggregator",
    "The aggregator itself.",
    (
        Alert(
            "HeptadAggregatorDown",
            "warning",
            'up{job="<aggregator_job>"} == 0',
            "Aggregator {{ $labels.instance }} is down",
            "Prometheus has not been able to scrape {{ $labels.instance }} for <down_for>: there "
            "are no findings and reports.",
            "Run `systemctl status heptad-aggregator` on its host.",
            _PAGE,
            "<down_for>",
        ),
        Alert(
            "HeptadAggregatorBehind",
            "warning",
            "heptad_aggregator_behind_seconds > <aggregator_behind_seconds>",
            "Aggregator {{ $labels.instance }} does not keep up",
            "{{ $labels.instance }} last processed all events that had arrived {{ $value | "
            "humanizeDuration }} ago: findings are late.",
            "Check whether it catches up: open the dashboard.",
            _PAGE,
            "<down_for>",
        ),
        Alert(
            "HeptadAggregatorPartFailing",
            "warning",
            "heptad_aggregator_part_failing == 1",
            "{{ $labels.part }} fails in aggregator {{ $labels.instance }}",
            "The finding rule or report {{ $labels.part }} has failed in {{ $labels.instance "
            "}} for <down_for>; all others continue.",
            "Read the error: `journalctl --unit heptad-aggregator`.",
            _PAGE,
            "<down_for>",
        ),
        Alert(
            "HeptadAggregatorEventsUnreadable",
            "warning",
            "heptad_aggregator_events_failing == 1",
            "Aggregator {{ $labels.instance }} cannot read events",
            "{{ $labels.instance }} has not been able to read the events for <down_for>: there "
            "are no findings and reports.",
            "Run `heptad influxdb check` on its host; without InfluxDB read `curl "
            "http://127.0.0.1:9708/healthz`.",
            _PAGE,
            "<down_for>",
        ),
        Alert(
            "HeptadAggregatorStoreFailing",
            "warning",
            "heptad_aggregator_store_failing == 1",
            "Aggregator {{ $labels.instance }} cannot store findings",
            "{{ $labels.instance }} has not been able to write its store of findings and reports "
            "for <down_for>.",
            "Run `df` on its host, and read the reason: `curl http://127.0.0.1:9708/healthz`.",
            _PAGE,
            "<down_for>",
        ),
        Alert(
            "HeptadAggregatorStoreSetAside",
            "warning",
            "heptad_aggregator_store_set_aside == 1",
            "A corrupt store of aggregator {{ $labels.instance }} was replaced",
            "The store of findings and reports of {{ $labels.instance }} was corrupt. It was "
            "renamed, and a new one was created without earlier findings and reports.",
            "Run `dmesg` on its host: the usual cause is a failing disk.",
            _PAGE,
        ),
        Alert(
            "HeptadHostNameShared",
            "warning",
            "heptad_aggregator_hosts_shared_names > 0",
            "Two machines have one host name",
            '{{ $value | printf "%.0f" }} host names have two machine ids at a time: the events of '
            "the machines mix, and findings about them are wrong.",
            "List the names: `SHOW SERIES FROM heartbeat` in the bucket `heptad`.",
            _PAGE,
            "<down_for>",
        ),
        Alert(
            "HeptadMachineIdShared",
            "warning",
            "heptad_aggregator_hosts_shared_machine_ids > 0",
            "Two hosts have one machine id",
            '{{ $value | printf "%.0f" }} machine ids belong to two live hosts: one was cloned '
            "from the other.",
            "List the ids: `SHOW SERIES FROM heartbeat` in the bucket `heptad`.",
            _PAGE,
            "<down_for>",
        ),
        Alert(
            "HeptadEventsLate",
            "info",
            "increase(heptad_aggregator_late_events_total[1h]) > 0",
            "Events arrived too late for the reports",
            '{{ $value | printf "%.0f" }} events arrived at {{ $labels.instance }} after the late '
            "horizon within the hour: the reports of their time do not include them.",
            "Find the host that was disconnected: open the dashboard.",
            _PAGE,
        ),
        Alert(
            "HeptadEventsAhead",
            "warning",
            "increase(heptad_aggregator_future_events_total[1h]) > 0",
            "Events have timestamps more than a day ahead",
            '{{ $value | printf "%.0f" }} events arrived at {{ $labels.instance }} within the hour '
            "with a time more than a day ahead: the clock of a host is wrong.",
            "Find the host whose clock is wrong: HeptadClockSkew names it.",
            _PAGE,
        ),
        Alert(
            "HeptadFindingsIncomplete",
            "warning",
            "increase(heptad_aggregator_cells_dropped_total[1h]) > 0",
            "Findings of {{ $labels.rule }} may be missing",
            "There were more subjects than {{ $labels.instance }} can hold for {{ $labels.rule }} "
            'within the hour: {{ $value | printf "%.0f" }} minutes of subjects were dropped.',
            "Find the host under attack: HeptadBruteForce names it.",
            _PAGE,
        ),
    ),
)
