"""Disks: /proc/diskstats (the kernel's Documentation/admin-guide/iostats.rst) and udev."""

import re
from collections.abc import Iterator, Sequence

from prometheus_client.metrics_core import Metric

from heptad.exporter.collectors.procfs import Family, HostRoots, read

# node_exporter's default for --collector.diskstats.device-exclude
EXCLUDED = re.compile(r"(?:ram|loop|fd|(?:h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+", re.ASCII)

_SECTOR = 512  # bytes; the unit of diskstats, whatever the device's block size is
_MS = 1e-3

DiskColumn = tuple[Sequence[str], float]


def _counter(name: str, text: str) -> Family:
    return Family(f"node_disk_{name}_total", "counter", text, ("device",))


# The columns after the device's name, in order: family, factor to its unit. Kernels before 4.18
# have only the first eleven, before 5.5 fifteen.
_COLUMNS: tuple[tuple[Family, float], ...] = (
    (_counter("reads_completed", "Reads completed."), 1),
    (_counter("reads_merged", "Reads merged into others."), 1),
    (_counter("read_bytes", "Bytes read."), _SECTOR),
    (_counter("read_time_seconds", "Time spent by all reads."), _MS),
    (_counter("writes_completed", "Writes completed."), 1),
    (_counter("writes_merged", "Writes merged into others."), 1),
    (_counter("written_bytes", "Bytes written."), _SECTOR),
    (_counter("write_time_seconds", "Time spent by all writes."), _MS),
    (Family("node_disk_io_now", "gauge", "I/Os in progress.", ("device",)), 1),
    (_counter("io_time_seconds", "Time in which the device was busy."), _MS),
    (_counter("io_time_weighted_seconds", "Time waited by all I/Os together."), _MS),
    (_counter("discards_completed", "Discards completed."), 1),
    (_counter("discards_merged", "Discards merged into others."), 1),
    (_counter("discarded_sectors", "Sectors discarded, of 512 bytes."), 1),
    (_counter("discard_time_seconds", "Time spent by all discards."), _MS),
    (_counter("flush_requests", "Flushes completed."), 1),
    (_counter("flush_requests_time_seconds", "Time spent by all flushes."), _MS),
)
_LEAST = 11

_INFO = Family(
    "node_disk_info",
    "gauge",
    "Always 1; the kernel's and udev's information about the device.",
    ("device", "major", "minor", "path", "wwn", "model", "serial", "revision"),
)
_FILESYSTEM = Family(
    "node_disk_filesystem_info",
    "gauge",
    "Always 1; the filesystem that udev found on the device.",
    ("device", "type", "usage", "uuid", "version"),
)
_MAPPER = Family(
    "node_disk_device_mapper_info",
    "gauge",
    "Always 1; the device-mapper device behind this name.",
    ("device", "name", "uuid", "vg_name", "lv_name", "lv_layer"),
)
# udev property → family
_ATA = {
    "ID_ATA_WRITE_CACHE": Family(
        "node_disk_ata_write_cache", "gauge", "1 if the disk has a write cache.", ("device",)
    ),
    "ID_ATA_WRITE_CACHE_ENABLED": Family(
        "node_disk_ata_write_cache_enabled",
        "gauge",
        "1 if the write cache is enabled.",
        ("device",),
    ),
    "ID_ATA_ROTATION_RATE_RPM": Family(
        "node_disk_ata_rotation_rate_rpm",
        "gauge",
        "Rotations per minute, 0 for a disk without moving parts.",
        ("device",),
    ),
}
FAMILIES: tuple[Family, ...] = (
    *(family for family, _ in _COLUMNS),
    _INFO,
    _FILESYSTEM,
    _MAPPER,
    *_ATA.values(),
)


def collect(host: HostRoots) -> Iterator[Metric]:
    """Raises OSError, or ValueError for a malformed file."""
    columns: list[list[DiskColumn]] = [[] for _ in _COLUMNS]
    properties: list[tuple[str, str, str, dict[str, str]]] = []
    for line in read(f"{host.proc}/diskstats").splitlines():
        major, minor, device, *numbers = line.split()
        # In Linux 2.4 and early 2.6, partitions had four numbers with another meaning.
        if EXCLUDED.fullmatch(device) or len(numbers) < _LEAST:
            continue
        for rows, (_, factor), number in zip(columns, _COLUMNS, numbers, strict=False):
            rows.append(((device,), int(number) * factor))
        properties.append((device, major, minor, _udev(host, major, minor)))
    for rows, (family, _) in zip(columns, _COLUMNS, strict=True):
        yield family.metric(rows)
    yield from _infos(properties)


def _udev(host: HostRoots, major: str, minor: str) -> dict[str, str]:
    """Return the properties that udev stored for a block device; see udevadm(8) `info`."""
    try:
        text = read(f"{host.root}/run/udev/data/b{major}:{minor}")
    except OSError:
        return {}
    pairs = (line[2:].partition("=") for line in text.split("\n") if line.startswith("E:"))
    return {key: value for key, _, value in pairs}


def _infos(disks: list[tuple[str, str, str, dict[str, str]]]) -> Iterator[Metric]:
    yield _INFO.metric(
        (
            (
                device,
                major,
                minor,
                *_values(udev, "ID_PATH", "ID_WWN", "ID_MODEL"),
                _serial(udev),
                udev.get("ID_REVISION", ""),
            ),
            1.0,
        )
        for device, major, minor, udev in disks
    )
    yield _FILESYSTEM.metric(
        ((device, *_values(udev, "ID_FS_TYPE", "ID_FS_USAGE", "ID_FS_UUID", "ID_FS_VERSION")), 1.0)
        for device, _, _, udev in disks
        if udev.get("ID_FS_TYPE")
    )
    mapper = ("DM_NAME", "DM_UUID", "DM_VG_NAME", "DM_LV_NAME", "DM_LV_LAYER")
    yield _MAPPER.metric(
        ((device, *_values(udev, *mapper)), 1.0)
        for device, _, _, udev in disks
        if udev.get("DM_NAME")
    )
    for key, family in _ATA.items():
        yield family.metric(
            ((device,), float(udev[key]))
            for device, _, _, udev in disks
            if udev.get("ID_ATA") and key in udev
        )


def _values(udev: dict[str, str], *keys: str) -> list[str]:
    return [udev.get(key, "") for key in keys]


def _serial(udev: dict[str, str]) -> str:
    """Return the serial number printed on the disk, else the one that udev built from the bus."""
    names = ("SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL")
    return next((udev[name] for name in names if udev.get(name)), "")
