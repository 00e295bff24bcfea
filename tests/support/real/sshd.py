"""A real sshd in a sandbox, and the real ssh client used against it."""

import itertools
import os
import signal
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

from tests.support.real.sandbox import DEADLINE, Sandbox, wait_until

SERVER = "192.0.2.1"
NUMBERS = itertools.count(1)
ASKPASS = """#!/bin/sh
case $(head -n 1 "$ANSWERS") in
'<leave>') kill -9 $PPID;;
'<wait>') exec sleep 6;;
*) head -n 1 "$ANSWERS"; sed -i 1d "$ANSWERS";;
esac
"""
TALK = """
import socket, sys
server, port, address, hexed = sys.argv[1:]
with socket.create_connection((server, int(port)), 10, (address, 0)) as link:
    link.sendall(bytes.fromhex(hexed))
    if hexed:
        while link.recv(4096): pass
"""


def children(pid: int) -> list[int]:
    """Return the ids of a process's children, as seen from outside the sandbox."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(word) for word in task.read_text().split()]
        except OSError:
            continue
    return found


class SshServer:
    """Use as a context manager. `options` are lines of sshd_config(5); the first one counts."""

    def __init__(
        self, sandbox: Sandbox, options: Iterable[str] = (), *, level: str = "INFO", port: int = 0
    ) -> None:
        self.sandbox = sandbox
        self.number = next(NUMBERS)
        self.port = port or 2200 + self.number
        self.options = [*options, f"LogLevel {level}"]

    def __enter__(self) -> Self:
        self.config = f"/run/sshd-{self.number}.conf"
        pid_file = f"/run/sshd-{self.number}.pid"
        host_key = f"/run/sshd-{self.number}.key"
        self.sandbox.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", host_key)
        self.write_config(
            [
                *self.options,
                f"Port {self.port}",
                "ListenAddress 0.0.0.0",
                f"PidFile {pid_file}",
                f"HostKey {host_key}",
                "UsePAM yes",
                "PrintMotd no",
                "Subsystem sftp internal-sftp",
            ]
        )
        self.process = self.sandbox.start("/usr/sbin/sshd", "-D", "-f", self.config)
        wait_until(lambda: self.sandbox.exists(pid_file), f"sshd on port {self.port}")
        return self

    def write_config(self, lines: Iterable[str]) -> None:
        """Write sshd's configuration file; it is read at the start and at SIGHUP."""
        self.sandbox.write(self.config, "\n".join(lines) + "\n")

    def __exit__(self, *_: object) -> None:
        self.signal(signal.SIGTERM)
        self.process.wait(DEADLINE)

    def signal(self, number: signal.Signals) -> None:
        """Send the listening sshd a signal."""
        for pid in children(self.process.pid):
            os.kill(pid, number)

    def wait_idle(self) -> None:
        """Wait until all connections' processes have ended, and so have logged everything."""
        wait_until(
            lambda: not any(children(pid) for pid in children(self.process.pid)),
            "the end of sshd's connections",
        )


class Client:
    """One source address that logs in, or tries to.

    Each method returns the exit status of the client. Answers are given to the client's prompts in
    turn, through SSH_ASKPASS (ssh(1)); `<leave>` kills the client instead, `<wait>` makes it wait
    for six seconds.
    """

    def __init__(self, server: SshServer, address: str) -> None:
        self.server, self.address = server, address
        self.sandbox = server.sandbox
        self.dir = self.sandbox.dir / f"client-{next(NUMBERS)}"
        self.dir.mkdir()
        self.askpass = self.dir / "askpass"
        self.askpass.write_text(ASKPASS)
        self.askpass.chmod(0o755)

    def words(self, program: str, options: Sequence[str]) -> list[str]:
        """Return the first words of a call of ssh, scp or sftp: quiet, from this address."""
        settings = [
            "LogLevel=ERROR",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            f"Port={self.server.port}",
            f"BindAddress={self.address}",
            *options,
        ]
        return [program, "-F", "none", *(word for one in settings for word in ("-o", one))]

    def ssh(
        self,
        user: str,
        *options: str,
        answers: Sequence[str] = (),
        command: Sequence[str] = ("true",),
        agent: bool = False,
    ) -> int:
        """Run ssh with `options` (ssh_config(5), "Name=value") and a command on the server."""
        prompts = f"NumberOfPasswordPrompts={max(len(answers), 1)}"
        words = self.words("ssh", [*options, prompts, f"User={user}"])
        return self.call([*words, SERVER, *command], answers, agent)

    def password(self, user: str, *answers: str) -> int:
        """Answer the prompts of the method "password"."""
        return self.ssh(user, "PreferredAuthentications=password", answers=answers)

    def interactive(self, user: str, *answers: str) -> int:
        """Answer the prompts of the method "keyboard-interactive"."""
        return self.ssh(user, "PreferredAuthentications=keyboard-interactive", answers=answers)

    def key(self, user: str, *keys: Path) -> int:
        """Offer keys from files, in this order, and nothing else."""
        files = [f"IdentityFile={key}" for key in keys]
        return self.ssh(user, "PreferredAuthentications=publickey", "IdentitiesOnly=yes", *files)

    def new_key(self, user: str | None = None, kind: str = "ed25519") -> Path:
        """Create a key pair; with `user`, authorize it for that account."""
        key = self.dir / f"key-{next(NUMBERS)}"
        self.sandbox.run("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "sandbox", "-f", str(key))
        if user:
            home = f"/home/{user}/.ssh"
            self.sandbox.run("install", "-d", "-m", "700", "-o", user, "-g", user, home)
            self.sandbox.run("sh", "-c", f"cat {key}.pub >> {home}/authorized_keys")
            self.sandbox.run("chown", f"{user}:{user}", f"{home}/authorized_keys")
        return key

    def agent(self, user: str, keys: Sequence[Path], *options: str) -> int:
        """Log in with an ssh-agent(1) that holds `keys`."""
        socket = self.dir / "agent"
        agent = self.sandbox.start("ssh-agent", "-D", "-a", str(socket))
        env = {"SSH_AUTH_SOCK": str(socket)}

        def answers() -> bool:  # ssh-add(1): 2 is "unable to contact the agent"
            return self.sandbox.run("ssh-add", "-l", env=env, check=False).returncode != 2

        wait_until(answers, "ssh-agent")
        self.sandbox.run("ssh-add", "-q", *map(str, keys), env=env)
        try:
            methods = options or ("PreferredAuthentications=publickey",)
            return self.ssh(user, *methods, agent=True)
        finally:
            for pid in children(agent.pid):
                os.kill(pid, signal.SIGTERM)
            agent.wait()

    def talk(self, data: bytes = b"") -> int:
        """Send raw bytes and wait for the server to close; without bytes, disconnect at once."""
        words = [SERVER, str(self.server.port), self.address, data.hex()]
        return self.sandbox.run("/usr/bin/python3", "-c", TALK, *words, check=False).returncode

    def sshpass(self, user: str, password: str, *options: str, program: str = "ssh") -> int:
        """Log in as scripts do: sshpass(1) answers the first prompt on a terminal."""
        words = self.words(program, [*options, f"User={user}"])
        return self.call(["sshpass", "-p", password, *words, SERVER, "true"], (), False)

    def call(self, words: Sequence[str], answers: Sequence[str] = (), agent: bool = False) -> int:
        """Run a client program with prepared answers, and return its exit status."""
        (self.dir / "answers").write_text("".join(f"{answer}\n" for answer in answers))
        env = {
            "SSH_ASKPASS": str(self.askpass),
            "SSH_ASKPASS_REQUIRE": "force" if answers else "never",
            "DISPLAY": ":0",
            "ANSWERS": str(self.dir / "answers"),
            "SSH_AUTH_SOCK": str(self.dir / "agent") if agent else "",
        }
        try:
            return self.sandbox.run(*words, check=False, env=env).returncode
        except subprocess.TimeoutExpired:
            return -1
