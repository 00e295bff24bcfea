import os
import time
from collections.abc import Iterator
from types import SimpleNamespace

import psutil
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from heptad.exporter.collectors import FAMILIES, CollectorSpec, HostCollector, HostRoots
from heptad.exporter.collectors import users as users_module
from tests.support.host_tree import collector, has, host, scrape, value

__all__ = ["collector", "host"]  # fixtures


# --- What is read ---------------------------------------------------------------------------------


def test_a_whole_host_is_read(collector: HostCollector) -> None:
    """Each subject succeeds on a host of files and gives what stands in them."""
    samples = scrape(collector)
    assert {v for (n, _), v in samples.items() if n == "heptad_collector_success"} == {1.0}
    assert value(samples, "node_cpu_seconds_total", cpu="1", mode="iowait") == 2.79
    assert value(samples, "node_cpu_guest_seconds_total", cpu="0", mode="user") == 0.09
    assert value(samples, "node_memory_MemTotal_bytes") == 16000000 * 1024
    assert value(samples, "node_memory_Active_anon_bytes") == 100 * 1024
    assert value(samples, "node_memory_HugePages_Total") == 3
    assert value(samples, "node_disk_written_bytes_total", device="sda") == 120 * 512
    assert value(samples, "node_disk_flush_requests_total", device="sda") == 17
    assert value(samples, "node_disk_info", device="sda", serial="S3RIAL", path="pci-1") == 1
    assert value(samples, "node_network_receive_drop_total", device="eth0") == 4
    assert value(samples, "node_network_receive_nohandler_total", device="eth0") == 21
    assert value(samples, "node_network_speed_bytes", device="eth0") == 125_000_000
    assert value(samples, "node_network_flags", device="eth0") == 0x1003
    assert value(samples, "node_boot_time_seconds") == 1795424297
    assert value(samples, "node_vmstat_oom_kill") == 6
    assert value(samples, "node_pressure_memory_stalled_seconds_total") == 0.000009
    assert value(samples, "node_cpu_core_throttles_total", package="0", core="1") == 7


def test_disks_and_interfaces_that_node_exporter_excludes_are_excluded(
    collector: HostCollector,
) -> None:
    """Partitions, loop and ram disks give no counters, nor does the loopback interface."""
    samples = scrape(collector)
    devices = {dict(t)["device"] for n, t in samples if n.startswith("node_disk_")}
    assert devices == {"sda", "nvme0n1", "dm-0"}
    traffic = {dict(t)["device"] for n, t in samples if n == "node_network_receive_bytes_total"}
    assert traffic == {"eth0"}


def test_a_mount_point_with_a_space_is_decoded(collector: HostCollector) -> None:
    """A mount point that /proc writes with octal escapes is asked and shown by its real name."""
    samples = scrape(collector)
    assert value(samples, "node_filesystem_device_error", mountpoint="/data dir") == 0
    assert value(samples, "node_filesystem_size_bytes", mountpoint="/data dir") > 0
    assert value(samples, "node_filesystem_readonly", mountpoint="/data dir") == 1
    assert value(samples, "node_filesystem_readonly", mountpoint="/") == 0


def test_a_mount_point_that_cannot_be_asked_is_an_error_of_its_own(
    collector: HostCollector,
) -> None:
    """A mount point that is gone says so, has no sizes, and leaves the others alone."""
    samples = scrape(collector)
    assert value(samples, "node_filesystem_device_error", mountpoint="/gone") == 1
    sized = {dict(t)["mountpoint"] for n, t in samples if n == "node_filesystem_size_bytes"}
    assert sized == {"/", "/data dir"}


def test_a_cpu_counter_never_steps_back(host: HostRoots, collector: HostCollector) -> None:
    """iowait that the kernel lets step back a little keeps its highest value."""
    before = value(scrape(collector), "node_cpu_seconds_total", cpu="1", mode="iowait")
    path = host.proc / "stat"
    path.write_text(path.read_text().replace(" 279 0 25", " 270 0 26"))
    samples = scrape(collector)
    assert value(samples, "node_cpu_seconds_total", cpu="1", mode="iowait") == before
    assert value(samples, "node_cpu_seconds_total", cpu="1", mode="softirq") == 0.26


def test_a_cpu_that_came_back_counts_anew(host: HostRoots, collector: HostCollector) -> None:
    """Counters of a CPU that was unplugged meanwhile begin anew."""
    scrape(collector)
    path = host.proc / "stat"
    path.write_text(path.read_text().replace("cpu1 2525 0 1348 79155", "cpu1 3 0 2 100"))
    assert value(scrape(collector), "node_cpu_seconds_total", cpu="1", mode="user") == 0.03


def test_every_sample_belongs_to_a_documented_family(collector: HostCollector) -> None:
    """Nothing is exposed whose name, type and labels FAMILIES does not describe."""
    fixed = {family.name: family for family in FAMILIES}
    patterns = [f.name.partition("<")[0] for f in FAMILIES if "<" in f.name]
    for family in collector.collect():
        for sample in family.samples:
            known = fixed.get(sample.name)
            if known is None:
                assert any(sample.name.startswith(start) for start in patterns), sample.name
            else:
                assert family.type.replace("unknown", "untyped") == known.type
                assert set(sample.labels) == set(known.labels)


def test_family_names_are_unique() -> None:
    """Two collectors never expose one name, which Prometheus would refuse."""
    names = [family.name for family in FAMILIES]
    assert len(names) == len(set(names))


def test_the_zone_is_the_host_s(collector: HostCollector, monkeypatch: pytest.MonkeyPatch) -> None:
    """The offset of the time zone is positive in the east, under the zone's name."""
    monkeypatch.setenv("TZ", "XST-5:30")
    time.tzset()
    try:
        samples = scrape(collector)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert value(samples, "node_time_zone_offset_seconds", time_zone="XST") == 19800


def test_registering_reads_nothing() -> None:
    """Registering the collector opens no file of the host and starts no collector."""

    def explode(_host: HostRoots) -> Iterator[Metric]:
        raise AssertionError("read")

    registry = CollectorRegistry()
    registry.register(HostCollector(collectors=(CollectorSpec("a", (), explode),)))


# --- Logged-in users ------------------------------------------------------------------------------


def test_sessions_are_counted_by_seat_remote_type_and_class(collector: HostCollector) -> None:
    """Sessions count as node_exporter's logind collector counts them, those without at zero."""
    samples = scrape(collector)
    labels = {"remote": "true", "type": "tty", "class": "user", "seat": ""}
    assert value(samples, "node_logind_sessions", **labels) == 2
    labels = {"remote": "false", "type": "x11", "class": "user", "seat": "seat0"}
    assert value(samples, "node_logind_sessions", **labels) == 1
    assert value(samples, "node_logind_sessions", **labels | {"class": "greeter"}) == 0
    assert value(samples, "node_logind_sessions", **labels | {"type": "wayland"}) == 0


def test_a_user_counts_once_and_only_with_a_live_session_of_their_own(
    collector: HostCollector,
) -> None:
    """Two sessions of a user are one user; cron's and closing sessions are none."""
    assert value(scrape(collector), "heptad_logged_in_users") == 2


def test_values_that_a_user_chose_are_no_labels(host: HostRoots, collector: HostCollector) -> None:
    """A session type or class that nobody knows is `other`."""
    text = "UID=7\nTYPE=evil\nCLASS=worse\nREMOTE=1\nSTATE=active\nDESKTOP=x\x1cTYPE=tty\u2028CLASS=user\n"
    (host.root / "run/systemd/sessions/77").write_text(text)
    samples = scrape(collector)
    labels = {"remote": "true", "type": "other", "class": "other", "seat": ""}
    assert value(samples, "node_logind_sessions", **labels) == 1
    assert not any(v in {"evil", "worse"} for _, t in samples for _, v in t)


def test_a_fifo_among_the_sessions_does_not_hang(host: HostRoots, collector: HostCollector) -> None:
    """The FIFO that logind keeps beside each session is not opened."""
    os.mkfifo(host.root / "run/systemd/sessions/9.ref")
    assert value(scrape(collector), "heptad_collector_success", collector="users") == 1


def test_sessions_beyond_the_bound_are_not_read(
    host: HostRoots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with more sessions than any host has is read up to the bound."""
    monkeypatch.setattr(users_module, "MOST_SESSIONS", 5)
    for number in range(100, 120):
        text = f"UID={number}\nCLASS=user\nTYPE=tty\nSTATE=active\n"
        (host.root / f"run/systemd/sessions/{number}").write_text(text)
    families = list(users_module.collect(host))
    assert sum(s.value for f in families for s in f.samples if s.name.startswith("node_")) == 5


def test_without_logind_there_are_no_sessions(host: HostRoots, collector: HostCollector) -> None:
    """Where logind keeps no sessions, the family is missing and nothing has failed."""
    (host.root / "run/systemd").rename(host.root / "run/elsewhere")
    samples = scrape(collector)
    assert not has(samples, "node_logind_sessions")
    assert value(samples, "heptad_collector_success", collector="users") == 1


def test_without_logind_the_users_of_utmp_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where logind does not run, different users in utmp are counted."""
    entries = [SimpleNamespace(name=name) for name in ("ann", "ann", "bob")]
    monkeypatch.setattr(psutil, "users", lambda: entries)
    monkeypatch.setattr(users_module, "LOGIND", "no/such/folder")
    made = HostCollector()
    samples = scrape(made)
    made.close()
    assert value(samples, "heptad_logged_in_users") == 2
