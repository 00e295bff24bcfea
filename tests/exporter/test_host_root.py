"""An exporter in a container: the host's root is mounted at another place, and it is reported."""

import os
import re
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

import pytest

from heptad.cli.runtime.reload import check_exporter_config
from heptad.core import units
from heptad.core.config.schema import FileSourceConfig, load_config
from heptad.core.config.strict_yaml import DocumentError
from heptad.core.host import host_name, machine_id
from heptad.exporter.app import Exporter, NoSources, choose_sources, find_journal, find_sources
from tests.support import host_tree
from tests.support.journal import Journal
from tests.support.ports import reserve_port
from tests.system.test_real_prometheus import wait_for

OWN, FORMER = "0b" * 16, "0a" * 16
FAILED = "Failed password for root from 192.0.2.7 port 4022 ssh2"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host of files with a name and a machine id."""
    folder = tmp_path / "host"
    host_tree.build(folder)
    (folder / "etc").mkdir()
    (folder / "etc/hostname").write_text("# set by the installer\n\n  web-7\n")
    (folder / "etc/machine-id").write_text(f"{OWN}\n")
    return folder


def add_journal(root: Path, machine: str) -> None:
    """A failed login in the system's journal, now."""
    folder = root / "var/log/journal" / machine
    folder.mkdir(parents=True, exist_ok=True)
    Journal(folder, time.time()).write(FAILED, file="system", _HOSTNAME="web-7")


def test_the_host_is_reported_and_not_the_container(root: Path, tmp_path: Path) -> None:
    """With `host_root` alone name, metrics and journal are those of the host."""
    add_journal(root, OWN)
    port = reserve_port()
    config = tmp_path / "heptad.yaml"
    config.write_text(
        f"store: {{path: {tmp_path}/events.db}}\n"
        f"exporter: {{listen: '127.0.0.1:{port}', host_root: {root}}}\n"
    )
    heptad = [sys.executable, "-m", "heptad"]
    exporter = subprocess.Popen(
        [*heptad, "exporter", "--config", str(config)], stderr=subprocess.DEVNULL
    )

    def scrape() -> str:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    try:
        wait_for(lambda: bool(scrape()), "the port does not answer")
        # what was there before the first start is history, and not counted
        add_journal(root, OWN)
        counted = re.compile(r'^auth_events_total{.*outcome="failure".* [12].0$', re.MULTILINE)
        wait_for(lambda: bool(counted.search(scrape())), "the journal was not read")
        metrics = scrape()
    finally:
        exporter.terminate()
        exporter.wait(30)
    assert 'nodename="web-7"' in metrics
    assert "node_memory_MemTotal_bytes 1.6384e+10" in metrics
    assert 'node_disk_flush_requests_total{device="sda"} 17.0' in metrics
    assert 'mountpoint="/data dir"' in metrics
    assert "heptad_logged_in_users 2.0" in metrics
    assert str(root) not in metrics
    shown = subprocess.run(
        [*heptad, "events", "--config", str(config), "--format", "jsonl"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "web-7" in shown.stdout


def test_the_journal_is_that_of_the_machine(root: Path) -> None:
    """Of several journals in the host's folder the one with its own machine id is read."""
    add_journal(root, FORMER)
    assert find_journal(root) == root / "var/log/journal" / FORMER
    add_journal(root, OWN)
    assert find_journal(root) == root / "var/log/journal" / OWN


def test_the_log_is_that_of_the_host(root: Path) -> None:
    """Where the host has no journal its auth log is read."""
    log = root / "var/log/auth.log"
    log.parent.mkdir(parents=True)
    log.touch()
    [source] = choose_sources(root)
    assert isinstance(source, FileSourceConfig)
    assert source.paths == [str(log)]


def test_nothing_to_read_is_told_where_it_was_looked_for(tmp_path: Path) -> None:
    """The message names the places below the root, which are those that are not mounted."""
    config = tmp_path / "heptad.yaml"
    config.write_text(f"exporter: {{host_root: {tmp_path}}}\n")
    with pytest.raises(NoSources, match=f"{tmp_path}/var/log/auth.log"):
        find_sources(load_config(config))


def test_checked_sources_are_kept(tmp_path: Path) -> None:
    """What was found when a configuration was checked is read, also if it is away at that moment."""
    log = tmp_path / "root/var/log/auth.log"
    log.parent.mkdir(parents=True)
    log.touch()
    file = tmp_path / "heptad.yaml"
    file.write_text(
        f"exporter: {{host_root: {tmp_path}/root, listen: 127.0.0.1:0}}\n"
        f"store: {{path: {tmp_path}/events.db}}\n"
    )
    plan = check_exporter_config(file)
    log.unlink()
    exporter = Exporter(plan.config, rulebook=plan.rulebook, sources=plan.sources, serve=False)
    try:
        assert [source.name for source in exporter.sources] == ["auth"]
    finally:
        exporter.close()


def test_what_names_a_host(root: Path, tmp_path: Path) -> None:
    """Name and machine id stand below the root; the running system's name is the last resort."""
    assert (host_name(root), machine_id(root)) == ("web-7", OWN)
    assert (host_name(tmp_path), machine_id(tmp_path)) == (socket.gethostname(), None)
    assert host_name(Path("/")) == socket.gethostname()
    (root / "etc/hostname").write_bytes(os.urandom(5000) + b"\xff")
    (root / "etc/machine-id").write_bytes(b"\xff")
    assert (host_name(root), machine_id(root)) == (socket.gethostname(), None)


def test_a_root_is_a_whole_path(tmp_path: Path) -> None:
    """A relative root is refused: it would depend on where Heptad was started."""
    config = tmp_path / "heptad.yaml"
    config.write_text("exporter: {host_root: host}\n")
    with pytest.raises(DocumentError, match="absolute"):
        load_config(config)


def test_the_zone_may_be_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """TZ=:/host/etc/localtime gives stamps without a zone that of the host, tzset(3)."""
    (tmp_path / "localtime").symlink_to("/usr/share/zoneinfo/Asia/Kolkata")
    monkeypatch.setenv("TZ", f":{tmp_path}/localtime")
    moment = datetime(2026, 1, 1, tzinfo=units.local_zone())
    assert moment.utcoffset() == timedelta(hours=5.5)
    monkeypatch.setenv("TZ", f":{tmp_path}/none")
    assert units.local_zone() is UTC
