"""A real systemd starts the units of provisioning/systemd, in namespaces of its own."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import needs

ROOT = Path(__file__).resolve().parents[2]
TARGET = """
[Unit]
Requires=basic.target systemd-journald.service
Wants=heptad-exporter.service heptad-aggregator.service report.service
"""
REPORT = """
[Unit]
After=heptad-exporter.service heptad-aggregator.service
[Service]
Type=oneshot
ExecStart=/bin/sh /out/report.sh
"""
# runs beside the units; `get` prints what a port answers
SCRIPT = """
get() {
    /opt/python/bin/python3 -c 'import sys, urllib.request as u
print(u.urlopen(sys.argv[1], timeout=9).read().decode())' "$1"
}
for unit in exporter aggregator; do
    pid=$(systemctl show --property MainPID --value heptad-$unit)
    systemctl is-active heptad-$unit >/out/$unit.active
    cat /proc/$pid/status >/out/$unit.status
    nsenter --target $pid --mount touch /etc/written 2>/out/$unit.touch
done
get http://127.0.0.1:9707/healthz >/out/exporter.health
get http://127.0.0.1:9708/healthz >/out/aggregator.health
get http://127.0.0.1:9707/metrics >/out/metrics
pid=$(systemctl show --property MainPID --value heptad-exporter)
nsenter --target $pid --mount cat /run/credentials/heptad-exporter.service/influxdb.token >/out/token
systemctl reload heptad-exporter
/opt/python/bin/python3 -c 'import subprocess, time
status = ["systemctl", "show", "--property", "StatusText", "heptad-exporter"]
until = time.monotonic() + 20
while b"again" not in subprocess.check_output(status) and time.monotonic() < until:
    time.sleep(0.1)'
systemctl show --property StatusText --value heptad-exporter >/out/reloaded
systemctl stop heptad-exporter
systemctl show --property Result --value heptad-exporter >/out/stopped
journalctl --no-pager -u heptad-exporter >/out/log
systemctl exit 0
"""


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A control group of its own, for systemd takes over the one that it is started in."""
    group = needs.cgroup_folder() / f"heptad-{os.getpid()}"
    group.mkdir()
    yield group
    until = time.monotonic() + 20
    for folder in [*sorted(group.rglob("*/"), reverse=True), group]:
        while folder.is_dir() and time.monotonic() < until:
            try:
                folder.rmdir()
            except OSError:
                time.sleep(0.05)  # the kernel takes its dead away in its own time


def boot(folder: Path, cgroup: Path, script: str, exporter: str = "") -> Callable[[str], str]:
    """Boot, run a script beside the units, and give what it told by the name of the file.

    ``exporter`` is added to the exporter's unit.
    """
    needs.mount_namespace()
    needs.program("systemd", "systemd-journald", "ip", "nsenter", "unshare")
    shutil.copytree(ROOT / "provisioning/systemd", folder / "units")
    (folder / "units/watched.target").write_text(TARGET)
    (folder / "units/report.service").write_text(REPORT)
    (folder / "report.sh").write_text(script)
    with (folder / "units/heptad-exporter.service").open("a") as unit:
        unit.write(exporter)
    boot = ["sh", str(ROOT / "tests/support/real/boot.sh"), str(ROOT), sys.base_prefix]
    namespaces = ["--mount", "--pid", "--cgroup", "--uts", "--ipc", "--net"]
    unshare = ["unshare", *namespaces, "--propagation=private", "--fork", "--kill-child"]
    join = ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(cgroup)]
    ended = subprocess.run(
        [*join, *unshare, *boot, sysconfig.get_path("purelib"), str(folder)],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )

    def told(name: str) -> str:
        file = folder / name
        assert file.exists(), ended.stdout[-3000:]
        return file.read_text().strip()

    return told


def test_systemd_runs_both_units(tmp_path: Path, cgroup: Path) -> None:
    """Both start, are ready and well, measure the host, and may do nothing that they need not.

    The exporter reads the journal, has its token, takes up a reload and ends cleanly.
    """
    told = boot(tmp_path, cgroup, SCRIPT)
    assert told("stopped") == "success"
    for unit in ("exporter", "aggregator"):
        assert told(f"{unit}.active") == "active"
        assert told(f"{unit}.health") == "healthy"
        assert "Read-only file system" in told(f"{unit}.touch")
        status = dict(re.findall(r"^(\w+):\s+(.*?)\s*$", told(f"{unit}.status"), re.MULTILINE))
        assert not {status[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} - {
            "0" * 16
        }
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert int(status["Uid"].split()[0]) >= 61_184  # systemd.exec(5), DynamicUser=
    metrics = told("metrics")
    assert set(re.findall(r"^heptad_collector_success.* (.*)$", metrics, re.MULTILINE)) == {"1.0"}
    assert re.search(r'^heptad_source_up{source="journal"} 1.0$', metrics, re.MULTILINE)
    assert told("token") == "a-token"
    assert "reloaded configuration" in told("reloaded")


OVERLAID = "01234567-89ab-4cde-8f01-23456789abcd"
FOLLOWED = """
get() {
    /opt/python/bin/python3 -c 'import sys, urllib.request as u
print(u.urlopen(sys.argv[1], timeout=9).read().decode())' "$1"
}
pid=$(systemctl show --property MainPID --value heptad-exporter)
cat /proc/sys/kernel/random/boot_id >/out/outside
nsenter --target $pid --mount cat /proc/sys/kernel/random/boot_id >/out/inside
sleep 5  # the journal has been read to its end, and is followed
for number in 1 2 3; do
    su -s /bin/sh -c "sleep 0.2" nobody
    /opt/python/bin/python3 -c 'import sys, time, urllib.request as u
until = time.monotonic() + 7
wanted = int(sys.argv[1])
while time.monotonic() < until:
    page = u.urlopen("http://127.0.0.1:9707/metrics", timeout=9).read().decode()
    opened = [line for line in page.splitlines()
              if line.startswith("auth_events_total") and "session_open" in line
              and chr(34) + "su" + chr(34) in line]
    if sum(float(line.split()[-1]) for line in opened) >= wanted:
        print("followed")
        break
    time.sleep(0.1)' $number >>/out/followed
done
get http://127.0.0.1:9707/metrics >/out/metrics
get http://127.0.0.1:9707/healthz >/out/health
systemctl exit 0
"""


def test_a_boot_id_of_its_own(tmp_path: Path, cgroup: Path) -> None:
    """A unit whose sandbox has another boot id than the machine still hears the journal at once."""
    (tmp_path / "boot_id").write_text(f"{OVERLAID}\n")
    overlay = "BindReadOnlyPaths=/out/boot_id:/proc/sys/kernel/random/boot_id"
    told = boot(tmp_path, cgroup, FOLLOWED, f"\n[Service]\n{overlay}\n")
    assert told("inside") == OVERLAID
    assert told("outside") != OVERLAID
    assert told("followed").split() == ["followed"] * 3
    assert 'heptad_source_deaf{reason="stalled",source="journal"} 0.0' in told("metrics")
    assert told("health") == "healthy"
