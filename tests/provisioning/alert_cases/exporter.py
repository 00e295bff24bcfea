"""Cases of the alerts on the exporters."""

from collections.abc import Iterable

from tests.provisioning.alert_cases.case import EXPORTER, Case, exporter

AUTH = EXPORTER | {"source": "auth"}
DEAF = exporter("heptad_source_deaf", source="auth", reason="untrusted")
UNTRUSTED = exporter("heptad_lines_untrusted_total", program="sudo")
UP = exporter("heptad_source_up", source="auth")
EVENTS = exporter("heptad_lines_total", source="auth", result="event")
GAPS = exporter("heptad_gaps_total", source="auth", reason="rotated_away")
NOT_UNDERSTOOD = exporter("heptad_lines_not_understood_total", program="sshd")
SIZE, MOST = exporter("heptad_store_size_bytes"), exporter("heptad_store_max_size_bytes")
WAITING = exporter("heptad_delivery_behind_events")
CONFLICT = {
    "measurement": "events",
    "field": "count",
    "sent": "integer",
    "stored": "float",
    "shard_start": "2026-11-30T00:00Z",
    "shard_end": "2026-12-01T00:00Z",
    "claimed_host": "web-2",
}
OPEN = exporter("heptad_delivery_breaker_state", state="open")
CLOCK = exporter("node_time_seconds")
OFFSET = exporter("heptad_delivery_clock_offset_seconds")
SILENT = "Source auth of web-1:9707 fell silent"
SILENT_MORE = (
    "Source auth of web-1:9707 is readable but has had no event for more than 25h, or for more "
    "than 4h if it was never quiet before: its log may have moved, or its daemon no longer "
    "writes there."
)


def _lines(hours: int, busy: Iterable[int]) -> dict[str, str]:
    """The series of a source that can be read, 12 samples an hour; an event in ``busy`` hours."""
    known = set(busy)
    count, values = 0, []
    for hour in range(hours):
        values.append(f"{count}x5")
        count += hour in known
        values.append(f"{count}x5")
    return {EVENTS: " ".join(values), UP: f"1x{12 * hours}"}


def _outage(hours: int, busy: Iterable[int], begin: int, end: int) -> dict[str, str]:
    """The same, but for these hours in which nothing was scraped; an event is there before it is.

    The last hours are quiet.
    """
    lines = _lines(hours, busy)
    before = " ".join(lines[EVENTS].split()[: 2 * begin])
    last = f"{len(set(busy))}x{12 * (hours - end)}"
    return {EVENTS: f"{before} _x{12 * (end - begin)} {last}", UP: lines[UP]}


def _silent(why: str, series: dict[str, str], at: str, *, fires: bool = False) -> Case:
    labels = AUTH if fires else None
    told = (SILENT, SILENT_MORE) if fires else ("", "")
    return Case("HeptadSourceSilent", why, series, at, labels, *told, interval="5m")


WEEK = 24 * 7
NIGHTS_OFF = [hour for hour in range(2 * WEEK) if 8 <= hour % 24 < 18]
SOURCES = [
    _silent("a daily job stays away", _lines(60, [1, 25]), "52h", fires=True),
    _silent("one job a day, and the next is not yet due", _lines(80, [1, 25, 49]), "73h"),
    _silent("nobody logs in at night", _lines(2 * WEEK, NIGHTS_OFF), f"{24 * 9 + 7}h"),
    _silent(
        "cron's hourly line stays away", _lines(24 * 9, range(24 * 8)), f"{24 * 8 + 6}h", fires=True
    ),
    _silent("an event an hour, and one is late", _lines(24 * 9, range(24 * 8)), f"{24 * 8 + 3}h"),
    _silent(
        "it is quiet, but its log cannot be read: HeptadSourceNotReadable tells that",
        _lines(60, [1]) | {UP: "0x720"},
        "52h",
    ),
    _silent("it was read for the first time five hours ago", _lines(10, [0]), "5h"),
    _silent(
        "the host is back after five hours, and nothing has happened on it yet",
        _outage(24 * 9, range(24 * 8), 24 * 8, 24 * 8 + 5),
        f"{24 * 8 + 5}h30m",
    ),
    _silent("the host is back after a day", _outage(80, [1, 25], 28, 53), f"{28 + 25}h30m"),
]

READING = [
    Case(
        "HeptadExporterDown",
        "no scrape succeeds for 6 minutes",
        {exporter("up"): "1x5 0x10"},
        "12m",
        EXPORTER,
        "Exporter web-1:9707 is down",
        "Prometheus has not been able to scrape web-1:9707 for 5m.",
        early="10m",
    ),
    Case(
        "HeptadExporterDown",
        "the name of its host is still known",
        {exporter("up"): "1x25 0x10", exporter("heptad_host_info", host="db-1"): "1x25 stale"},
        "32m",
        EXPORTER,
        "Exporter db-1 is down",
        "Prometheus has not been able to scrape db-1 for 5m.",
        host="db-1",
        early="30m",
    ),
    *(
        Case(
            "HeptadExporterDown",
            f"its host was {old} and is {new}",
            {
                exporter("up"): "1x25 0x10",
                exporter("heptad_host_info", host=old): "1x10 stale",
                exporter("heptad_host_info", host=new): "_x11 1x40",
            },
            "32m",
            EXPORTER,
            f"Exporter {new} is down",
            f"Prometheus has not been able to scrape {new} for 5m.",
            host=new,
        )
        for old, new in (("db-1", "web-1"), ("web-1", "db-1"))
    ),
    Case("HeptadExporterDown", "it restarts", {exporter("up"): "1x5 0x2 1x9"}, "12m"),
    Case(
        "HeptadExporterDown", "another job is down", {'up{job="web", instance="a"}': "0x20"}, "12m"
    ),
    Case(
        "HeptadNotScraped",
        "only another job is scraped",
        {'up{job="web", instance="a"}': "1x20"},
        "12m",
        {"job": "heptad"},
        "Prometheus scrapes no exporter",
        "No target has the job heptad: none of these alerts can fire. Either the scrape "
        "configuration lost it, or the job has another name than in settings.yml.",
        early="4m",
    ),
    Case("HeptadNotScraped", "one is scraped, though down", {exporter("up"): "0x20"}, "12m"),
    Case(
        "HeptadSourceNotReadable",
        "a source cannot be read for 6 minutes",
        {UP: "1x5 0x10"},
        "12m",
        AUTH,
        "Source auth of web-1:9707 cannot be read",
        "web-1:9707 has not been able to read auth for 5m: its events are missing.",
        early="10m",
    ),
    Case("HeptadSourceNotReadable", "logrotate is between two files", {UP: "1x9 0 1x9"}, "12m"),
    Case(
        "HeptadSourceDeaf",
        "sshd was moved, and all its lines are rejected",
        {DEAF: "0x5 1x10"},
        "12m",
        AUTH | {"reason": "untrusted"},
        "Source auth of web-1:9707 is deaf: untrusted",
        "web-1:9707 can read auth, but learns nothing from it (untrusted): logins there are "
        "not counted. /healthz shows the evidence.",
        early="6m",
    ),
    Case("HeptadSourceDeaf", "it is heard", {DEAF: "0x20"}, "12m"),
    Case(
        "HeptadLinesUntrusted",
        "sudo is at a path that is not known, and is used now and then",
        {UNTRUSTED: "0+1x40"},
        "30h",
        EXPORTER | {"program": "sudo"},
        "Lines of sudo on web-1:9707 are rejected",
        "12 lines in the journal of web-1:9707 have the name of sudo and come from a binary or an "
        "account that is not trusted: the program is elsewhere, or someone forges its lines.",
        interval="2h",
    ),
    Case("HeptadLinesUntrusted", "somebody tried logger", {UNTRUSTED: "0x10 2x30"}, "20m"),
    Case(
        "HeptadStampsOutOfRange",
        "a host starts in 1970",
        {exporter("heptad_stamps_out_of_range_total", source="auth"): "0x5 3x10"},
        "8m",
        AUTH,
        "A clock in auth of web-1:9707 is wrong",
        "Lines of auth on web-1:9707 have a stamp before 1970 or more than a day ahead: their "
        "events have the time at which they arrived. A host has a wrong clock, or someone forges "
        "stamps.",
    ),
    Case(
        "HeptadStampsOutOfRange",
        "one odd line",
        {exporter("heptad_stamps_out_of_range_total", source="auth"): "0x5 1x10"},
        "8m",
    ),
    Case(
        "HeptadSourceBehind",
        "60 MB and more wait",
        {exporter("heptad_source_behind_bytes", source="auth"): "60e6+1e6x30"},
        "15m",
        AUTH,
        "web-1:9707 does not keep up with auth",
        "For 15 minutes much of auth has been waiting on web-1:9707, now 71.53MiB: alerts on "
        "logins come late.",
        early="14m",
    ),
    Case(
        "HeptadSourceBehind",
        "a big log is read for the first time",
        {exporter("heptad_source_behind_bytes", source="auth"): "600e6-100e6x5 0x30"},
        "2m",
    ),
    Case(
        "HeptadSourceNotWatched",
        "the limit of inotify is used up",
        {exporter("heptad_source_watched", source="auth"): "1x5 0x30"},
        "25m",
        AUTH,
        "The kernel does not report changes of auth on web-1:9707",
        "For 15 minutes the kernel has not reported changes of auth on web-1:9707. Its logs "
        "are read every two seconds instead: nothing is lost, but reading costs more, and a "
        "limit of the host (inotify) is probably reached.",
        early="20m",
    ),
    Case(
        "HeptadSourceNotWatched",
        "a folder appeared while the limit was reached for a moment",
        {exporter("heptad_source_watched", source="auth"): "1x5 0x5 1x30"},
        "25m",
    ),
    Case(
        "HeptadLinesNotUnderstood",
        "twelve lines in a day",
        {NOT_UNDERSTOOD: "3+1x40"},
        "30h",
        EXPORTER | {"program": "sshd"},
        "Lines of sshd on web-1:9707 are not understood",
        "No rule understood 12 lines of sshd on web-1:9707: its log format may have changed, "
        "and their events are not counted.",
        interval="2h",
    ),
    Case(
        "HeptadSourceBehind",
        "a busy log",
        {exporter("heptad_source_behind_bytes", source="auth"): "30e6x30"},
        "20m",
    ),
    Case(
        "HeptadLinesNotUnderstood",
        "a new host, of which a day ago nothing was known",
        {NOT_UNDERSTOOD: "0+1x90"},
        "1h",
        EXPORTER | {"program": "sshd"},
        "Lines of sshd on web-1:9707 are not understood",
        "No rule understood 60 lines of sshd on web-1:9707: its log format may have changed, "
        "and their events are not counted.",
    ),
    Case(
        "HeptadLinesNotUnderstood",
        "a new host with nine odd lines",
        {NOT_UNDERSTOOD: "0 9x90"},
        "50m",
    ),
    Case(
        "HeptadLinesNotUnderstood",
        "one odd line now and then",
        {NOT_UNDERSTOOD: "0+1x20"},
        "30h",
        interval="4h",
    ),
    Case(
        "HeptadSourceGap",
        "the first gap",
        {GAPS: "0x10 1x20"},
        "15m",
        AUTH | {"reason": "rotated_away"},
        "A part of auth on web-1:9707 is lost",
        "A part of auth on web-1:9707 was deleted before it could be read, or its daemon "
        "dropped it (rotated_away): its events are missing.",
    ),
    Case(
        "HeptadSourceGap",
        "it was lost while the exporter was down, as most are",
        {GAPS: "3x70 _x90 4x20"},
        "165m",
        AUTH | {"reason": "rotated_away"},
        "A part of auth on web-1:9707 is lost",
        "A part of auth on web-1:9707 was deleted before it could be read, or its daemon "
        "dropped it (rotated_away): its events are missing.",
    ),
    Case("HeptadSourceGap", "there was one long ago", {GAPS: "1x30"}, "15m"),
    Case("HeptadSourceGap", "one long ago, and an outage", {GAPS: "3x70 _x90 3x20"}, "165m"),
    Case("HeptadSourceGap", "it was told after the outage", {GAPS: "3x70 _x90 4x30"}, "180m"),
    Case("HeptadSourceGap", "a store was begun anew", {GAPS: "3x70 _x90 0x20"}, "165m"),
    Case(
        "HeptadCollectorFailing",
        "a collector hangs",
        {exporter("heptad_collector_success", collector="filesystem"): "1x3 0x20"},
        "20m",
        EXPORTER | {"collector": "filesystem"},
        "Host metrics of web-1:9707 are missing: filesystem",
        "The collector filesystem of web-1:9707 has failed or hung for 15 minutes: alerts on its "
        "metrics cannot fire.",
        early="18m",
    ),
    Case(
        "HeptadCollectorFailing",
        "it fails once",
        {exporter("heptad_collector_success", collector="filesystem"): "1x3 0 1x20"},
        "20m",
    ),
    Case(
        "HeptadConfigurationRefused",
        "a reload was refused",
        {exporter("heptad_config_last_reload_successful"): "1x3 0x20"},
        "10m",
        EXPORTER,
        "web-1:9707 runs with an old configuration",
        "The new configuration of web-1:9707 was rejected at the last reload: the previous one "
        "is still active.",
        early="8m",
    ),
    Case(
        "HeptadConfigurationRefused",
        "it was mended at once",
        {exporter("heptad_config_last_reload_successful"): "1x3 0x2 1x20"},
        "10m",
    ),
    Case(
        "HeptadClockSkew",
        "the host's clock is 90 seconds ahead of Prometheus'",
        {CLOCK: "90+60x20"},
        "10m",
        EXPORTER,
        "The clock of web-1:9707 is off",
        "The clock of web-1:9707 is off by 1m 30s, by the clock of Prometheus or of InfluxDB: "
        "events have wrong times, and findings that combine events of several hosts are wrong.",
        early="4m",
    ),
    Case(
        "HeptadClockSkew",
        "it is two minutes behind InfluxDB's, and no host metrics are exposed",
        {OFFSET: "-120x20"},
        "10m",
        EXPORTER,
        "The clock of web-1:9707 is off",
        "The clock of web-1:9707 is off by 2m 0s, by the clock of Prometheus or of InfluxDB: "
        "events have wrong times, and findings that combine events of several hosts are wrong.",
    ),
    Case("HeptadClockSkew", "half a minute is borne", {CLOCK: "30+60x20", OFFSET: "2x20"}, "10m"),
]

KEEPING = [
    Case(
        "HeptadStoreFailing",
        "the disk is full",
        {exporter("heptad_store_failing"): "0x3 1x20"},
        "10m",
        EXPORTER,
        "The store of web-1:9707 cannot be written",
        "web-1:9707 has not been able to write its store for 5m: reading is paused, and logs "
        "that are rotated away in the meantime are lost.",
        early="8m",
    ),
    Case(
        "HeptadStoreFailing", "one failure", {exporter("heptad_store_failing"): "0x3 1 0x20"}, "10m"
    ),
    Case(
        "HeptadStoreFull",
        "nothing can be deleted",
        {exporter("heptad_store_full"): "0x3 1x20"},
        "10m",
        EXPORTER,
        "The store of web-1:9707 is full of undelivered events",
        "No event in the store of web-1:9707 has been delivered yet: reading is paused, and "
        "logs that are rotated away in the meantime are lost.",
        early="8m",
    ),
    Case("HeptadStoreFull", "room was made", {exporter("heptad_store_full"): "1x3 0x20"}, "10m"),
    Case(
        "HeptadStoreFilling",
        "85 % in use in an outage",
        {SIZE: "850x20", MOST: "1000x20", WAITING: "20000x20"},
        "15m",
        EXPORTER,
        "The store of web-1:9707 is filling",
        "85% of the store of web-1:9707 is in use while events wait for delivery. When it "
        "contains only such events, reading pauses.",
        early="9m",
    ),
    Case(
        "HeptadStoreFilling",
        "a store without InfluxDB is always full: the oldest are deleted",
        {SIZE: "990x20", MOST: "1000x20"},
        "15m",
    ),
    Case(
        "HeptadStoreFilling",
        "half in use in an outage",
        {SIZE: "500x20", MOST: "1000x20", WAITING: "20000x20"},
        "15m",
    ),
    Case(
        "HeptadStoreFilling",
        "one batch is under way",
        {SIZE: "990x20", MOST: "1000x20", WAITING: "5000x20"},
        "15m",
    ),
    Case(
        "HeptadStoreSetAside",
        "a corrupt store",
        {exporter("heptad_store_set_aside"): "1x20"},
        "10m",
        EXPORTER,
        "A corrupt store of web-1:9707 was replaced",
        "The store of web-1:9707 was corrupt. It was renamed, and a new one was created: "
        "earlier events are not on the page, and undelivered ones may be missing.",
    ),
    Case("HeptadStoreSetAside", "a sound one", {exporter("heptad_store_set_aside"): "0x20"}, "10m"),
    Case(
        "HeptadDeliveryFailing",
        "an outage",
        {exporter("heptad_delivery_up"): "1x3 0x20"},
        "15m",
        EXPORTER,
        "web-1:9707 does not deliver",
        "web-1:9707 has not been able to deliver to InfluxDB for 10m. Nothing is lost while its "
        "store has room; findings and reports come late.",
        early="13m",
    ),
    Case(
        "HeptadDeliveryFailing",
        "InfluxDB restarts",
        {exporter("heptad_delivery_up"): "1x3 0x5 1x20"},
        "15m",
    ),
    Case(
        "HeptadBreakerOpen",
        "it is open, and half-open when it is scraped now and then",
        {OPEN: "0x3 1 1 0 1 0 1 1 1 0 1 1 1"},
        "12m",
        EXPORTER | {"state": "open"},
        "web-1:9707 finds InfluxDB unreachable",
        "The circuit breaker of web-1:9707 has been open for 5m: InfluxDB does not answer, and "
        "is tried twice a minute.",
        early="8m",
    ),
    Case("HeptadBreakerOpen", "it closes again", {OPEN: "0x3 1 1 0x20"}, "12m"),
    Case(
        "HeptadFieldConflict",
        "a field has another type",
        {exporter("heptad_delivery_held_events", **CONFLICT): "_ 200"},
        "1m",
        EXPORTER | CONFLICT,
        "InfluxDB rejects events of web-1:9707 because of the type of a field",
        "InfluxDB rejects 200 points: the field count of events has the type float in the shard "
        "from 2026-11-30T00:00Z to 2026-12-01T00:00Z, but the points have the type integer. A "
        "point there says that it is from host web-2, which is not verified. The exporters hold "
        "the points and retry them.",
    ),
    Case(
        "HeptadFieldConflict",
        "they are taken",
        {exporter("heptad_delivery_held_events", **CONFLICT): "200 _x30"},
        "15m",
    ),
    Case(
        "HeptadEventsRejected",
        "seven are rejected for good",
        {exporter("heptad_delivery_events_total", result="rejected"): "0x10 7x20"},
        "15m",
        EXPORTER | {"result": "rejected"},
        "InfluxDB rejected events of web-1:9707",
        "7 events of web-1:9707 were rejected within the hour and will not be sent again.",
    ),
    Case(
        "HeptadEventsRejected",
        "all are delivered",
        {exporter("heptad_delivery_events_total", result="delivered"): "0+100x30"},
        "15m",
    ),
]
CASES = SOURCES + READING + KEEPING
