"""Run by debian_package.py in a booted Debian 12: installs, upgrades, removes and purges Heptad.

It uses only the standard library, since it runs under Debian's own Python.
"""

import grp
import gzip
import os
import pwd
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Final

OUT: Final = Path("/out")
PACKAGE: Final = str(OUT / "heptad.deb")
CONFIGURATION: Final = Path("/etc/heptad/heptad.yaml")
UNITS: Final = ("heptad-exporter", "heptad-aggregator")
PAGES: Final = {"exporter": "http://127.0.0.1:9707", "aggregator": "http://127.0.0.1:9708"}
STATE: Final = Path("/var/lib/heptad")
DYNAMIC: Final = Path("/var/lib/private/heptad")
"""Where systemd keeps the state of a unit with DynamicUser=, as the units of 0.1 had it."""
NOT_COMPARED: Final = ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/out")
BOOKS: Final = ("/var/lib/apt/", "/var/lib/dpkg/", "/var/cache/", "/var/log/", "/var/lib/systemd/")
"""What apt, dpkg, man-db and systemd write about any package; names of Heptad's count there too."""


def tell(text: str) -> None:
    """Print it at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run(*command: str) -> str:
    """What a command prints; it has to succeed."""
    environment = {
        **os.environ,
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        "MANWIDTH": "100",
    }
    done = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
    )
    text = done.stdout.decode(errors="replace")
    assert done.returncode == 0, f"{' '.join(command)}: status {done.returncode}\n{text}"
    return text


def apt(*words: str) -> str:
    """Run apt-get on the package; there is no network to download from."""
    return run("apt-get", "--yes", "--quiet", *words)


def fetch(url: str) -> str:
    """What a page of Heptad answers."""
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - on loopback
        text: str = answer.read().decode()
    return text


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Return once it holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"{what}: not within {seconds} seconds"
        time.sleep(0.2)


def list_files() -> dict[str, str]:
    """Every file of this system with its kind, mode and owner."""
    found = {}
    for folder, folders, files in os.walk("/"):
        folders[:] = [name for name in folders if str(Path(folder, name)) not in NOT_COMPARED]
        for path in (Path(folder, name) for name in (*folders, *files)):
            status = path.lstat()
            if not str(path).startswith(BOOKS) or "heptad" in path.name:
                found[str(path)] = f"{status.st_mode:o} {status.st_uid}:{status.st_gid}"
    return found


def take_stock() -> dict[str, str]:
    """Files, users, groups and units of this system."""
    run("systemctl", "daemon-reload")
    stock = list_files()
    stock |= {f"user {user.pw_name}": str(user[2:]) for user in pwd.getpwall()}
    stock |= {f"group {group.gr_name}": str(group[2:]) for group in grp.getgrall()}
    for list_units in ("list-unit-files", "list-units"):
        lines = run("systemctl", list_units, "--all", "--plain", "--no-legend").splitlines()
        stock |= {f"{list_units} {line}": "there" for line in lines if "heptad" in line}
    return stock


def compare(before: dict[str, str], after: dict[str, str]) -> None:
    """AssertionError with everything that differs."""
    names = sorted(before.keys() | after.keys())
    differing = [
        f"{name}: {before.get(name, 'not there')} → {after.get(name, 'not there')}"
        for name in names
        if before.get(name) != after.get(name)
    ]
    assert not differing, "\n".join(["after the purge:", *differing])


def is_healthy() -> bool:
    """Whether both parts answer that they are; a part that is not answers 503."""
    try:
        return all(fetch(f"{page}/healthz").strip() == "healthy" for page in PAGES.values())
    except urllib.error.HTTPError:
        return False


def check_services() -> None:
    """Both run under the user of the package, are enabled, and answer."""
    for unit in UNITS:
        assert run("systemctl", "is-enabled", unit).strip() == "enabled"
        assert run("systemctl", "is-active", unit).strip() == "active", run(
            "journalctl", "-u", unit
        )
        pid = run("systemctl", "show", "--property=MainPID", "--value", unit).strip()
        owner = Path(f"/proc/{pid}").stat().st_uid
        assert pwd.getpwuid(owner).pw_name == "heptad"
    wait_for(is_healthy, "both parts are healthy")
    assert "<html" in fetch(PAGES["aggregator"])
    assert not STATE.is_symlink()
    assert (STATE.stat().st_mode & 0o777, STATE.owner()) == (0o700, "heptad")


def count_sessions() -> int:
    """Sessions of su that Heptad has stored."""
    return run("heptad", "events", "--since", "1h", "--program", "su", "--format", "jsonl").count(
        '"session_open"'
    )


def check_installing() -> None:
    """A first look: both services run, and a session of su becomes an event."""
    apt("install", PACKAGE)
    check_services()
    run("su", "-s", "/bin/sh", "-c", "true", "nobody")
    wait_for(lambda: count_sessions() == 1, "the event of su")


def check_commands() -> None:
    """Each command shows its help, and each has a man page."""
    told = run("heptad", "--help")
    commands = re.findall("^    ([a-z-]+)  ", told, re.MULTILINE)
    assert {"up", "exporter", "events", "grafana"} <= set(commands), told
    for command in commands:
        assert run("heptad", command, "--help").startswith(f"usage: heptad {command}")
        run("man", "--where", f"heptad-{command}")
    assert "EXIT STATUS" in run("man", "heptad")
    assert run("heptad", "check-config", str(CONFIGURATION)).endswith("ok\n")
    run("heptad", "rules", "test")
    assert not run("dpkg", "--verify", "heptad")


def check_upgrading() -> None:
    """Another version keeps the changed configuration, the events, and what was disabled."""
    text = f"{CONFIGURATION.read_text()}store: {{max_age: 30d}}\n"
    CONFIGURATION.write_text(text)
    run("systemctl", "disable", "--now", "heptad-aggregator")
    apt("install", "--reinstall", PACKAGE)
    assert CONFIGURATION.read_text() == text
    assert count_sessions() == 1
    assert run("systemctl", "is-active", "heptad-exporter").strip() == "active"
    states = run("systemctl", "show", "--property=UnitFileState", "--value", "heptad-aggregator")
    assert states.strip() == "disabled"


def check_removing() -> None:
    """Removing stops the services and leaves configuration and events; another install has them."""
    text = CONFIGURATION.read_text()
    apt("remove", "heptad")
    assert not shutil.which("heptad")
    assert not Path("/usr/lib/heptad").exists()
    assert "heptad" not in run("systemctl", "list-units", "--plain", "--no-legend")
    assert CONFIGURATION.read_text() == text
    apt("install", PACKAGE)
    assert CONFIGURATION.read_text() == text
    assert count_sessions() == 1


def lay_state_of_0_1() -> None:
    """State and configuration where the units of 0.1 had them."""
    DYNAMIC.mkdir(parents=True)
    for name in ("events.db", "events.db.key", "reports.db"):
        content = gzip.decompress((OUT / "state-0.1.0" / f"{name}.gz").read_bytes())
        (DYNAMIC / name).write_bytes(content)
    for path in (DYNAMIC, *DYNAMIC.iterdir()):
        os.chown(path, 64_000, 64_000)
        path.chmod(0o700 if path.is_dir() else 0o600)
    STATE.symlink_to("private/heptad")
    CONFIGURATION.parent.mkdir()
    CONFIGURATION.write_text("host: web-1\nstore: {max_age: 3650d}\n")


def check_state_of_0_1() -> None:
    """The services go on with the state and the configuration of units of 0.1."""
    lay_state_of_0_1()
    apt("install", "-o", "Dpkg::Options::=--force-confold", PACKAGE)
    assert CONFIGURATION.read_text().startswith("host: web-1")
    check_services()
    events = (OUT / "state-0.1.0" / "events.jsonl.gz").read_bytes()
    told = run("heptad", "events", "--since", "3650d", "--host", "web-1", "--format", "jsonl")
    stored = [line for line in told.splitlines() if '"sshd"' in line]
    assert len(stored) >= len(gzip.decompress(events).splitlines()) > 0


def main() -> int:
    """Run every check in order; the exit status."""
    Path("/var/lib/private").mkdir(mode=0o700, exist_ok=True)
    before = take_stock()
    anew = (check_installing, check_commands, check_upgrading, check_removing)
    for checks in (anew, (check_state_of_0_1,)):
        for check in checks:
            tell(f"{check.__name__}: {check.__doc__}")
            check()
        apt("purge", "heptad")
        compare(before, take_stock())
        tell("purged: no file, user, group or unit is left")
    return 0


if __name__ == "__main__":
    sys.exit(main())
