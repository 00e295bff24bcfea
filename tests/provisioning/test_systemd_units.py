"""The units of provisioning/systemd, judged by systemd's own tools."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import needs

FOLDER = Path(__file__).resolve().parents[2] / "provisioning/systemd"
MOST_EXPOSED = {"heptad-exporter.service": 21, "heptad-aggregator.service": 12}
"""Tenths of what `systemd-analyze security` says with systemd 252."""

UNITS = pytest.mark.parametrize("name", sorted(MOST_EXPOSED))
# prctl(2): PR_SET_MDWE with PR_MDWE_REFUSE_EXEC_GAIN, what MemoryDenyWriteExecute= is made of
CONFINE = """
import ctypes, os, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):
    sys.exit("no MDWE")
os.execvp(sys.argv[1], sys.argv[1:])
"""


def install(name: str, folder: Path) -> Path:
    """The unit as it is, but for the place of the program."""
    unit = folder / name
    program = Path(sys.executable).with_name("heptad")
    unit.write_text((FOLDER / name).read_text().replace("/opt/heptad/bin/heptad", str(program)))
    return unit


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """A command and all that it says."""
    return subprocess.run(
        command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


@UNITS
def test_systemd_knows_every_line(name: str, tmp_path: Path) -> None:
    """systemd takes the unit without a warning."""
    needs.program("systemd-analyze")
    verified = run("systemd-analyze", "verify", "--man=no", str(install(name, tmp_path)))
    assert (verified.returncode, verified.stdout) == (0, "")


@UNITS
def test_a_unit_stays_hardened(name: str, tmp_path: Path) -> None:
    """What systemd thinks a service could do does not grow."""
    needs.program("systemd-analyze")
    most = f"--threshold={MOST_EXPOSED[name]}"
    unit = str(install(name, tmp_path))
    judged = run("systemd-analyze", "security", "--no-pager", "--offline=true", most, unit)
    assert judged.returncode == 0, judged.stdout


def expand(group: str) -> set[str]:
    """The system calls of one of systemd's groups."""
    calls = set[str]()
    for line in run("systemd-analyze", "syscall-filter", group).stdout.splitlines()[1:]:
        word = line.partition("#")[0].strip()
        calls |= expand(word) if word.startswith("@") else {word} - {""}
    return calls


def allowed(unit: str) -> set[str]:
    """The system calls that the SystemCallFilter= lines of a unit let through, in their order."""
    calls = set[str]()
    for line in re.findall("^SystemCallFilter=(.*)$", unit, re.MULTILINE):
        names = set[str]()
        for word in line.removeprefix("~").split():
            names |= expand(word) if word.startswith("@") else {word}
        calls = calls - names if line.startswith("~") else calls | names
    return calls


def test_the_exporter_keeps_within_its_filter(tmp_path: Path) -> None:
    """Reading a log and every host metric takes no system call and no memory that is denied.

    But for fchown(2), which SQLite asks for as root only.
    """
    needs.program("strace", "systemd-analyze")
    log, trace = tmp_path / "auth.log", tmp_path / "trace"
    log.write_text(
        "Nov 23 10:00:00 h sshd[1]: Failed password for root from 192.0.2.7 port 1 ssh2\n"
    )
    config = tmp_path / "heptad.yaml"
    config.write_text(
        f"sources: [{{name: auth, type: file, paths: [{log}]}}]\nstore: {{path: {tmp_path}/e.db}}\n"
    )
    heptad = [sys.executable, "-m", "heptad", "exporter", "--once", "--config", str(config)]
    measure = [sys.executable, "-c", MEASURE]
    for command in (heptad, measure):
        confined = [sys.executable, "-c", CONFINE, "strace", "-f", "-qq", "-o", str(trace)]
        done = run(*confined, *command)
        if "no MDWE" in done.stdout:
            pytest.skip("this kernel has no PR_SET_MDWE (Linux 6.3)")
        assert done.returncode == 0, done.stdout
        used = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.MULTILINE))
        unit = (FOLDER / "heptad-exporter.service").read_text()
        assert len(used) > 20
        assert used - allowed(unit) <= {"fchown"}


MEASURE = """
from prometheus_client import CollectorRegistry, generate_latest
from heptad.exporter.collectors import HostCollector
registry = CollectorRegistry()
registry.register(HostCollector())
text = generate_latest(registry).decode()
assert 'heptad_collector_success{collector="clock"} 1.0' in text
assert " 0.0" not in [l[-4:] for l in text.splitlines() if l.startswith("heptad_collector_success")]
"""
