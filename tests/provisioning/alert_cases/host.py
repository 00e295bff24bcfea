"""Cases of the alerts on hosts."""

from tests.provisioning.alert_cases.case import EXPORTER, Case, exporter

DISK = {"device": "/dev/sda1", "mountpoint": "/var", "fstype": "ext4"}
WHERE = EXPORTER | DISK
SIZE = exporter("node_filesystem_size_bytes", **DISK)
FREE = exporter("node_filesystem_avail_bytes", **DISK)
FILES = exporter("node_filesystem_files", **DISK)
FILES_FREE = exporter("node_filesystem_files_free", **DISK)
READ_ONLY = exporter("node_filesystem_readonly", **DISK)
BROKEN = exporter("node_filesystem_device_error", **DISK)
TOTAL = exporter("node_memory_MemTotal_bytes")
AVAILABLE = exporter("node_memory_MemAvailable_bytes")
STALLED = exporter("node_pressure_memory_stalled_seconds_total")
KILLED = exporter("node_vmstat_oom_kill")
SYNCHRONISED = exporter("node_timex_sync_status")
ERROR = exporter("node_timex_maxerror_seconds")


def _disk(free: str, read_only: str = "0x600") -> dict[str, str]:
    return {SIZE: "1000x600", FREE: free, READ_ONLY: read_only}


CASES = [
    Case(
        "HostFilesystemLow",
        "8 % are free",
        _disk("80x30"),
        "20m",
        WHERE,
        "/var of web-1:9707 has little space left",
        "8% of /var of web-1:9707 is free.",
        early="14m",
    ),
    Case("HostFilesystemLow", "a log was rotated in time", _disk("80x10 500x30"), "20m"),
    Case("HostFilesystemLow", "a full image, read-only", _disk("0x30", "1x30"), "20m"),
    Case(
        "HostFilesystemFull",
        "2 % are free",
        _disk("20x30"),
        "10m",
        WHERE,
        "/var of web-1:9707 is full",
        "2% of /var of web-1:9707 is free.",
        early="4m",
    ),
    Case("HostFilesystemFull", "4 % are free", _disk("40x30"), "10m"),
    Case("HostFilesystemFull", "a full image, read-only", _disk("0x30", "1x30"), "10m"),
    Case(
        "HostFilesystemFillsUp",
        "half a per mille a minute, and 16 % are left",
        _disk("400-0.5x600"),
        "8h",
        WHERE,
        "/var of web-1:9707 fills up",
        "If this continues as in the last 6 hours, /var of web-1:9707 will be full within a day.",
        early="1h",
    ),
    Case("HostFilesystemFillsUp", "faster, and 59 % are left", _disk("980-0.8x600"), "8h"),
    Case("HostFilesystemFillsUp", "read-only by now", _disk("400-0.5x600", "1x600"), "8h"),
    Case("HostFilesystemFillsUp", "it does not grow", _disk("300x600"), "8h"),
    Case(
        "HostInodesLow",
        "3 % of the inodes are free",
        {FILES: "1000x30", FILES_FREE: "30x30", READ_ONLY: "0x30"},
        "20m",
        WHERE,
        "/var of web-1:9707 has few inodes left",
        "3% of the inodes of /var of web-1:9707 are free.",
        early="14m",
    ),
    Case(
        "HostInodesLow",
        "a filesystem that has no inodes (btrfs, vfat)",
        {FILES: "0x30", FILES_FREE: "0x30", READ_ONLY: "0x30"},
        "20m",
    ),
    Case(
        "HostInodesLow",
        "6 % are free",
        {FILES: "1000x30", FILES_FREE: "60x30", READ_ONLY: "0x30"},
        "20m",
    ),
    Case(
        "HostInodesLow",
        "a full image, read-only",
        {FILES: "1000x30", FILES_FREE: "0x30", READ_ONLY: "1x30"},
        "20m",
    ),
    Case(
        "HostFilesystemBecameReadOnly",
        "the kernel remounted it",
        _disk("500x30", "0x10 1x20"),
        "15m",
        WHERE,
        "/var of web-1:9707 became read-only",
        "/var of web-1:9707 was writable within the last 6 hours and is not now: the kernel "
        "does this when a disk fails.",
    ),
    Case("HostFilesystemBecameReadOnly", "it always was", _disk("500x30", "1x30"), "15m"),
    Case("HostFilesystemBecameReadOnly", "it can be written", _disk("500x30"), "15m"),
    Case(
        "HostFilesystemError",
        "it hangs",
        {BROKEN: "0x3 1x20"},
        "20m",
        WHERE,
        "/var of web-1:9707 does not respond",
        "/var of web-1:9707 has not returned its size for 15 minutes: it hangs, or access is "
        "denied.",
        early="18m",
    ),
    Case("HostFilesystemError", "it was slow once", {BROKEN: "0x3 1 0x20"}, "20m"),
    Case(
        "HostMemoryLow",
        "4 % are available",
        {TOTAL: "1000x30", AVAILABLE: "40x30"},
        "20m",
        EXPORTER,
        "web-1:9707 has little memory left",
        "4% of the memory of web-1:9707 has been available for 15 minutes.",
        early="14m",
    ),
    Case(
        "HostMemoryLow",
        "the exporter tells the name of its host",
        {TOTAL: "1000x30", AVAILABLE: "40x30", exporter("heptad_host_info", host="db-1"): "1x30"},
        "20m",
        EXPORTER,
        "db-1 has little memory left",
        "4% of the memory of db-1 has been available for 15 minutes.",
        host="db-1",
        early="14m",
    ),
    Case("HostMemoryLow", "a short peak", {TOTAL: "1000x30", AVAILABLE: "40x9 300x20"}, "20m"),
    Case(
        "HostMemoryStalled",
        "12 of 60 seconds",
        {STALLED: "0+12x30"},
        "20m",
        EXPORTER,
        "web-1:9707 is stalled because it lacks memory",
        "All tasks of web-1:9707 waited for memory 20% of the time, for 10 minutes.",
        early="12m",
    ),
    Case("HostMemoryStalled", "2 of 60 seconds", {STALLED: "0+2x30"}, "20m"),
    Case(
        "HostOutOfMemoryKill",
        "one process",
        {KILLED: "0x10 1x20"},
        "15m",
        EXPORTER,
        "web-1:9707 killed a process because it ran out of memory",
        "The kernel of web-1:9707 killed 1 processes within 15 minutes, because there was no "
        "memory left.",
    ),
    Case("HostOutOfMemoryKill", "one long ago", {KILLED: "1x30"}, "15m"),
    Case(
        "HostClockNotSynchronised",
        "no time service runs",
        {SYNCHRONISED: "0x60", ERROR: "16x60"},
        "40m",
        EXPORTER,
        "The clock of web-1:9707 is not synchronized",
        "The clock of web-1:9707 has not been synchronized for 15 minutes and will drift. "
        "HeptadClockSkew fires when it is wrong.",
        early="14m",
    ),
    Case(
        "HostClockNotSynchronised",
        "the time service has just started",
        {SYNCHRONISED: "0x10 1x60", ERROR: "16x10 0.1x60"},
        "40m",
    ),
    Case(
        "HostClockNotSynchronised",
        "the time service stopped a short while ago",
        {SYNCHRONISED: "0x60", ERROR: "0.5x60"},
        "40m",
    ),
    Case(
        "HostClockNotSynchronised",
        "it is synchronised, by a bad server",
        {SYNCHRONISED: "1x60", ERROR: "16x60"},
        "40m",
    ),
]
