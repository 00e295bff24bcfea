"""The real node_exporter is asked for the same host at the same moment."""

import contextlib
import math
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from heptad.exporter.collectors import FAMILIES, UNSUPPORTED, HostCollector, HostRoots
from tests.support import needs
from tests.support.host_tree import build

PROGRAM = "prometheus-node-exporter"

# Debian has it off, since it asks D-Bus; test_collectors tells what we make of logind's files.
NOT_BY_DEFAULT = {"node_logind_sessions"}

# node_exporter's collectors for the subjects that are read from files, for a host of files. Its
# timex and time are left out: their values are of this host and of this moment.
FILE_COLLECTORS = (
    *("cpu", "diskstats", "filefd", "filesystem", "loadavg", "meminfo", "netclass", "netdev"),
    *("pressure", "stat", "uname", "vmstat"),
)

# Labels that later versions of node_exporter added to a family.
LATER_LABELS = {
    "node_disk_info": {"rotational"},
    "node_network_info": {"adminstate"},
}

Labels = frozenset[tuple[str, str]]


class Scraped(NamedTuple):
    """A family's type and its values by labels; an empty label is no label to Prometheus."""

    type: str
    values: dict[Labels, float]


Scrape = dict[str, Scraped]


def parse(text: str) -> Scrape:
    """The families of a scrape that tell of the host, by the name of their samples."""
    families: Scrape = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            later = LATER_LABELS.get(sample.name, set())
            labels = frozenset((k, v) for k, v in sample.labels.items() if v and k not in later)
            scraped = families.setdefault(sample.name, Scraped(family.type, {}))
            scraped.values[labels] = sample.value
    return {name: family for name, family in families.items() if name.startswith("node_")}


def ours(host: HostRoots) -> Callable[[], Scrape]:
    """Scrapes Heptad's host metrics."""
    registry = CollectorRegistry()
    registry.register(HostCollector(host))
    return lambda: parse(generate_latest(registry).decode())


@contextlib.contextmanager
def oracle(*arguments: str) -> Iterator[Callable[[], Scrape]]:
    """Runs node_exporter on a free port and scrapes it."""
    needs.program(PROGRAM)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    command = [shutil.which(PROGRAM) or PROGRAM, f"--web.listen-address={address}", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def scrape() -> Scrape:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as answer:
            return parse(answer.read().decode())

    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                scrape()
                break
            except OSError:
                assert process.poll() is None, f"{PROGRAM} ended"
                assert time.monotonic() < deadline, f"{PROGRAM} does not answer"
                time.sleep(0.05)
        yield scrape
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def sandwich() -> tuple[Scrape, Scrape, Scrape]:
    """The oracle's scrape, ours, and the oracle's again, while no device or mount comes or goes."""
    with oracle() as theirs:
        mine = ours(HostRoots())
        for _ in range(20):
            scrapes = (theirs(), mine(), theirs())
            if shape(scrapes[0]) == shape(scrapes[2]):
                return scrapes
    pytest.fail("the devices and mounts of this machine never stand still")


def shape(scrape: Scrape) -> set[tuple[str, Labels]]:
    """All series that we claim to expose too."""
    return {(n, labels) for n, family in scrape.items() if claimed(n) for labels in family.values}


def claimed(name: str) -> bool:
    """Whether FAMILIES describes a family of that name."""
    return any(re.fullmatch(re.sub("<[^>]*>", r"\\w+", family.name), name) for family in FAMILIES)


def test_every_default_family_is_exposed_or_listed_as_left_out(
    sandwich: tuple[Scrape, Scrape, Scrape],
) -> None:
    """No family of node_exporter's default collectors is missing without a stated reason."""
    before, _, _ = sandwich
    left_out = tuple(UNSUPPORTED)
    unlisted = [name for name in before if not claimed(name) and not name.startswith(left_out)]
    assert unlisted == []
    assert all(UNSUPPORTED.values())


def test_nothing_is_both_exposed_and_listed_as_left_out() -> None:
    """The list of what is left out does not name a family that is exposed."""
    names = [family.name for family in FAMILIES]
    assert [name for name in names if name.startswith(tuple(UNSUPPORTED))] == []


def test_the_same_families_of_the_same_types(sandwich: tuple[Scrape, Scrape, Scrape]) -> None:
    """We expose what node_exporter exposes of our subjects, no more and no less, as it types it."""
    before, mine, _ = sandwich
    theirs = {name: family.type for name, family in before.items() if claimed(name)}
    exposed = {n: family.type for n, family in mine.items() if n not in NOT_BY_DEFAULT}
    assert exposed == theirs


def test_the_same_labels(sandwich: tuple[Scrape, Scrape, Scrape]) -> None:
    """Each family has the same series, label by label."""
    before, mine, _ = sandwich
    exposed = {name: family for name, family in mine.items() if name not in NOT_BY_DEFAULT}
    assert shape(exposed) == shape(before)


def test_counters_lie_between_the_oracle_s(sandwich: tuple[Scrape, Scrape, Scrape]) -> None:
    """A counter is no less than node_exporter's before and no more than node_exporter's after."""
    before, mine, after = sandwich
    wrong = []
    for name, family in mine.items():
        if name in NOT_BY_DEFAULT or family.type == "gauge":
            continue
        # The kernel lets idle and iowait step back a little, proc_stat(5).
        slack = 1.0 if name == "node_cpu_seconds_total" else 1e-6
        for labels, value in family.values.items():
            low, high = before[name].values[labels], after[name].values[labels]
            if not low - slack <= value <= high + slack:
                wrong.append((name, sorted(labels), low, value, high))
    assert wrong == []


# The gauges that move, and by how much they may be off; all others are equal.
MOVING: dict[str, Callable[[Scrape], float]] = {
    r"node_load\d+": lambda _: 0.5,
    r"node_procs_\w+": lambda _: 100,
    r"node_disk_io_now": lambda _: 1000,
    r"node_filefd_allocated": lambda s: 0.2 * only(s, "node_filefd_maximum"),
    r"node_memory_\w+": lambda s: 0.05 * only(s, "node_memory_MemTotal_bytes"),
    r"node_filesystem_(free|avail)_bytes": lambda s: 0.02 * most(s, "node_filesystem_size_bytes"),
    r"node_filesystem_files_free": lambda s: 0.02 * most(s, "node_filesystem_files"),
    r"node_timex_(maxerror|estimated_error|offset)_seconds": lambda _: 0.1,
    r"node_timex_frequency_adjustment_ratio": lambda _: 0.001,
    r"node_time_seconds": lambda _: 0.0,
}
CONSTANT = re.compile(r"node_memory_(MemTotal|SwapTotal|Hugepagesize|VmallocTotal)_bytes")


def only(scrape: Scrape, name: str) -> float:
    """The value of a family that has one."""
    (value,) = scrape[name].values.values()
    return value


def most(scrape: Scrape, name: str) -> float:
    """The largest value of a family."""
    return max(scrape[name].values.values())


def slack(name: str, scrape: Scrape) -> float:
    """How far a gauge may lie outside of the oracle's two values."""
    if CONSTANT.fullmatch(name):
        return 0.0
    return next((far(scrape) for p, far in MOVING.items() if re.fullmatch(p, name)), 0.0)


def test_gauges_equal_the_oracle_s(sandwich: tuple[Scrape, Scrape, Scrape]) -> None:
    """A constant gauge is the same, a moving one as near as it may have moved."""
    before, mine, after = sandwich
    wrong = []
    for name, family in mine.items():
        if name in NOT_BY_DEFAULT or family.type != "gauge":
            continue
        off = slack(name, before)
        for labels, value in family.values.items():
            low, high = sorted((before[name].values[labels], after[name].values[labels]))
            near = math.isclose(low, value, rel_tol=1e-12) or math.isclose(high, value)
            if not near and not low - off <= value <= high + off:
                wrong.append((name, sorted(labels), low, value, high))
    assert wrong == []


def test_promtool_dislikes_nothing_that_it_does_not_dislike_in_node_exporter() -> None:
    """promtool's complaints are about node_exporter's own names, never about ours."""
    needs.program("promtool")
    registry = CollectorRegistry()
    registry.register(HostCollector())
    mine = complaints(generate_latest(registry))
    with oracle() as scrape:
        theirs = set(scrape())
    camel = {name for name in theirs if name != name.lower()}
    assert {line.partition(" ")[0] for line in mine} <= camel


def complaints(text: bytes) -> set[str]:
    """What `promtool check metrics` says of a scrape."""
    command = ["promtool", "check", "metrics"]
    checked = subprocess.run(command, input=text, capture_output=True, check=False)
    return set((checked.stdout + checked.stderr).decode().splitlines())


def test_the_same_of_a_host_of_files(tmp_path: Path) -> None:
    """Throttles, udev, escaped mount points, odd devices: node_exporter reads the same files so."""
    host = build(tmp_path)
    arguments = [
        "--collector.disable-defaults",
        *(f"--collector.{name}" for name in FILE_COLLECTORS),
        "--no-collector.netdev.netlink",
        f"--path.procfs={host.proc}",
        f"--path.sysfs={host.sys}",
        f"--path.rootfs={host.root}",
        f"--path.udev.data={host.root}/run/udev/data",
    ]
    with oracle(*arguments) as scrape:
        theirs = {name: family for name, family in scrape().items() if claimed(name)}
    mine = ours(host)()
    # node_exporter has no such counter in /proc/net/dev; netlink, its default, brings it.
    others = NOT_BY_DEFAULT | {"node_network_receive_nohandler_total"}
    mine = {
        name: family
        for name, family in mine.items()
        if name not in others and not name.startswith(("node_time_", "node_timex_"))
    }
    assert set(mine) == set(theirs)
    for name, family in mine.items():
        assert family.type == theirs[name].type, name
        assert family.values.keys() == theirs[name].values.keys(), name
        moves = name.startswith("node_filesystem_") and name.endswith(
            ("free", "free_bytes", "avail_bytes")
        )
        for labels, value in family.values.items():
            expected = theirs[name].values[labels]
            assert value == pytest.approx(expected, rel=0.05 if moves else 1e-9), (name, labels)
