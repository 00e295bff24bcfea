"""``make dist-test``: the package of dist/ in a Debian 12 that is booted without network.

It requires root, mmdebstrap and the Debian archive, from which it makes the Debian once. What is
checked in there is in debian_inside.py.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.support import needs

ROOT: Final = Path(__file__).resolve().parents[2]
HERE: Final = Path(__file__).parent
PACKAGES: Final = (
    "dbus",
    "libgcc-s1",
    "libstdc++6",
    "man-db",
    "passwd",
    "python3",
    "systemd",
    "systemd-sysv",
    "tzdata",
)
"""What the package depends on, so that no network is needed, and what a host has anyway."""
STATE: Final = ROOT / "tests" / "data" / "state-0.1.0"
TARGET: Final = """\
[Unit]
Requires=basic.target systemd-journald.service dbus.service
Wants=inside.service
"""
SERVICE: Final = """\
[Unit]
After=basic.target dbus.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c '/usr/bin/python3 /out/inside.py >/out/told 2>&1; echo $? >/out/status'
ExecStopPost=/bin/systemctl exit
"""


def make_debian() -> Path:
    """The root folder of a Debian 12, made where that was not done before."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "heptad-tests"
    cache.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(" ".join(PACKAGES).encode()).hexdigest()[:12]
    debian = cache / f"debian-12-{key}"
    with (cache / "debian-12.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not debian.is_dir():
            part = cache / "debian-12.part"
            shutil.rmtree(part, ignore_errors=True)
            options = ["--quiet", "--mode=root", "--variant=minbase"]
            options += ["--dpkgopt=force-unsafe-io", f"--include={','.join(PACKAGES)}"]
            subprocess.run(["mmdebstrap", *options, "bookworm", part], check=True)
            part.rename(debian)
    return debian


def find_package() -> Path:
    """The one package in dist/."""
    match sorted((ROOT / "dist").glob("heptad_*.deb")):
        case [package]:
            return package
        case _:
            sys.exit("dist/ must hold one heptad_*.deb; run `make dist`")


def boot(debian: Path, package: Path, folder: Path) -> int:
    """Run the checks in there and print what they say; their exit status."""
    (folder / "units").mkdir()
    (folder / "units" / "watched.target").write_text(TARGET)
    (folder / "units" / "inside.service").write_text(SERVICE)
    shutil.copy(HERE / "debian_inside.py", folder / "inside.py")
    shutil.copy(package, folder / "heptad.deb")
    shutil.copytree(STATE, folder / "state-0.1.0")
    group = needs.cgroup_folder() / f"heptad-package-{os.getpid()}"
    group.mkdir()
    namespaces = ["--mount", "--pid", "--cgroup", "--uts", "--ipc", "--net"]
    unshare = ["unshare", *namespaces, "--propagation=private", "--fork", "--kill-child"]
    join = ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(group)]
    command = [*join, *unshare, "sh", str(HERE / "boot_debian.sh"), str(debian), str(folder)]
    done = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=900
    )
    for empty in [*sorted(group.rglob("*/"), reverse=True), group]:
        with suppress(OSError):  # the kernel may still hold one
            empty.rmdir()
    status = folder / "status"
    if not status.exists():
        sys.stdout.write(done.stdout.decode(errors="replace")[-5000:])
        sys.exit("the checks did not end")
    sys.stdout.write((folder / "told").read_text())
    return int(status.read_text())


def main() -> int:
    """Check the package; the exit status."""
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        sys.exit("this requires root and mmdebstrap")
    package, debian = find_package(), make_debian()
    with tempfile.TemporaryDirectory(prefix="heptad-package-") as folder:
        return boot(debian, package, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
