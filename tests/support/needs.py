"""Requirements of tests: without them a test is skipped with the reason, or fails if CI=true.

`python -m tests.support.needs` prints the Debian packages with all programs named here.
"""

import functools
import os
import pathlib
import shutil
import subprocess
import tempfile
from typing import Final, NoReturn

import pytest

from tests.support.effort import BRIEF

PACKAGES: Final[dict[str, str]] = {
    "amtool": "prometheus-alertmanager",
    "chage": "passwd",
    "chpasswd": "passwd",
    "chromium": "chromium",
    "cron": "cron",
    "dbclient": "dropbear-bin",
    "dropbear": "dropbear-bin",
    "dropbearkey": "dropbear-bin",
    "docker-compose": "docker-compose",
    "fail2ban-regex": "fail2ban",
    "getent": "libc-bin",
    "gcc": "gcc",
    "gpasswd": "passwd",
    "groupadd": "passwd",
    "groupdel": "passwd",
    "groupmod": "passwd",
    "groff": "groff-base",
    "gzip": "gzip",
    "hostname": "hostname",
    "influxd": "influxdb",
    "ip": "iproute2",
    "journalctl": "systemd",
    "localedef": "libc-bin",
    "logger": "bsdutils",
    "login": "login",
    "logrotate": "logrotate",
    "mmdebstrap": "mmdebstrap",
    "mount": "mount",
    "make": "make",
    "mtail": "mtail",
    "newusers": "passwd",
    "nginx": "nginx",
    "nsenter": "util-linux",
    "passwd": "passwd",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "prometheus-node-exporter": "prometheus-node-exporter",
    "promtool": "prometheus",
    "prlimit": "util-linux",
    "ps": "procps",
    "rsyslogd": "rsyslog",
    "script": "bsdutils",
    "setpriv": "util-linux",
    "ssh": "openssh-client",
    "ssh-add": "openssh-client",
    "ssh-agent": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sshd": "openssh-server",
    "sshpass": "sshpass",
    "strace": "strace",
    "su": "util-linux",
    "sudo": "sudo",
    "systemd": "systemd",
    "systemd-analyze": "systemd",
    "systemd-cat": "systemd",
    "systemd-journald": "systemd",
    "systemd-journal-remote": "systemd-journal-remote",
    "unshare": "util-linux",
    "useradd": "passwd",
    "userdel": "passwd",
    "usermod": "passwd",
    "valgrind": "valgrind",
}
"""Program → its Debian package; `make test` installs these."""

DEBIAN: Final = "1.6.7"
"""Debian's version of InfluxDB."""
INFLUXDB_1: Final = os.environ.get("HEPTAD_INFLUXDB_1", DEBIAN)
INFLUXDB_2: Final = os.environ.get("HEPTAD_INFLUXDB_2", "2.7.12")
"""The versions that the tests use; `make test-servers` sets others."""

running: pytest.Item | None = None
"""The running test; set by tests/conftest.py."""

# Daemons are outside the PATH of a user; systemd keeps its helpers in its own directory.
_FOLDERS: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/lib/systemd", "/lib/systemd")


def program(*names: str) -> None:
    """Skip the test unless all of these programs are installed."""
    _expect_mark()
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_FOLDERS))
    for name in names:
        if shutil.which(name, path=path) is None:
            _miss(f"{name} is not installed (Debian: {PACKAGES.get(name, 'package unknown')})")


@functools.cache
def built(name: str) -> str:
    """Build a program of a Go module if that was not done before, and return its path.

    ``name``: a directory in tests/support/real/go, such as `influxd-2.7.12`. The first build takes
    minutes.
    """
    _expect_mark()
    for tool in ("go", "cargo") if name.startswith("influxd") else ("go",):
        if shutil.which(tool) is None:
            _miss(f"{tool} is not installed, which builds {name}")
    build = pathlib.Path(__file__).parent / "real" / "go" / "build"
    done = subprocess.run([build, name], capture_output=True, check=False, text=True)
    if done.returncode:
        _miss(f"{build} {name} failed: {done.stderr[-2000:]}")
    return done.stdout.strip()


def influxdb_2() -> str:
    """Return the program of InfluxDB 2."""
    return built(f"influxd-{INFLUXDB_2}")


@functools.cache
def docker_host() -> pathlib.Path:
    """Create a host with a Docker engine if that was not done before, and return its directory.

    The first time takes about two minutes and requires the Debian archive; see
    tests/support/real/docker_host.py.
    """
    mount_namespace()
    program("mmdebstrap", "ip", "nsenter")
    build = pathlib.Path(__file__).parent / "real" / "stack" / "build"
    built = subprocess.run([build], capture_output=True, check=False, text=True)
    if built.returncode:
        _miss(f"{build} cannot make a Debian with Docker: {built.stderr[-2000:]}")
    return pathlib.Path(built.stdout.strip())


def influxdb_1() -> str:
    """Return the program of InfluxDB 1: Debian's, or that of another version."""
    if INFLUXDB_1 != DEBIAN:
        return built(f"influxd-{INFLUXDB_1}")
    program("influxd")
    return "influxd"


def path(path: pathlib.Path, package: str) -> None:
    """Skip the test unless this file of a Debian package is installed."""
    _expect_mark()
    if not path.exists():
        _miss(f"{path} is not there (Debian: {package})")


def root() -> None:
    """Skip the test unless it runs as root."""
    _expect_mark()
    if os.geteuid() != 0:
        _miss("only root may do this")


def mount_namespace() -> None:
    """Skip the test unless a process may mount an overlay in its own mount namespace."""
    root()
    program("unshare", "mount")
    if problem := _try_overlay():
        _miss(f"no overlay in a mount namespace of one's own: {problem}")


def cgroup_folder() -> pathlib.Path:
    """Return a directory in which control groups (cgroups(7), version 2) can be created."""
    root()
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        _, folder, kind, options, *_ = line.split()
        if kind == "cgroup2" and "rw" in options.split(","):
            return pathlib.Path(folder)
    return _miss("no control groups of version 2 that can be written")


def shared_data() -> pathlib.Path:
    """Return the directory of large real logs, which are not part of the project.

    It is `$HEPTAD_SHARED_DATA`, or `../shared/data` beside the checkout. Without it the test is
    skipped, in CI too.
    """
    beside = pathlib.Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = pathlib.Path(os.environ.get("HEPTAD_SHARED_DATA") or beside)
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there (set HEPTAD_SHARED_DATA)")
    return folder


def _expect_mark() -> None:
    """Fail if `make check` runs a test that requires more than Python."""
    if running is not None and BRIEF:
        reason = "tests/support/left_out.py does not see that it needs more than Python"
        pytest.fail(f"{running.nodeid}: {reason}; mark it: @pytest.mark.system", pytrace=False)


def _miss(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI has to run every test", pytrace=False)
    pytest.skip(reason)


@functools.cache
def _try_overlay() -> str:
    """Return why it does not work, or an empty text."""
    # The upper layer is on a tmpfs: in a container the root is often an overlay itself, which
    # cannot be an upper layer (Linux, Documentation/filesystems/overlayfs.rst).
    script = """
        set -e
        mount -t tmpfs tmpfs "$0"
        mkdir "$0/upper" "$0/work" "$0/merged"
        mount -t overlay -o "lowerdir=/etc,upperdir=$0/upper,workdir=$0/work" overlay "$0/merged"
        touch "$0/merged/written"
    """
    unshare = ["unshare", "--mount", "--propagation", "private"]
    with tempfile.TemporaryDirectory() as folder:
        tried = subprocess.run(
            [*unshare, "sh", "-c", script, folder],
            capture_output=True,
            check=False,
            text=True,
        )
    return tried.stderr.strip() or ("" if tried.returncode == 0 else "refused")


if __name__ == "__main__":
    print(*sorted({*PACKAGES.values(), "locales"}), sep="\n")  # noqa: T201 - its output is its purpose
