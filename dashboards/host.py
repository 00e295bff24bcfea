"""The dashboard Host: resources of one host, from Heptad's exporter or node_exporter."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from dashboards.current import query, table_of_findings
from dashboards.frame import lay_out, nodes, source
from dashboards.hosts import REAL_DISK
from dashboards.marks import marks_of_host
from dashboards.panels import (
    BLUE,
    CPUS,
    GREEN,
    GREY,
    ORANGE,
    RED,
    ask,
    graph,
    joined,
    levels,
    number,
    once,
    rows,
    words,
)

_FULL: Final = ((None, GREEN), (0.8, ORANGE), (0.9, RED))
_REAL_LINK: Final = 'device!~"lo|veth.*|docker.*|br-.*|virbr.*|cni.*|flannel.*|cali.*"'
_REAL_DEVICE: Final = 'device!~"loop.*|ram.*|zram.*|dm-.*|sr.*"'
_DISK: Final = f"{{$me, {REAL_DISK}}}"
_AVAILABLE: Final = f"node_filesystem_avail_bytes{_DISK} / node_filesystem_size_bytes{_DISK}"
_MEMORY: Final = {
    "used": """node_memory_MemTotal_bytes{$me} - node_memory_MemFree_bytes{$me}
        - node_memory_Buffers_bytes{$me} - node_memory_Cached_bytes{$me}
        - node_memory_SReclaimable_bytes{$me}""",
    "buffers and cache": """node_memory_Buffers_bytes{$me} + node_memory_Cached_bytes{$me}
        + node_memory_SReclaimable_bytes{$me}""",
    "free": "node_memory_MemFree_bytes{$me}",
}


_BUSY: Final = 'rate(node_cpu_seconds_total{$me, mode!="idle"}[$__rate_interval])'


def _by_device(counter: str, which: str) -> str:
    rate = f"rate({counter}{{$me, {which}}}[$__rate_interval])"
    return f"sum by (device) ({once(rate, 'device')})"


def _busy() -> list[object]:
    return [
        number(
            "Scraped",
            """Whether Prometheus can scrape the host's exporter. If it is down, the values here are
            from the last successful scrape.""",
            ask(
                "min(up{$me} and on (instance) last_over_time(heptad_host_info{$me}[7d]))",
                instant=True,
            ),
            mapping=words({"1": ("up", GREEN), "0": ("DOWN", RED)}),
            steps=((None, RED), (1, GREEN)),
            none="Unknown",
        ),
        number(
            "Up since",
            """When the host booted. After an unplanned start, check what was logged before it,
            and who logged in afterwards.""",
            ask("max(node_boot_time_seconds{$me}) * 1000", instant=True),
            unit="dateTimeFromNow",
            decimals=None,
            none="No host",
        ),
        number(
            "CPU used",
            """Average of all CPUs. If it is near 100 % for a long time, see CPU by mode below, and
            find the process with top on the host.""",
            ask(
                """1 - avg(rate(node_cpu_seconds_total{$me, mode="idle"}[$__rate_interval]))""",
                instant=True,
            ),
            unit="percentunit",
            steps=_FULL,
        ),
    ]


def _full() -> list[object]:
    return [
        number(
            "Memory used",
            """Memory that is not available to programs without swapping. Above 90 % the kernel
            may soon kill a process: find the one that grows.""",
            ask(
                """max(1 - node_memory_MemAvailable_bytes{$me}
                / node_memory_MemTotal_bytes{$me})""",
                instant=True,
            ),
            unit="percentunit",
            steps=_FULL,
        ),
        number(
            "Fullest disk",
            """Usage of the fullest filesystem. Above 90 %, free space before logs and databases
            stop.""",
            ask(f"max(1 - {_AVAILABLE})", instant=True),
            unit="percentunit",
            steps=_FULL,
        ),
        number(
            "Users logged in",
            """Different users that have a session of their own now. If there are more than you
            expect, see who they are on the dashboard Investigate.""",
            ask("max(heptad_logged_in_users{$me})", instant=True),
            none="Only by Heptad",
        ),
    ]


def _cpu() -> list[object]:
    return [
        graph(
            "CPU by mode",
            """All CPUs together are 100 %. iowait: disks are too slow; steal: the hypervisor
            runs other guests; system: the kernel is busy, often with the network.""",
            ask(
                f"""sum by (mode) ({once(_BUSY, "cpu", "mode")}) / scalar(sum({CPUS}))""",
                "{{mode}}",
            ),
            unit="percentunit",
            stack=True,
            most=1,
            colors={"iowait": ORANGE, "steal": RED},
        ),
        graph(
            "Tasks that had to wait",
            """The share of time in which some task waited for a CPU, for I/O or for memory
            (pressure stall information). It shows whether a busy host is overloaded: users
            notice more than 10 % over a long time. Any memory pressure means that it swaps.""",
            [
                ask(f"max(rate({name}{{$me}}[$__rate_interval]))", legend, ref=ref)
                for ref, legend, name in (
                    ("A", "CPU", "node_pressure_cpu_waiting_seconds_total"),
                    ("B", "I/O", "node_pressure_io_waiting_seconds_total"),
                    ("C", "memory", "node_pressure_memory_waiting_seconds_total"),
                )
            ],
            unit="percentunit",
            none="Not available in this kernel (CONFIG_PSI)",
        ),
    ]


def _memory() -> list[object]:
    return [
        graph(
            "Memory",
            """Buffers and cache are freed when programs need memory; used memory that grows for
            days is a leak.""",
            [
                ask(f"sum({once(text)})", name, ref=ref)
                for ref, (name, text) in zip("ABC", _MEMORY.items(), strict=True)
            ],
            unit="bytes",
            stack=True,
            colors={"free": GREY, "buffers and cache": GREEN, "used": BLUE},
        ),
        graph(
            "Swapping, and processes ended for memory",
            """Pages swapped per second, and processes that the kernel killed. Steady swapping
            makes a host very slow: find the process that grew. The kernel's log shows which
            process was killed.""",
            [
                ask(
                    f"sum({once(f'rate(node_vmstat_{name}{{$me}}[$__rate_interval])')})",
                    legend,
                    ref=ref,
                )
                for ref, legend, name in (
                    ("A", "in", "pswpin"),
                    ("B", "out", "pswpout"),
                    ("C", "processes ended", "oom_kill"),
                )
            ],
            unit="cps",
            colors={"processes ended": RED},
        ),
    ]


def _filesystems() -> list[object]:
    return [
        rows(
            "Filesystems by usage",
            """Red: free space now. A filesystem without free inodes is full, even if it has free
            space: look for a directory with very many small files. If it is unexpectedly read-only,
            a disk is failing.""",
            [
                ask(f"max by (mountpoint) ({text})", ref=ref, rows=True)
                for ref, text in (
                    ("used", f"1 - {_AVAILABLE}"),
                    ("free", f"node_filesystem_avail_bytes{_DISK}"),
                    ("size", f"node_filesystem_size_bytes{_DISK}"),
                    (
                        "inodes",
                        f"1 - node_filesystem_files_free{_DISK} / node_filesystem_files{_DISK}",
                    ),
                    ("readonly", f"node_filesystem_readonly{_DISK}"),
                )
            ],
            {
                "Used": {
                    "unit": "percentunit",
                    "decimals": 0,
                    "min": 0,
                    "max": 1,
                    **levels(_FULL),
                    "custom.cellOptions": {"type": "gauge", "mode": "basic"},
                    "custom.displayMode": "basic",
                },
                "Free": {"unit": "bytes"},
                "Size": {"unit": "bytes"},
                "Inodes used": {"unit": "percentunit", "decimals": 0},
                "Read-only": {"unit": "bool_yes_no"},
            },
            none="No filesystem",
            worst=["Used"],
            shaping=joined(
                "mountpoint",
                {
                    "mountpoint": "Mounted on",
                    "Value #used": "Used",
                    "Value #free": "Free",
                    "Value #size": "Size",
                    "Value #inodes": "Inodes used",
                    "Value #readonly": "Read-only",
                },
            ),
            width=24,
            height=8,
        ),
    ]


def _disks() -> list[object]:
    return [
        graph(
            "Disk throughput",
            """Bytes per second, read and written. Compare with the throughput that the disk
            supports.""",
            [
                ask(
                    _by_device(f"node_disk_{name}_bytes_total", _REAL_DEVICE),
                    f"{{{{device}}}} {name}",
                    ref=ref,
                )
                for ref, name in (("A", "read"), ("B", "written"))
            ],
            unit="Bps",
            none="No disk of its own (a container)",
        ),
        graph(
            "Disks busy",
            """The share of time in which a disk was busy. At 100 %, requests to a spinning disk
            queue up; a solid-state disk may still have capacity.""",
            ask(
                f"""max by (device) (
                rate(node_disk_io_time_seconds_total{{$me, {_REAL_DEVICE}}}[$__rate_interval]))""",
                "{{device}}",
            ),
            unit="percentunit",
            most=1,
            none="No disk of its own (a container)",
        ),
    ]


def _network() -> list[object]:
    return [
        graph(
            "Network throughput",
            """Bytes per second, received and sent. If a host suddenly sends much more, check who
            logged in before.""",
            [
                ask(
                    _by_device(f"node_network_{name}_bytes_total", _REAL_LINK),
                    f"{{{{device}}}} {name}",
                    ref=ref,
                )
                for ref, name in (("A", "receive"), ("B", "transmit"))
            ],
            unit="Bps",
            none="No network",
        ),
        graph(
            "Packets with errors, and dropped",
            """Packets per second. Errors are caused by a cable, a port or its settings. Drops mean
            that the host is too slow, or a queue is too short.""",
            [
                ask(
                    _by_device(f"node_network_{name}_total", _REAL_LINK),
                    f"{{{{device}}}} {name.replace('_', ' ')}",
                    ref=ref,
                )
                for ref, name in (
                    ("A", "receive_errs"),
                    ("B", "transmit_errs"),
                    ("C", "receive_drop"),
                    ("D", "transmit_drop"),
                )
            ],
            unit="pps",
            none="No network",
        ),
    ]


def _users() -> list[object]:
    return [
        graph(
            "Users over time",
            """Different users with a session of their own. If there are any outside working
            hours, open them on the dashboard Investigate.""",
            ask("max by (instance) (heptad_logged_in_users{$me})", "users"),
            none="Only available from Heptad's exporter",
        ),
        graph(
            "Logins",
            """Logins by outcome. The dashboard Investigate (links above) shows who logged in, and
            from where.""",
            ask(
                """sum by (outcome) (
                increase(auth_events_total{$me, action="login"}[$__interval]))""",
                "{{outcome}}",
            ),
            bars=True,
            stack=True,
            colors={"success": GREEN, "failure": ORANGE},
            none="Only available from Heptad's exporter",
        ),
    ]


def build() -> dashboard.Dashboard:
    return lay_out(
        "heptad-host",
        "Host",
        "One host: CPU, memory, disks, network and users. Also works with node_exporter.",
        [source("prometheus"), source("events"), source("reports"), *nodes()],
        *_busy(),
        *_full(),
        table_of_findings(
            "Findings on this host",
            "All findings on this host, including low ones. A click on What shows the events.",
            query("high|medium|low", narrow=("node",)),
            height=6,
        ),
        "CPU",
        *_cpu(),
        "Memory",
        *_memory(),
        "Disks",
        *_filesystems(),
        *_disks(),
        "Network",
        *_network(),
        "Users",
        *_users(),
        since="now-3h",
        marks=marks_of_host(),
    )
