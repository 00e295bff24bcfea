"""Alerts on the host: they use node_exporter's names, so they also apply to its targets."""

from typing import Final

from provisioning.alerts.links import HOST as BOARD
from provisioning.alerts.rule import Alert, RuleGroup

_PAGE: Final = "host.md"

_WRITABLE: Final = "and on (job, instance, device, mountpoint) node_filesystem_readonly == 0"
_PLACE: Final = "{{ $labels.mountpoint }} of <host>"

HOST: Final = RuleGroup(
    "heptad-host",
    "Disk, memory and clock of the hosts. Omit this file if you already have rules for "
    "node_exporter's metrics: they also apply to Heptad's.",
    (
        Alert(
            "HostFilesystemLow",
            "warning",
            'node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs"} / node_filesystem_size_bytes '
            f"< <filesystem_low>\n{_WRITABLE}",
            f"{_PLACE} has little space left",
            f"{{{{ $value | humanizePercentage }}}} of {_PLACE} is free.",
            "Find what uses the space: `du -xh --max-depth=2 MOUNTPOINT | sort -h | tail`.",
            _PAGE,
            "15m",
            board=BOARD,
        ),
        Alert(
            "HostFilesystemFull",
            "critical",
            'node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs"} / node_filesystem_size_bytes '
            f"< <filesystem_full>\n{_WRITABLE}",
            f"{_PLACE} is full",
            f"{{{{ $value | humanizePercentage }}}} of {_PLACE} is free.",
            "Free space now: `journalctl --vacuum-size=500M`, package caches.",
            _PAGE,
            "5m",
            board=BOARD,
        ),
        Alert(
            "HostFilesystemFillsUp",
            "warning",
            'predict_linear(node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs"}[6h], '
            "<filesystem_ahead_seconds>) < 0\n"
            "and node_filesystem_avail_bytes / node_filesystem_size_bytes "
            f"< <filesystem_ahead_free>\n{_WRITABLE}",
            f"{_PLACE} fills up",
            f"If this continues as in the last 6 hours, {_PLACE} will be full within a day.",
            "Find the directory that grows: `du -xh --max-depth=2 MOUNTPOINT | sort -h | tail`.",
            _PAGE,
            "1h",
            board=BOARD,
        ),
        Alert(
            "HostInodesLow",
            "warning",
            f"node_filesystem_files_free / (node_filesystem_files > 0) < <inodes_low>\n{_WRITABLE}",
            f"{_PLACE} has few inodes left",
            f"{{{{ $value | humanizePercentage }}}} of the inodes of {_PLACE} are free.",
            "Find the directory with many files: `du --inodes -x --max-depth=3 MOUNTPOINT | "
            "sort -n | tail`.",
            _PAGE,
            "15m",
            board=BOARD,
        ),
        Alert(
            "HostFilesystemBecameReadOnly",
            "critical",
            "node_filesystem_readonly == 1\nand min_over_time(node_filesystem_readonly[6h]) == 0",
            f"{_PLACE} became read-only",
            f"{_PLACE} was writable within the last 6 hours and is not now: the kernel does "
            "this when a disk fails.",
            "Run `dmesg` on the host: it shows the error of the disk.",
            _PAGE,
            board=BOARD,
        ),
        Alert(
            "HostFilesystemError",
            "warning",
            "node_filesystem_device_error == 1",
            f"{_PLACE} does not respond",
            f"{_PLACE} has not returned its size for 15 minutes: it hangs, or access is denied.",
            "Run `stat -f MOUNTPOINT` on the host: a network mount that hangs does not respond.",
            _PAGE,
            "15m",
            board=BOARD,
        ),
        Alert(
            "HostMemoryLow",
            "warning",
            "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes < <memory_low>",
            "<host> has little memory left",
            "{{ $value | humanizePercentage }} of the memory of <host> has been available for "
            "15 minutes.",
            "Find the process that takes it: `ps aux --sort=-rss | head`.",
            _PAGE,
            "15m",
            board=BOARD,
        ),
        Alert(
            "HostMemoryStalled",
            "warning",
            "rate(node_pressure_memory_stalled_seconds_total[5m]) > <memory_stalled>",
            "<host> is stalled because it lacks memory",
            "All tasks of <host> waited for memory "
            "{{ $value | humanizePercentage }} of the time, for 10 minutes.",
            "Find the process that takes the memory: `ps aux --sort=-rss | head`.",
            _PAGE,
            "10m",
            board=BOARD,
        ),
        Alert(
            "HostOutOfMemoryKill",
            "warning",
            "increase(node_vmstat_oom_kill[15m]) > 0",
            "<host> killed a process because it ran out of memory",
            'The kernel of <host> killed {{ $value | printf "%.0f" }} processes '
            "within 15 minutes, because there was no memory left.",
            "Read which process it was: `dmesg | grep -i 'killed process'`.",
            _PAGE,
            board=BOARD,
        ),
        Alert(
            "HostClockNotSynchronised",
            "info",
            "min_over_time(node_timex_sync_status[15m]) == 0 and node_timex_maxerror_seconds >= 16",
            "The clock of <host> is not synchronized",
            "The clock of <host> has not been synchronized for 15 minutes and will drift. "
            "HeptadClockSkew fires when it is wrong.",
            "Run `timedatectl` on the host.",
            _PAGE,
            "15m",
            board=BOARD,
        ),
    ),
)
