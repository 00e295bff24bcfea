"""A private copy of this machine in which daemons may run and accounts may be added.

Mount, process, network and host-name namespaces (``unshare(1)``, ``namespaces(7)``) isolate it from
the host: ``/etc``, ``/home``, ``/root`` and ``/var`` are overlays whose upper layer is a tmpfs,
``/run`` and ``/dev`` are new, and the networks that RFC 5737 reserves for documentation are local.
Processes and mounts end with the sandbox, also if the process that created it is killed: the first
process inside waits for the end of a pipe that only its creator holds.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

MOVE_IN = r"""
# Go over into another system, over which everything is written to memory, with these folders.
set -e
mount -t tmpfs -o mode=755 tmpfs "$1/system"
cd "$1/system"
mkdir upper work root
mount -t overlay -o "lowerdir=$3,upperdir=upper,workdir=work" overlay root
cd root
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /sys/fs/cgroup sys/fs/cgroup
mount --rbind /dev dev
cp /etc/resolv.conf etc/resolv.conf
mkdir -p "./$1"
mount --bind "$1" "./$1"
for pair in $4; do
    mkdir -p "./${pair%%=*}"
    mount --bind "${pair#*=}" "./${pair%%=*}"
done
mkdir old
pivot_root . old
umount -l /old
rmdir /old
"""
SET_UP = r"""
set -e
layers=$1/layers; log=$1/log; journal=$1/journal
hostname "$2"
ip link set lo up
for net in 192.0.2.0/24 198.51.100.0/24 203.0.113.0/24; do ip route add local $net dev lo; done
mount -t tmpfs -o mode=755 tmpfs "$layers"
for top in etc home root var; do
    mkdir -p "$layers/$top/upper" "$layers/$top/work"
    chmod --reference=/$top "$layers/$top/upper"
    mount -t overlay -o "lowerdir=/$top,upperdir=$layers/$top/upper,workdir=$layers/$top/work" \
        overlay "/$top"
done
mount --bind "$log" /var/log
mkdir "$layers/dev"
for node in null zero full random urandom tty; do
    : > "$layers/dev/$node"
    mount --bind /dev/$node "$layers/dev/$node"
done
mkdir "$layers/dev/pts" "$layers/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$layers/dev/pts"
ln -s pts/ptmx "$layers/dev/ptmx"
chmod 1777 "$layers/dev/shm"
ln -s /proc/self/fd "$layers/dev/fd"
mount --rbind "$layers/dev" /dev
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/sshd /run/lock /run/systemd /run/log/journal /run/user
mount --bind "$journal" /run/log/journal
: > /run/utmp; : > /var/log/wtmp; : > /var/log/lastlog; : > /var/log/btmp
chmod 664 /run/utmp /var/log/wtmp /var/log/lastlog; chmod 600 /var/log/btmp
sed -i '/pam_systemd/d' /etc/pam.d/common-session
# Where a container may not raise limits, pam_limits would say so in every session.
sed -i '/pam_limits/d' /etc/pam.d/*
sed -i "1i 127.0.0.1 $2" /etc/hosts
echo "$2" > /etc/hostname
echo 0123456789abcdef0123456789abcdef > /etc/machine-id
# With the signal ignored the kernel reaps orphans (wait(2)); cat ends when the maker does.
trap '' CHLD
echo ready
exec cat
"""
UNSHARE = ["unshare", "--mount", "--pid", "--uts", "--net", "--fork", "--mount-proc"]
DEADLINE = 20.0


def wait_until(probe: Callable[[], object], what: str, seconds: float = DEADLINE) -> None:
    """Wait until `probe` returns a true value; raise TimeoutError with `what` after `seconds`."""
    end = time.monotonic() + seconds
    while not probe():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.01)


class Sandbox:
    """Use as a context manager; `log` and `journal` are readable from outside.

    `faildelay=False` removes the two seconds that pam_unix waits after a wrong password. With
    `system`, the root directory of a Debian, it is a copy of that instead of this machine;
    `folders` maps paths, outside /etc, /home, /root and /var, to the directories of this machine to
    mount there.
    """

    def __init__(
        self,
        *,
        hostname: str = "sample-host",
        faildelay: bool = False,
        system: Path | None = None,
        folders: Mapping[str, Path] | None = None,
    ) -> None:
        self.hostname = hostname
        self.system, self.folders = system, folders or {}
        self.faildelay = faildelay
        self.daemons: list[subprocess.Popen[bytes]] = []
        self.said = ""

    def __enter__(self) -> Self:
        self.dir = Path(tempfile.mkdtemp(prefix="heptad-real-"))
        self.dir.chmod(0o755)
        self.log, self.journal = self.dir / "log", self.dir / "journal"
        for name in ("layers", "log", "journal", "system"):
            (self.dir / name).mkdir()
        self.auth_log = self.log / "auth.log"
        words = [str(self.dir), self.hostname]
        script = SET_UP
        if self.system:
            script = MOVE_IN + SET_UP
            words += [
                str(self.system),
                " ".join(f"{place}={folder}" for place, folder in self.folders.items()),
            ]
        self.holder = subprocess.Popen(
            [*UNSHARE, "--kill-child", "sh", "-c", script, "sh", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.holder.stdout is not None
        if self.holder.stdout.readline() != b"ready\n":
            self.__exit__()
            raise OSError("no sandbox could be made here (see the standard error above)")
        if not self.faildelay:
            self.run("sed", "-i", "s/pam_unix.so nullok/& nodelay/", "/etc/pam.d/common-auth")
        return self

    def __exit__(self, *_: object) -> None:
        assert self.holder.stdin is not None
        assert self.holder.stdout is not None
        self.holder.stdin.close()
        for daemon in self.daemons:  # a stopped nsenter would not notice the end of its child
            daemon.kill()
            daemon.wait(DEADLINE)
        self.holder.wait(DEADLINE)
        self.holder.stdout.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def command(self, *words: str, user: str | None = None) -> list[str]:
        """Return the command that runs `words` inside, as root or as `user`."""
        spaces = f"/proc/{self.holder.pid}/ns"
        enter = ["nsenter", f"--mount={spaces}/mnt", f"--uts={spaces}/uts", f"--net={spaces}/net"]
        enter += [f"--pid={spaces}/pid_for_children", "--"]
        if user is not None:
            enter += [
                "setpriv",
                f"--reuid={user}",
                f"--regid={user}",
                "--init-groups",
                "--reset-env",
            ]
        return [*enter, *words]

    def run(
        self,
        *words: str,
        user: str | None = None,
        input: str = "",
        check: bool = True,
        env: dict[str, str] | None = None,
        timeout: float = DEADLINE,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside without a terminal, and return its output.

        Raise CalledProcessError if `check` is set and it fails, and TimeoutExpired after `timeout`
        seconds; it then continues inside until the sandbox ends.
        """
        done = subprocess.run(
            self.command(*words, user=user),
            input=input,
            capture_output=True,
            check=False,
            text=True,
            errors="replace",
            env={**os.environ, **env} if env else None,
            timeout=timeout,
            start_new_session=True,
            cwd="/",
        )
        if check and done.returncode:
            raise subprocess.CalledProcessError(done.returncode, words, done.stdout, done.stderr)
        return done

    def talk(
        self, *words: str, answers: Sequence[tuple[str, str]] = (), user: str | None = None
    ) -> int:
        """Run a command on its own terminal; return its exit status (-1: killed or hung).

        Each answer is a text to wait for on the terminal and the line to type then.
        """
        driver = Path(__file__).with_name("terminal.py").read_text()
        told = json.dumps({"words": words, "answers": answers})
        done = self.run("/usr/bin/python3", "-c", driver, user=user, input=told, check=False)
        self.said = done.stdout + done.stderr
        return done.returncode

    def start(self, *words: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a daemon inside, in the foreground; it ends with the sandbox."""
        with (self.dir / "daemons.out").open("ab") as out:
            daemon = subprocess.Popen(
                self.command(*words),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **env} if env else None,
                start_new_session=True,
                cwd="/",
            )
        self.daemons.append(daemon)
        return daemon

    def root(self) -> Path:
        """Return the sandbox's root directory as seen from outside."""
        return Path(f"/proc/{self.holder.pid}/root")

    def exists(self, path: str) -> bool:
        """Return whether `path` exists inside: a file, a socket, or a link to any target."""
        return os.path.lexists(self.root() / path.lstrip("/"))

    def add_users(self, *names: str, password: str, groups: Sequence[str] = ()) -> None:
        """Add accounts with a home, bash and the same password."""
        lines = (f"{name}:{password}:::{name}:/home/{name}:/bin/bash\n" for name in names)
        self.run("newusers", input="".join(lines))
        for group in groups:
            self.run("gpasswd", "--members", ",".join(names), group)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file inside."""
        self.run(
            "sh",
            "-c",
            'umask 077; cat > "$1"; chmod "$2" "$1"',
            "sh",
            path,
            f"{mode:o}",
            input=text,
        )
