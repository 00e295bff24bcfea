"""Cases of the alerts on the aggregator."""

from tests.alert_cases.case import AGGREGATOR, Case, aggregator

CASES = [
    Case(
        "HeptadAggregatorDown",
        "no scrape succeeds for 6 minutes",
        {aggregator("up"): "1x5 0x10"},
        "12m",
        AGGREGATOR,
        "Aggregator fleet:9708 is down",
        "Prometheus has not been able to scrape fleet:9708 for 5m: there are no findings and "
        "reports.",
    ),
    Case("HeptadAggregatorDown", "it restarts", {aggregator("up"): "1x5 0x2 1x9"}, "12m"),
    Case(
        "HeptadAggregatorBehind",
        "nothing is worked off",
        {aggregator("heptad_aggregator_behind_seconds"): "0+60x30"},
        "20m",
        AGGREGATOR,
        "Aggregator fleet:9708 does not keep up",
        "It is 20m 0s since fleet:9708 had worked off everything that had arrived: findings come "
        "late.",
    ),
    Case(
        "HeptadAggregatorBehind",
        "a long look ends",
        {aggregator("heptad_aggregator_behind_seconds"): "0+60x12 0x20"},
        "20m",
    ),
    Case(
        "HeptadAggregatorPartFailing",
        "one rule fails",
        {aggregator("heptad_aggregator_part_failing", part="sweep"): "0x3 1x20"},
        "10m",
        AGGREGATOR | {"part": "sweep"},
        "sweep fails in aggregator fleet:9708",
        "The finding or report sweep has failed in fleet:9708 for 5m; all others go on.",
    ),
    Case(
        "HeptadAggregatorPartFailing",
        "it failed once",
        {aggregator("heptad_aggregator_part_failing", part="sweep"): "0x3 1 0x20"},
        "10m",
    ),
    Case(
        "HeptadAggregatorEventsUnreadable",
        "InfluxDB is down",
        {aggregator("heptad_aggregator_events_failing"): "0x3 1x20"},
        "10m",
        AGGREGATOR,
        "Aggregator fleet:9708 cannot read events",
        "fleet:9708 has not been able to read the events for 5m: there are no findings and "
        "reports.",
    ),
    Case(
        "HeptadAggregatorEventsUnreadable",
        "InfluxDB restarts",
        {aggregator("heptad_aggregator_events_failing"): "0x3 1x2 0x20"},
        "10m",
    ),
    Case(
        "HeptadAggregatorStoreFailing",
        "the disk is full",
        {aggregator("heptad_aggregator_store_failing"): "0x3 1x20"},
        "10m",
        AGGREGATOR,
        "Aggregator fleet:9708 cannot keep findings",
        "fleet:9708 has not been able to write its store of findings and reports for 5m.",
    ),
    Case(
        "HeptadAggregatorStoreFailing",
        "one failure",
        {aggregator("heptad_aggregator_store_failing"): "0x3 1 0x20"},
        "10m",
    ),
    Case(
        "HeptadAggregatorStoreSetAside",
        "a corrupt store",
        {aggregator("heptad_aggregator_store_set_aside"): "1x20"},
        "10m",
        AGGREGATOR,
        "A corrupt store of aggregator fleet:9708 was set aside",
        "fleet:9708 found its store of findings and reports corrupt, set it aside and began a new "
        "one: earlier findings and reports are not in it.",
    ),
    Case(
        "HeptadAggregatorStoreSetAside",
        "a sound one",
        {aggregator("heptad_aggregator_store_set_aside"): "0x20"},
        "10m",
    ),
    Case(
        "HeptadHostNameShared",
        "one for 6 minutes",
        {aggregator("heptad_aggregator_hosts_shared_names"): "0x3 1x20"},
        "10m",
        AGGREGATOR,
        "Two machines have one host name",
        "1 host names have two machine ids at a time: the events of the machines mix, and findings "
        "about them are wrong.",
    ),
    Case(
        "HeptadHostNameShared",
        "a host was installed anew, and the old id falls silent",
        {aggregator("heptad_aggregator_hosts_shared_names"): "0x3 1x3 0x20"},
        "10m",
    ),
    Case(
        "HeptadMachineIdShared",
        "one for 6 minutes",
        {aggregator("heptad_aggregator_hosts_shared_machine_ids"): "0x3 1x20"},
        "10m",
        AGGREGATOR,
        "Two hosts have one machine id",
        "1 machine ids belong to two live hosts: one was cloned from the other.",
    ),
    Case(
        "HeptadMachineIdShared",
        "a host was renamed, and the old name falls silent",
        {aggregator("heptad_aggregator_hosts_shared_machine_ids"): "0x3 1x3 0x20"},
        "10m",
    ),
    Case(
        "HeptadEventsLate",
        "five events of last week",
        {aggregator("heptad_aggregator_late_events_total"): "0x10 5x20"},
        "15m",
        AGGREGATOR,
        "Events came too late for the reports",
        "5 events came to fleet:9708 later than the horizon within the hour: the reports of their "
        "time leave them out.",
    ),
    Case(
        "HeptadEventsLate",
        "none since",
        {aggregator("heptad_aggregator_late_events_total"): "5x30"},
        "15m",
    ),
    Case(
        "HeptadEventsAhead",
        "three events of next year",
        {aggregator("heptad_aggregator_future_events_total"): "0x10 3x20"},
        "15m",
        AGGREGATOR,
        "Events are stamped more than a day ahead",
        "3 events came to fleet:9708 within the hour with a time more than a day ahead: the clock "
        "of a host is wrong.",
    ),
    Case(
        "HeptadEventsAhead",
        "none since",
        {aggregator("heptad_aggregator_future_events_total"): "3x30"},
        "15m",
    ),
    Case(
        "HeptadFindingsIncomplete",
        "more addresses than can be held",
        {aggregator("heptad_aggregator_cells_dropped_total", rule="sweep"): "0x10 400x20"},
        "15m",
        AGGREGATOR | {"rule": "sweep"},
        "Findings of sweep may be missing",
        "There were more subjects than fleet:9708 can hold for sweep within the hour: 400 minutes "
        "of subjects were forgotten.",
    ),
    Case(
        "HeptadFindingsIncomplete",
        "none since",
        {aggregator("heptad_aggregator_cells_dropped_total", rule="sweep"): "400x30"},
        "15m",
    ),
]
