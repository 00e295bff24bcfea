"""A small host of files, with /proc, /sys and / in one directory, and its scrape."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from heptad.exporter.collectors import HostCollector, HostRoots

STAT = """\
cpu  3184 0 2172 160928 287 0 30 14 9 0
cpu0 658 0 824 81772 8 0 4 5 9 0
cpu1 2525 0 1348 79155 279 0 25 9 0 0
intr 138193 0 5 0 7
ctxt 512676
btime 1795424297
processes 11265
procs_running 3
procs_blocked 1
softirq 99 1 2 3 4 5 6 7 8 9 10
"""

MEMINFO = """\
MemTotal:       16000000 kB
MemFree:         8000000 kB
Cached:           700000 kB
Active(anon):        100 kB
SReclaimable:       5000 kB
Hugepagesize:       2048 kB
HugePages_Total:       3
"""

DISKSTATS = """\
   1       0 ram0 0 0 0 0 0 0 0 0 0 0 0
   7       0 loop0 1 2 3 4 5 6 7 8 9 10 11
   8       0 sda 1 2 30 4 5 6 120 8 9 10 11 12 13 14 15 17 18
   8       1 sda1 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17
 259       0 nvme0n1 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35
 259       1 nvme0n1p1 1 2 3 4 5 6 7 8 9 10 11
 254       0 dm-0 41 42 43 44 45 46 47 48 49 50 51
"""

NET_DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:   62875      62    0    0    0     0          0         0    62875      62    0    0    0     0       0          0
  eth0: 67679520    1711    3    4    5     6          7         8   114310    1045    9   10   11    12      13         14
"""

MOUNTS = """\
proc /proc proc rw,relatime 0 0
/dev/sda1 / ext4 rw,relatime 0 0
tmpfs /run tmpfs rw 0 0
/dev/sdb1 /data\\040dir xfs ro,nosuid 0 0
/dev/sdc1 /mnt/usb vfat rw 0 0
/dev/sdd1 /gone ext4 rw 0 0
"""

SDA_UDEV = """\
S:disk/by-id/ata-Disk
E:ID_PATH=pci-1
E:ID_WWN=0x50014ee2
E:ID_MODEL=Disk_1
E:ID_REVISION=80.0
E:ID_SERIAL_SHORT=S3RIAL
E:ID_ATA=1
E:ID_ATA_WRITE_CACHE=1
E:ID_ATA_WRITE_CACHE_ENABLED=0
E:ID_ATA_ROTATION_RATE_RPM=5400
"""

MAPPER_UDEV = """\
E:DM_NAME=vg-root
E:DM_UUID=LVM-1
E:DM_VG_NAME=vg
E:DM_LV_NAME=root
E:DM_LV_LAYER=
E:ID_FS_TYPE=ext4
E:ID_FS_USAGE=filesystem
E:ID_FS_UUID=0a1b
E:ID_FS_VERSION=1.0
"""

PSI = "some avg10=0.00 avg60=0.00 avg300=0.00 total={}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total={}\n"

_ETH0 = {
    "addr_assign_type": "0",
    "addr_len": "6",
    "address": "02:fc:00:00:00:01",
    "broadcast": "ff:ff:ff:ff:ff:ff",
    "carrier": "1",
    "carrier_changes": "2",
    "carrier_down_count": "1",
    "carrier_up_count": "1",
    "dev_id": "0x20",
    "dormant": "0",
    "duplex": "full",
    "flags": "0x1003",
    "ifalias": "uplink",
    "ifindex": "4",
    "iflink": "4",
    "link_mode": "0",
    "mtu": "1400",
    "name_assign_type": "1",
    "netdev_group": "0",
    "operstate": "up",
    "speed": "1000",
    "statistics/rx_nohandler": "21",
    "tx_queue_len": "1000",
    "type": "1",
}

_CPU = "sys/devices/system/cpu"
_CLOCK = "sys/devices/system/clocksource/clocksource0"
_SESSION = "UID={}\nUSER={}\nSTATE={}\nREMOTE={}\nTYPE={}\nCLASS={}\n"

FILES: dict[str, str] = {
    "proc/1/mounts": MOUNTS,
    "proc/diskstats": DISKSTATS,
    "proc/loadavg": "0.82 0.42 0.16 3/250 12345\n",
    "proc/meminfo": MEMINFO,
    "proc/net/dev": NET_DEV,
    "proc/pressure/cpu": PSI.format(2_000_000, 0),
    "proc/pressure/io": PSI.format(3_000_000, 1_500_000),
    "proc/pressure/memory": PSI.format(11, 9),
    "proc/stat": STAT,
    "proc/sys/fs/file-nr": "510\t0\t2466177\n",
    "proc/sys/kernel/domainname": "(none)\n",
    "proc/vmstat": "nr_free_pages 9\npgpgin 1\npgpgout 2\npswpin 3\npswpout 4\npgfault 5\noom_kill 6\n",
    **{f"sys/class/net/eth0/{name}": f"{value}\n" for name, value in _ETH0.items()},
    "sys/class/net/bonding_masters": "bond0\n",
    f"{_CLOCK}/available_clocksource": "tsc acpi_pm \n",
    f"{_CLOCK}/current_clocksource": "tsc\n",
    f"{_CPU}/cpu0/topology/physical_package_id": "0\n",
    f"{_CPU}/cpu0/topology/core_id": "0\n",
    f"{_CPU}/cpu0/thermal_throttle/core_throttle_count": "5\n",
    f"{_CPU}/cpu0/thermal_throttle/package_throttle_count": "30\n",
    f"{_CPU}/cpu1/topology/physical_package_id": "0\n",
    f"{_CPU}/cpu1/topology/core_id": "1\n",
    f"{_CPU}/cpu1/thermal_throttle/core_throttle_count": "7\n",
    f"{_CPU}/cpu1/thermal_throttle/package_throttle_count": "30\n",
    "run/udev/data/b8:0": SDA_UDEV,
    "run/udev/data/b254:0": MAPPER_UDEV,
    "run/systemd/seats/seat0": "IS_SEAT0=1\n",
    "run/systemd/sessions/1": _SESSION.format(1000, "ann", "active", 1, "tty", "user"),
    "run/systemd/sessions/2": _SESSION.format(1000, "ann", "active", 0, "x11", "user")
    + "SEAT=seat0\n",
    "run/systemd/sessions/3": _SESSION.format(1001, "bob", "online", 1, "tty", "user"),
    "run/systemd/sessions/4": _SESSION.format(0, "root", "online", 0, "unspecified", "background"),
    "run/systemd/sessions/5": _SESSION.format(1002, "eve", "closing", 0, "tty", "user"),
}


def build(folder: Path) -> HostRoots:
    """Write the host to a directory."""
    for path, content in FILES.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
    (folder / "data dir").mkdir()
    return HostRoots(proc=folder / "proc", sys=folder / "sys", root=folder)


@pytest.fixture
def host(tmp_path: Path) -> HostRoots:
    """Build the host in a directory of the test's own."""
    return build(tmp_path)


@pytest.fixture
def collector(host: HostRoots) -> Iterator[HostCollector]:
    """Return all collectors on that host."""
    made = HostCollector(host)
    yield made
    made.close()


Sample = tuple[str, frozenset[tuple[str, str]]]


def scrape(collector: HostCollector) -> dict[Sample, float]:
    """Return what Prometheus would read, by name and labels."""
    registry = CollectorRegistry()
    registry.register(collector)
    text = generate_latest(registry).decode()
    samples: dict[Sample, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples, f"{key} twice"
            samples[key] = sample.value
    return samples


def value(samples: dict[Sample, float], name: str, **labels: str) -> float:
    """Return the value of the only sample with that name and at least these labels."""
    found = [v for (n, t), v in samples.items() if n == name and labels.items() <= dict(t).items()]
    assert len(found) == 1, (name, labels, found)
    return found[0]


def has(samples: dict[Sample, float], name: str) -> bool:
    """Return whether any sample has that name."""
    return any(n == name for n, _ in samples)
