"""The exporter's container without Docker: mounted and confined as docker-compose.yml says."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import yaml

from tests.provisioning.test_compose import ROOT, SERVICES
from tests.support import needs
from tests.support.journal import Journal

EXPORTER = SERVICES["exporter"]
MACHINE = "0b" * 16
FAILED = "Failed password for root from 192.0.2.7 port 4022 ssh2"
TRY_TO_WRITE = """
for place in /host/etc /host/var/log /host/run /etc/heptad; do
    if touch $place/written 2>/dev/null; then echo "$place can be written to"; fi
done
exec "$0" "$@"
"""


def add_host(folder: Path) -> None:
    """A host with a name, a machine id, and a journal that another user alone may read."""
    etc, journal = folder / "etc", folder / "var/log/journal" / MACHINE
    etc.mkdir(parents=True)
    journal.mkdir(parents=True)
    (etc / "hostname").write_text("web-7\n")
    (etc / "machine-id").write_text(f"{MACHINE}\n")
    Journal(journal, time.time()).write(FAILED, file="system", _HOSTNAME="web-7")
    for path in (folder / "var/log").rglob("*"):
        path.chmod(0o600 if path.is_file() else 0o700)
        os.chown(path, 10002, 10002)


def test_the_exporter_reads_the_host_and_writes_nothing_there(tmp_path: Path) -> None:
    """With its mounts, user and capability it stores an event of the host's journal."""
    needs.mount_namespace()
    needs.program("journalctl", "setpriv", "unshare")
    add_host(tmp_path / "host")
    for name in ("config", "state"):
        (tmp_path / name).mkdir()
    config = yaml.safe_load((ROOT / "provisioning/heptad/heptad.yaml").read_text())
    del config["influxdb"]
    (tmp_path / "config/heptad.yaml").write_text(yaml.safe_dump(config))
    heptad = [sys.executable, "-m", "heptad"]
    environment = {
        **EXPORTER["environment"],
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": ":".join([str(ROOT), *sys.path]),
    }
    ran = subprocess.run(
        [
            *("unshare", "--mount", "--uts", "--propagation=private"),
            *("sh", str(ROOT / "tests/support/real/container.sh"), str(tmp_path)),
            "--bounding-set=-all," + ",".join(f"+{cap.lower()}" for cap in EXPORTER["cap_add"]),
            *("env", "-i", *(f"{name}={value}" for name, value in environment.items())),
            *("sh", "-c", TRY_TO_WRITE, *heptad, *EXPORTER["command"], "--once"),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == ""
    reader = tmp_path / "reader.yaml"
    reader.write_text(f"store: {{path: {tmp_path}/state/events.db}}\n")
    shown = subprocess.run(
        [*heptad, "events", "--config", str(reader), "--since", "1h", "--format", "jsonl"],
        check=True,
        capture_output=True,
        text=True,
    )
    event = json.loads(shown.stdout.splitlines()[0])
    assert (event["host"], event["source_ip"]) == ("web-7", "192.0.2.7")
