import logging
import os
import threading
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client.metrics_core import Metric

from heptad.exporter.collectors import COLLECTORS, CollectorSpec, Family, HostCollector, HostRoots
from tests.support.effort import tries
from tests.support.host_tree import FILES, build, collector, has, host, scrape, value
from tests.support.waiting import until

__all__ = ["collector", "host"]  # fixtures

CLOCK_SOURCES = "sys/devices/system/clocksource/clocksource0/available_clocksource"


# --- What goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path, subject, gone, stays",
    [
        ("proc/meminfo", "memory", "node_memory_MemTotal_bytes", "node_load1"),
        ("proc/stat", "stat", "node_cpu_seconds_total", "node_load1"),
        ("proc/loadavg", "load", "node_load1", "node_intr_total"),
        ("proc/diskstats", "disk", "node_disk_io_now", "node_load1"),
        ("proc/net/dev", "network", "node_network_receive_bytes_total", "node_load1"),
        ("proc/sys/fs/file-nr", "filefd", "node_filefd_allocated", "node_load1"),
        ("proc/vmstat", "vmstat", "node_vmstat_oom_kill", "node_load1"),
    ],
)
def test_a_missing_file_costs_its_subject_only(
    host: HostRoots, collector: HostCollector, path: str, subject: str, gone: str, stays: str
) -> None:
    """A file that is missing fails its own collector and no other."""
    (host.root / path).unlink()
    samples = scrape(collector)
    assert not has(samples, gone)
    assert has(samples, stays)
    failed = [
        dict(t)["collector"] for (n, t), v in samples.items() if n.endswith("success") and not v
    ]
    assert failed == [subject]


def test_what_only_some_kernels_have_may_be_missing(
    host: HostRoots, collector: HostCollector
) -> None:
    """No pressure, no throttling, no udev, no clock sources: nothing has failed."""
    for path in ("proc/pressure", "sys/devices", "run/udev"):
        (host.root / path).rename(host.root / path.replace("/", "-"))
    samples = scrape(collector)
    assert {v for (n, _), v in samples.items() if n == "heptad_collector_success"} == {1.0}
    assert value(samples, "node_disk_info", device="sda", serial="") == 1


def test_the_mounts_of_this_process_serve_where_process_1_is_hidden(
    host: HostRoots, collector: HostCollector
) -> None:
    """Without /proc/1/mounts the exporter's own mounts are shown."""
    (host.proc / "1/mounts").rename(host.proc / "mounts")
    assert value(scrape(collector), "node_filesystem_device_error", mountpoint="/data dir") == 0


def test_a_mount_listed_twice_is_shown_once(host: HostRoots, collector: HostCollector) -> None:
    """Two mounts with the same labels do not become two samples, which Prometheus would refuse."""
    path = host.proc / "1/mounts"
    path.write_text(path.read_text() * 2)
    assert value(scrape(collector), "node_filesystem_device_error", mountpoint="/") == 0


def test_names_that_are_not_utf_8_can_be_scraped(host: HostRoots, collector: HostCollector) -> None:
    """A mount point of arbitrary bytes is asked by its bytes and shown with replacements."""
    (host.root / os.fsdecode(b"\xff\xfe")).mkdir()
    with (host.proc / "1/mounts").open("ab") as mounts:
        mounts.write(b"/dev/sdz /\xff\xfe ext4 rw 0 0\n")
    labels = {"mountpoint": "/\ufffd\ufffd"}
    assert value(scrape(collector), "node_filesystem_device_error", **labels) == 0


@pytest.fixture(scope="module")
def wreck(tmp_path_factory: pytest.TempPathFactory) -> HostRoots:
    """A host whose files each example overwrites."""
    return build(tmp_path_factory.mktemp("wreck"))


TWO_INTERFACES = b"".join(name + b": " + b"1 " * 16 + b"\n" for name in (b"\xff", b"\xfe"))


@settings(max_examples=tries(150))
@example(path=CLOCK_SOURCES, content=b"\x00\t\x00", keep=False)
@example(path="proc/net/dev", content=TWO_INTERFACES, keep=True)
@example(path="proc/meminfo", content=b"Active_anon: 1 kB\nActive(anon): 2 kB\n", keep=True)
@given(
    path=st.sampled_from(sorted(FILES)),
    content=st.one_of(
        st.binary(max_size=200),
        st.text(alphabet="0123456789 .:-\\\n\tcpuMemkBxroextsda/()", max_size=300).map(str.encode),
    ),
    keep=st.booleans(),
)
def test_no_content_breaks_a_scrape(
    wreck: HostRoots, path: str, content: bytes, keep: bool
) -> None:
    """Whatever stands in one file, the scrape is readable and the other subjects are whole."""
    target = wreck.root / path
    original = target.read_bytes()
    collector = HostCollector(wreck)
    try:
        target.write_bytes(original + content if keep else content)
        samples = scrape(collector)
    finally:
        target.write_bytes(original)
        collector.close()
    failed = [t for (n, t), v in samples.items() if n == "heptad_collector_success" and not v]
    assert len(failed) <= 1


@pytest.mark.parametrize(
    "path, name",
    [
        (CLOCK_SOURCES, "node_time_clocksource_available_info"),
        ("proc/diskstats", "node_disk_io_now"),
        ("proc/meminfo", "node_memory_MemTotal_bytes"),
        ("proc/net/dev", "node_network_receive_bytes_total"),
        ("proc/pressure/io", "node_pressure_io_waiting_seconds_total"),
        ("proc/stat", "node_intr_total"),
        ("proc/vmstat", "node_vmstat_oom_kill"),
    ],
)
def test_lines_twice_in_a_file_are_one_sample(
    host: HostRoots, collector: HostCollector, path: str, name: str
) -> None:
    """A file that repeats its lines does not make the scrape invalid for Prometheus."""
    head, lines = split_head(path, (host.root / path).read_text())
    (host.root / path).write_text(head + lines * 2)
    assert has(scrape(collector), name)


def split_head(path: str, text: str) -> tuple[str, str]:
    """Return the two header lines of /proc/net/dev, and the other lines of a file."""
    lines = text.splitlines(keepends=True)
    head = 2 if path == "proc/net/dev" else 0
    return "".join(lines[:head]), "".join(lines[head:])


# --- Failing and hanging --------------------------------------------------------------------------


class Switch:
    """A collector that works, fails or hangs, and counts how often it was started."""

    def __init__(self, name: str = "test_value") -> None:
        self.family = Family(name, "gauge", "For tests.")
        self.error: Exception | None = None
        self.open = threading.Event()
        self.open.set()
        self.started = 0

    def collect(self, _host: HostRoots) -> Iterator[Metric]:
        """One gauge."""
        self.started += 1
        assert self.open.wait(30)
        yield self.family.single(1.0)
        if self.error:
            raise self.error


@pytest.fixture
def switch() -> Iterator[Switch]:
    """Released at the end, so that no thread stays behind."""
    made = Switch()
    yield made
    made.open.set()


@pytest.fixture
def switched(switch: Switch, host: HostRoots) -> Iterator[HostCollector]:
    """That one between two that work."""
    load = next(subject for subject in COLLECTORS if subject.name == "load")
    filefd = next(subject for subject in COLLECTORS if subject.name == "filefd")
    made = HostCollector(host, (load, CollectorSpec("switch", (), switch.collect), filefd), 0.5)
    yield made
    made.close()


def test_a_failure_costs_only_its_own_metrics_and_is_told_once(
    switch: Switch, switched: HostCollector, caplog: pytest.LogCaptureFixture
) -> None:
    """A collector that fails half-way gives nothing; one line when it begins, one when it ends."""
    caplog.set_level(logging.INFO, "heptad.collectors")
    switch.error = RuntimeError("no such luck")
    for _ in range(3):
        samples = scrape(switched)
        assert not has(samples, "test_value")
        assert has(samples, "node_load1")
        assert has(samples, "node_filefd_maximum")
        assert value(samples, "heptad_collector_success", collector="switch") == 0
    switch.error = None
    for _ in range(3):
        assert value(scrape(switched), "test_value") == 1
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert [level for level, _ in told] == ["WARNING", "INFO"]
    assert "switch" in told[0][1]
    assert "no such luck" in told[0][1]


def test_a_hang_costs_only_its_own_metrics_and_is_not_started_again(
    switch: Switch, switched: HostCollector, caplog: pytest.LogCaptureFixture
) -> None:
    """A collector that hangs is left alone until it has returned, and then works again."""
    caplog.set_level(logging.INFO, "heptad.collectors")
    switch.open.clear()
    for _ in range(3):
        samples = scrape(switched)
        assert not has(samples, "test_value")
        assert has(samples, "node_load1")
        assert has(samples, "node_filefd_maximum")
        assert value(samples, "heptad_collector_success", collector="switch") == 0
        assert value(samples, "heptad_collector_duration_seconds", collector="switch") >= 0.5
    assert switch.started == 1
    switch.open.set()
    until(lambda: has(scrape(switched), "test_value"))
    assert switch.started == 2
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_several_may_hang_at_once(host: HostRoots) -> None:
    """Two that hang cost their time-out once, and each its own thread, not one a scrape."""
    load = next(subject for subject in COLLECTORS if subject.name == "load")
    hanging = (Switch("one"), Switch("two"))
    a, b = (CollectorSpec(name, (), s.collect) for name, s in zip("ab", hanging, strict=True))
    made = HostCollector(host, (a, load, b), 0.5)
    try:
        for switch in hanging:
            switch.open.clear()
        assert has(scrape(made), "node_load1")
        before = threading.active_count()
        for _ in range(3):
            assert has(scrape(made), "node_load1")
        assert threading.active_count() <= before + 1
        assert [switch.started for switch in hanging] == [1, 1]
    finally:
        for switch in hanging:
            switch.open.set()
    until(lambda: works(made, "a", "b"))
    made.close()


def works(collector: HostCollector, *names: str) -> bool:
    """Whether these collectors succeed in a scrape."""
    samples = scrape(collector)
    return all(value(samples, "heptad_collector_success", collector=name) for name in names)


def test_a_scrape_that_works_starts_no_thread(collector: HostCollector) -> None:
    """The one thread of the first scrape serves all later ones."""
    scrape(collector)
    before = threading.enumerate()
    for _ in range(5):
        scrape(collector)
    assert threading.enumerate() == before


def test_scrapes_at_the_same_time_are_all_whole(collector: HostCollector) -> None:
    """Several scrapers at once each get every family."""
    expected = {name for name, _ in scrape(collector)}
    results: list[set[str]] = []

    def work() -> None:
        results.extend({name for name, _ in scrape(collector)} for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 20
    assert all(result == expected for result in results)


def test_a_dead_remote_mount_leaves_the_other_mounts(
    host: HostRoots, collector: HostCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mount whose server is gone is an error of that mount, asked once, and recovers."""
    answers, asked = threading.Event(), []
    real = os.statvfs

    def statvfs(path: str) -> os.statvfs_result:
        if path.endswith("/nfs"):
            asked.append(path)
            assert answers.wait(30)
        return real(path)

    monkeypatch.setattr(os, "statvfs", statvfs)
    (host.root / "nfs").mkdir()
    with (host.proc / "1/mounts").open("a") as mounts:
        mounts.write("server:/export /nfs nfs4 rw 0 0\n")
    try:
        for _ in range(2):
            samples = scrape(collector)
            assert value(samples, "node_filesystem_device_error", mountpoint="/nfs") == 1
            assert value(samples, "node_filesystem_device_error", mountpoint="/") == 0
            assert value(samples, "heptad_collector_success", collector="filesystem") == 1
        assert len(asked) == 1
    finally:
        answers.set()

    def recovered() -> bool:
        return value(scrape(collector), "node_filesystem_device_error", mountpoint="/nfs") == 0

    until(recovered)
