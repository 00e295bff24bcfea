"""Alerts on the exporters: problems with reading, parsing, storing and delivering."""

from typing import Final

from provisioning.alerts.rule import Alert, Recording, RuleGroup, grown

_PAGE: Final = "exporter.md"

_ACTIVE: Final = "source:heptad_lines_event:active70m"
_INTERVAL: Final = "5m"


def _quiet(window: str) -> str:
    """Return the condition for no event in a window during 90 % of which the source was read."""
    return f"""max_over_time({_ACTIVE}[{window}]) == 0
              and last_over_time({_ACTIVE}[1h] offset {window})
              and count_over_time({_ACTIVE}[{window}])
                > 0.9 * scalar(count_over_time(vector(1)[{window}:{_INTERVAL}]))"""


SOURCES: Final = RuleGroup(
    "heptad-sources",
    "Sources that fell silent or lost something. Evaluated every 5 minutes: it looks back a week.",
    (
        Recording(
            _ACTIVE,
            "sum without (result) (\n"
            '  increase(heptad_lines_total{result="event"}[70m])\n) > bool 0',
            "1 if a source had an event within 70 minutes (cron.hourly's job causes one every "
            "60), 0 if not",
        ),
        Alert(
            "HeptadSourceSilent",
            "warning",
            f"""
            (
              {_quiet("<silent_window>")}
            or
              {_quiet("<steady_window>")}
              and avg_over_time({_ACTIVE}[1w] offset 1d) >= <steady_share>
              and last_over_time({_ACTIVE}[1h] offset 6d)
            )
            and heptad_source_up == 1
            """,
            "Source {{ $labels.source }} of <host> fell silent",
            "Source {{ $labels.source }} of <host> is readable but has had no event for more "
            "than <silent_window>, or for more than <steady_window> if it was never quiet "
            "before: its log may have moved, or its daemon no longer writes there.",
            "Check whether its log still grows: `ls -l /var/log/auth.log*`, or `journalctl "
            "--since -1h SYSLOG_FACILITY=10`.",
            _PAGE,
        ),
        Alert(
            "HeptadSourceGap",
            "warning",
            grown("heptad_gaps_total", "<finding_window>", "1w:1h"),
            "A part of {{ $labels.source }} on <host> is lost",
            "A part of {{ $labels.source }} on <host> was deleted before it could be read, or "
            "its daemon dropped it ({{ $labels.reason }}): its events are missing.",
            "Check whether the exporter was down, or its store full, at that time: `heptad events"
            " --since 1h` shows the gap.",
            _PAGE,
        ),
    ),
    _INTERVAL,
)

_READING: Final = (
    Alert(
        "HeptadExporterDown",
        "warning",
        'up{job="<exporter_job>"} == 0',
        "Exporter <host> is down",
        "Prometheus has not been able to scrape <host> for <down_for>.",
        "Check whether the host is up; then `systemctl status heptad-exporter` there.",
        _PAGE,
        "<down_for>",
    ),
    Alert(
        "HeptadNotScraped",
        "warning",
        'absent(up{job="<exporter_job>"})',
        "Prometheus scrapes no exporter",
        "No target has the job <exporter_job>: none of these alerts can fire. Either the scrape "
        "configuration lost it, or the job has another name than in settings.yml.",
        "Open `/targets` of Prometheus.",
        _PAGE,
        "<down_for>",
    ),
    Alert(
        "HeptadSourceNotReadable",
        "critical",
        "heptad_source_up == 0",
        "Source {{ $labels.source }} of <host> cannot be read",
        "<host> has not been able to read {{ $labels.source }} for <down_for>: its events are "
        "missing.",
        "Read the reason on the host: `curl http://127.0.0.1:9707/healthz`.",
        _PAGE,
        "<down_for>",
    ),
    Alert(
        "HeptadSourceDeaf",
        "critical",
        "heptad_source_deaf == 1",
        "Source {{ $labels.source }} of <host> is deaf: {{ $labels.reason }}",
        "<host> can read {{ $labels.source }}, but learns nothing from it ({{ $labels.reason "
        "}}): logins there are not counted. /healthz shows the evidence.",
        "Read the evidence and the fix on the host: `curl http://127.0.0.1:9707/healthz`.",
        _PAGE,
        "1m",
    ),
    Alert(
        "HeptadSourceBehind",
        "warning",
        "heptad_source_behind_bytes > <behind_bytes>",
        "<host> does not keep up with {{ $labels.source }}",
        "For 15 minutes much of {{ $labels.source }} has been waiting on <host>, "
        "now {{ $value | humanize1024 }}B: alerts on logins come late.",
        "Check whether its store can be written, or is full: `curl http://127.0.0.1:9707/healthz`.",
        _PAGE,
        "15m",
    ),
    Alert(
        "HeptadSourceNotWatched",
        "info",
        "heptad_source_watched == 0",
        "The kernel does not report changes of {{ $labels.source }} on <host>",
        "For 15 minutes the kernel has not reported changes of {{ $labels.source }} on <host>. "
        "Its logs are read every two seconds instead: nothing is lost, but reading costs more, "
        "and a limit of the host (inotify) is probably reached.",
        "Read the reason and the fix on the host: `curl http://127.0.0.1:9707/healthz`.",
        _PAGE,
        "15m",
    ),
    Alert(
        "HeptadLinesNotUnderstood",
        "warning",
        """
        heptad_lines_not_understood_total - heptad_lines_not_understood_total offset 1d
          >= <not_understood>
        or
        increase(heptad_lines_not_understood_total[1h]) >= <not_understood>
        """,
        "Lines of {{ $labels.program }} on <host> are not understood",
        'No rule understood {{ $value | printf "%.0f" }} lines of {{ $labels.program }} on '
        "<host>: its log format may have changed, and their events are not counted.",
        "Read some of the lines: `heptad report` on the host shows them.",
        _PAGE,
    ),
    Alert(
        "HeptadLinesUntrusted",
        "warning",
        """
        heptad_lines_untrusted_total - heptad_lines_untrusted_total offset 1d
          >= <untrusted>
        or
        increase(heptad_lines_untrusted_total[1h]) >= <untrusted>
        """,
        "Lines of {{ $labels.program }} on <host> are rejected",
        '{{ $value | printf "%.0f" }} lines in the journal of <host> have the name '
        "of {{ $labels.program }} and come from a binary or an account that is not trusted: the "
        "program is elsewhere, or someone forges its lines.",
        "Read which binary and account wrote them: `heptad report --local` on the host.",
        _PAGE,
    ),
    Alert(
        "HeptadStampsOutOfRange",
        "warning",
        "increase(heptad_stamps_out_of_range_total[10m]) > 2",
        "A clock in {{ $labels.source }} of <host> is wrong",
        "Lines of {{ $labels.source }} on <host> have a stamp before 1970 or more "
        "than a day ahead: their events have the time at which they arrived. A host has a wrong "
        "clock, or someone forges stamps.",
        "Read which host it is: `curl http://127.0.0.1:9707/healthz`.",
        _PAGE,
    ),
    Alert(
        "HeptadCollectorFailing",
        "warning",
        "heptad_collector_success == 0",
        "Host metrics of <host> are missing: {{ $labels.collector }}",
        "The collector {{ $labels.collector }} of <host> has failed or hung for "
        "15 minutes: alerts on its metrics cannot fire.",
        "Read the error on the host: `journalctl --unit heptad-exporter`.",
        _PAGE,
        "15m",
    ),
    Alert(
        "HeptadConfigurationRefused",
        "warning",
        "heptad_config_last_reload_successful == 0",
        "<host> runs with an old configuration",
        "The new configuration of <host> was rejected at the last reload: the previous one is "
        "still active.",
        "Run `heptad check-config FILE` on the host: it shows every error with its location.",
        _PAGE,
        "<down_for>",
    ),
    Alert(
        "HeptadClockSkew",
        "warning",
        """
        abs(node_time_seconds - timestamp(node_time_seconds)) > <clock_offset_seconds>
        or
        abs(heptad_delivery_clock_offset_seconds) > <clock_offset_seconds>
        """,
        "The clock of <host> is off",
        "The clock of <host> is off by {{ $value | humanizeDuration }}, by the clock of "
        "Prometheus or of InfluxDB: events have wrong times, and findings that combine events "
        "of several hosts are wrong.",
        "Run `timedatectl` on the host.",
        _PAGE,
        "<down_for>",
    ),
)

_KEEPING: Final = (
    Alert(
        "HeptadStoreFailing",
        "critical",
        "heptad_store_failing == 1",
        "The store of <host> cannot be written",
        "<host> has not been able to write its store for <down_for>: reading is paused, and "
        "logs that are rotated away in the meantime are lost.",
        "Run `df` on the host, and read the reason: `curl http://127.0.0.1:9707/healthz`.",
        _PAGE,
        "<down_for>",
    ),
    Alert(
        "HeptadStoreFull",
        "critical",
        "heptad_store_full == 1",
        "The store of <host> is full of undelivered events",
        "No event in the store of <host> has been delivered yet: reading is paused, and logs "
        "that are rotated away in the meantime are lost.",
        "Run `heptad influxdb check` on the host: it shows why nothing is delivered.",
        _PAGE,
        "<down_for>",
    ),
    Alert(
        "HeptadStoreFilling",
        "warning",
        """
        heptad_store_size_bytes / heptad_store_max_size_bytes >= <store_filled>
        and on (job, instance)
        heptad_delivery_behind_events >= <store_waiting_events>
        """,
        "The store of <host> is filling",
        "{{ $value | humanizePercentage }} of the store of <host> is in use while events wait "
        "for delivery. When it contains only such events, reading pauses.",
        "Run `heptad influxdb check` on the host: it shows why events wait.",
        _PAGE,
        "<delivery_for>",
    ),
    Alert(
        "HeptadStoreSetAside",
        "warning",
        "heptad_store_set_aside == 1",
        "A corrupt store of <host> was replaced",
        "The store of <host> was corrupt. It was renamed, and a new one was created: earlier "
        "events are not on the page, and undelivered ones may be missing.",
        "Run `dmesg` on the host: the usual cause is a failing disk.",
        _PAGE,
    ),
    Alert(
        "HeptadDeliveryFailing",
        "warning",
        "heptad_delivery_up == 0",
        "<host> does not deliver",
        "<host> has not been able to deliver to InfluxDB for <delivery_for>. "
        "Nothing is lost while its store has room; findings and reports come late.",
        "Run `heptad influxdb check` on the host: it shows what is wrong, and what to do.",
        _PAGE,
        "<delivery_for>",
    ),
    Alert(
        "HeptadBreakerOpen",
        "info",
        'max_over_time(heptad_delivery_breaker_state{state="open"}[2m]) == 1',
        "<host> finds InfluxDB unreachable",
        "The circuit breaker of <host> has been open for <breaker_for>: InfluxDB "
        "does not answer, and is tried twice a minute.",
        "Do nothing yet; HeptadDeliveryFailing fires if this continues.",
        _PAGE,
        "<breaker_for>",
    ),
    Alert(
        "HeptadFieldConflict",
        "critical",
        "heptad_delivery_held_events > 0 or heptad_aggregator_held_events > 0",
        "InfluxDB rejects events of <host> because of the type of a field",
        'InfluxDB rejects {{ $value | printf "%.0f" }} points: the field {{ $labels.field }} of '
        "{{ $labels.measurement }} has the type {{ $labels.stored }} in the shard from "
        "{{ $labels.shard_start }} to {{ $labels.shard_end }}, but the points have the type "
        "{{ $labels.sent }}. A point there says that it is from host {{ $labels.claimed_host }}, "
        "which is not verified. The exporters hold the points and retry them.",
        "Find out which program writes this field with another type.",
        _PAGE,
    ),
    Alert(
        "HeptadEventsRejected",
        "warning",
        'increase(heptad_delivery_events_total{result=~"rejected|expired"}[1h]) > 0',
        "InfluxDB rejected events of <host>",
        '{{ $value | printf "%.0f" }} events of <host> were '
        "{{ $labels.result }} within the hour and will not be sent again.",
        "Read the server's reason on the host: `heptad exporter rejected`.",
        _PAGE,
    ),
)

EXPORTER: Final = RuleGroup(
    "heptad-exporter",
    "The exporters themselves.",
    _READING + _KEEPING,
)
