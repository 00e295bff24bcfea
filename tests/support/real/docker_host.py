"""A host with its own Docker engine, on which `docker-compose.yml` is started.

It is a sandbox with Debian 13 (`tests/support/real/stack/build`): the engine's data, state, socket
and networks are private, and end with the sandbox. Images are built once, into the cache of the
tests. Only one Docker host exists at a time; others wait for it to end.
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

from tests.support import needs
from tests.support.real.sandbox import Sandbox, wait_until

ROOT: Final = Path(__file__).resolve().parents[3]
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MADE: Final = "/srv/made"
"""The cached host in the sandbox: its images' programs and the engine's data."""
PROGRAMS: Final = "/srv/programs"
"""The programs built by the tests, in the sandbox."""
GROUP: Final = "heptad-docker-host"
"""The control group of all containers."""
_NO_NETWORK: Final = (
    "--bridge=none",
    "--iptables=false",
    "--ip6tables=false",
    "--ip-forward=false",
)
_NOT_COPIED: Final = (".*", "*.egg-info", "__pycache__", "build", "dist", "node_modules")
_FETCH: Final = """
import json, sys, urllib.request
for url, headers in json.load(sys.stdin):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as it:
            print(json.dumps([it.status, it.read().decode()]))
    except urllib.error.HTTPError as error:
        print(json.dumps([error.code, error.read().decode()]))
    except OSError as error:
        print(json.dumps([0, str(error)]))
"""


class DockerHost(Sandbox):
    """Use as a context manager; the engine runs, and `checkout` is a copy of the project."""

    def __init__(self) -> None:
        self.made = needs.docker_host()
        self.influxd = Path(needs.influxdb_2())
        super().__init__(
            hostname="stack-host",
            system=self.made / "root",
            folders={MADE: self.made, PROGRAMS: self.influxd.parent},
        )
        self._ends = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as ends:
            lock = ends.enter_context((self.made / "lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
            super().__enter__()
            ends.callback(_remove_groups)
            ends.callback(super().__exit__)
            self._prepare()
            ends.callback(self._clear)
            self._ends = ends.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def _prepare(self) -> None:
        self.checkout = self.dir / "heptad"
        shutil.copytree(ROOT, self.checkout, ignore=shutil.ignore_patterns(*_NOT_COPIED))
        shutil.copy(ROOT / ".dockerignore", self.checkout)
        shutil.copy(
            ROOT / "tests/support/real/stack/compose.yml",
            self.checkout / "docker-compose.override.yml",
        )
        [python] = re.findall("^ARG PYTHON=(.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
        self.environment = {
            "PATH": PATH,
            "HOME": "/root",
            "CHECKOUT": str(self.checkout),
            "HOST_ROOT": f"{MADE}/root",
            "PROGRAMS": PROGRAMS,
            "INFLUXD": self.influxd.name,
            "PYTHON": python,
        }
        # as systemd does if it is the first process of a machine
        self.run("mount", "--make-rshared", "/")
        for name in ("containers", "volumes", "network"):  # left by a killed run
            shutil.rmtree(self.made / "docker" / name, ignore_errors=True)
        self.build(python)
        self.engine = self.start_engine()

    def build(self, python: str) -> None:
        """Build all images. pip and apt need the network of this machine, and none of Docker's."""
        engine = self.start_engine(*_NO_NETWORK, outside=True)
        if not self.docker("images", "--quiet", python):
            change = f"--change=ENV PATH={PATH}"
            self.docker("import", change, f"{MADE}/base.tar", python)
        (self.checkout / ".env").write_text("".join(f"{name}=none\n" for name in SECRETS))
        self.compose("--progress", "plain", "build", timeout=900)
        (self.checkout / ".env").unlink()
        self.stop(engine)

    def stop(self, engine: "subprocess.Popen[bytes]") -> None:
        """Stop dockerd; nsenter, its parent, does not forward signals."""
        self.run("pkill", "-x", "dockerd")
        engine.wait(60)

    def start_engine(self, *options: str, outside: bool = False) -> "subprocess.Popen[bytes]":
        """Start dockerd in the sandbox, but with the network of this machine if `outside`."""
        words = self.command("dockerd", f"--data-root={MADE}/docker", *options)
        words += [f"--cgroup-parent=/{GROUP}"]
        if outside:
            words = [word for word in words if not word.startswith("--net=")]
        with (self.dir / "dockerd.log").open("ab") as log:
            engine = subprocess.Popen(
                words, stdout=log, stderr=log, env={"PATH": PATH}, start_new_session=True, cwd="/"
            )
        self.daemons.append(engine)
        wait_until(
            lambda: engine.poll() is None and not self.call("docker", "version").returncode,
            f"the engine, see {self.dir}/dockerd.log",
            60,
        )
        return engine

    def docker(self, *words: str, timeout: float = 120) -> str:
        """Return what `docker` prints; raise AssertionError with its error."""
        done = self.call("docker", *words, timeout=timeout)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def compose(self, *words: str, timeout: float = 240) -> str:
        """Return what `docker compose` prints in the checkout; AssertionError with its output."""
        done = self.call("docker", "compose", *words, timeout=timeout)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def call(
        self, *words: str, folder: Path | None = None, timeout: float = 300
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command in the checkout, or in another directory."""
        where = ["env", "-i", f"--chdir={folder or self.checkout}"]
        where += [f"{name}={value}" for name, value in self.environment.items()]
        return self.run(*where, *words, check=False, timeout=timeout)

    def fetch(self, asked: Iterable[tuple[str, Mapping[str, str]]]) -> list[tuple[int, str]]:
        """Return status (0: no response) and body of each of these URLs, with these headers."""
        told = self.run("python3", "-c", _FETCH, input=json.dumps(list(asked)), timeout=300).stdout
        return [tuple(json.loads(line)) for line in told.splitlines()]

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Any:
        """Return the JSON at this URL; raise AssertionError with the response."""
        [(status, body)] = self.fetch([(url, headers or {})])
        assert status == 200, f"{url}: {status} {body}"
        return json.loads(body)

    def _clear(self) -> None:
        if containers := self.docker("ps", "--all", "--quiet").split():
            self.docker("rm", "--force", "--volumes", *containers)
        self.docker("volume", "prune", "--all", "--force")
        self.docker("network", "prune", "--force")
        self.docker("image", "prune", "--force")
        self.docker("builder", "prune", "--force", "--keep-storage", "3GB")
        self.stop(self.engine)


SECRETS: Final = ("GRAFANA_ADMIN_PASSWORD", "INFLUXDB_ADMIN_PASSWORD", "INFLUXDB_ADMIN_TOKEN")


def _remove_groups() -> None:
    """Remove control groups, which remain after their processes have ended."""
    for controller in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()):
        for folder, _, _ in os.walk(controller / GROUP, topdown=False):
            Path(folder).rmdir()
