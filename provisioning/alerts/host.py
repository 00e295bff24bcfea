"""Alerts on the host: node_exporter's names, so they hold for its targets, too."""

from typing import Final

from provisioning.alerts.rule import Alert, Group

_PAGE: Final = "host.md"

_WRITABLE: Final = "and on (job, instance, device, mountpoint) node_filesystem_readonly == 0"
_PLACE: Final = "{{ $labels.mountpoint }} of {{ $labels.instance }}"

HOST: Final = Group(
    "heptad-host",
    "Disk, memory and clock of the hosts. Leave this file out where you have rules for "
    "node_exporter's metrics already: they hold for Heptad's.",
    (
        Alert(
            "HostFilesystemLow",
            "warning",
            'node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs"} / node_filesystem_size_bytes '
            f"< <filesystem_low>\n{_WRITABLE}",
            f"{_PLACE} has little space left",
            f"{{{{ $value | humanizePercentage }}}} of {_PLACE} are free.",
            _PAGE,
            "15m",
        ),
        Alert(
            "HostFilesystemFull",
            "critical",
            'node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs"} / node_filesystem_size_bytes '
            f"< <filesystem_full>\n{_WRITABLE}",
            f"{_PLACE} is full",
            f"{{{{ $value | humanizePercentage }}}} of {_PLACE} are free.",
            _PAGE,
            "5m",
        ),
        Alert(
            "HostFilesystemFillsUp",
            "warning",
            'predict_linear(node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs"}[6h], '
            "<filesystem_ahead_seconds>) < 0\n"
            "and node_filesystem_avail_bytes / node_filesystem_size_bytes "
            f"< <filesystem_ahead_free>\n{_WRITABLE}",
            f"{_PLACE} fills up",
            f"If it goes on as in the last 6 hours, {_PLACE} will be full within a day.",
            _PAGE,
            "1h",
        ),
        Alert(
            "HostInodesLow",
            "warning",
            f"node_filesystem_files_free / (node_filesystem_files > 0) < <inodes_low>\n{_WRITABLE}",
            f"{_PLACE} has few inodes left",
            f"{{{{ $value | humanizePercentage }}}} of the inodes of {_PLACE} are free.",
            _PAGE,
            "15m",
        ),
        Alert(
            "HostFilesystemBecameReadOnly",
            "critical",
            "node_filesystem_readonly == 1\nand min_over_time(node_filesystem_readonly[6h]) == 0",
            f"{_PLACE} became read-only",
            f"{_PLACE} could be written within the last 6 hours and cannot now: the kernel does "
            "that when a disk fails.",
            _PAGE,
        ),
        Alert(
            "HostFilesystemError",
            "warning",
            "node_filesystem_device_error == 1",
            f"{_PLACE} does not answer",
            f"{_PLACE} has not told its size for 15 minutes: it hangs, or may not be looked at.",
            _PAGE,
            "15m",
        ),
        Alert(
            "HostMemoryLow",
            "warning",
            "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes < <memory_low>",
            "{{ $labels.instance }} has little memory left",
            "{{ $value | humanizePercentage }} of the memory of {{ $labels.instance }} have been "
            "available for 15 minutes.",
            _PAGE,
            "15m",
        ),
        Alert(
            "HostMemoryStalled",
            "warning",
            "rate(node_pressure_memory_stalled_seconds_total[5m]) > <memory_stalled>",
            "{{ $labels.instance }} stands still for want of memory",
            "All tasks of {{ $labels.instance }} waited for memory "
            "{{ $value | humanizePercentage }} of the time, for 10 minutes.",
            _PAGE,
            "10m",
        ),
        Alert(
            "HostOutOfMemoryKill",
            "warning",
            "increase(node_vmstat_oom_kill[15m]) > 0",
            "{{ $labels.instance }} killed a process for want of memory",
            'The kernel of {{ $labels.instance }} killed {{ $value | printf "%.0f" }} processes '
            "within 15 minutes, because there was no memory left.",
            _PAGE,
        ),
        Alert(
            "HostClockNotSynchronised",
            "info",
            "min_over_time(node_timex_sync_status[15m]) == 0 and node_timex_maxerror_seconds >= 16",
            "The clock of {{ $labels.instance }} is not synchronised",
            "Nothing has kept the clock of {{ $labels.instance }} right for 15 minutes; it will "
            "go wrong in time. HeptadClockSkew tells when it has.",
            _PAGE,
            "15m",
        ),
    ),
)
