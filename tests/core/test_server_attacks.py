"""What clients without a password can do to the port of a real exporter: nothing that lasts."""

import http.client
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import bcrypt
import pytest
import trustme

from tests.support import needs
from tests.support.hostile_clients import (
    Crowd,
    Stream,
    ask_without_reading,
    begin_a_handshake,
    begin_a_request,
    leave_a_handshake,
    send_a_long_line,
    send_a_slow_body,
    send_an_endless_body,
    send_large_headers,
    send_nothing,
    send_slow_headers,
)

pytestmark = pytest.mark.system

PASSWORD = "correct horse"
MOST_GROWTH = 64 * 1024
"""KiB."""
ATTACKS: list[tuple[Stream, int]] = [
    (send_nothing, 500),
    (send_nothing, 5000),
    (begin_a_request, 500),
    (begin_a_handshake, 500),
    (leave_a_handshake, 500),
    (send_slow_headers, 500),
    (send_a_slow_body, 500),
    (send_large_headers, 16),
    (send_large_headers, 200),
    (send_a_long_line, 100),
    (send_an_endless_body, 100),
    (ask_without_reading, 100),
]


class Exporter:
    """A real `heptad exporter`, which may open ``descriptors`` files; ``secured``: TLS and auth."""

    def __init__(self, folder: Path, *, secured: bool, descriptors: int = 1024) -> None:
        needs.program("prlimit")
        folder.mkdir()
        (folder / "auth.log").touch()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = ("127.0.0.1", free.getsockname()[1])
        self.folder = folder
        self.context = secure(folder) if secured else None
        web = f"web_config_file: {folder}/web.yml" if secured else ""
        config = folder / "heptad.yaml"
        config.write_text(
            f"store: {{path: {folder}/events.db}}\n"
            f"sources: [{{type: file, name: auth, paths: [{folder}/auth.log]}}]\n"
            f"exporter:\n  listen: 127.0.0.1:{self.address[1]}\n  {web}\n"
        )
        self.log = folder / "stderr"
        with self.log.open("wb") as log:
            command = ["prlimit", f"--nofile={descriptors}", sys.executable, "-m", "heptad"]
            command += ["exporter", "--config", str(config)]
            self.process = subprocess.Popen(
                command,
                stderr=log,
                stdout=subprocess.DEVNULL,
            )
        self._await()

    def _await(self) -> None:
        until = time.monotonic() + 60
        while True:
            try:
                self.scrape()
                return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < until
                time.sleep(0.05)

    def scrape(self) -> float:
        """Seconds until /metrics was there."""
        begun = time.monotonic()
        connection = (
            http.client.HTTPSConnection(*self.address, timeout=20, context=self.context)
            if self.context
            else http.client.HTTPConnection(*self.address, timeout=20)
        )
        login = b64encode(f"scraper:{PASSWORD}".encode()).decode()
        with closing(connection):
            connection.request("GET", "/metrics", headers={"Authorization": f"Basic {login}"})
            answer = connection.getresponse()
            assert answer.status == 200
            assert b"heptad_build_info" in answer.read()
        return time.monotonic() - begun

    def memory(self, what: str) -> int:
        """KiB: VmRSS, what it holds now; VmHWM, the most that it held since ``forget_peak``."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"{what}:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1])

    def forget_peak(self) -> None:
        """Begin the peak anew (proc(5), clear_refs)."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def close(self) -> None:
        """It ends as told, whoever is connected."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0


def secure(folder: Path) -> ssl.SSLContext:
    """A web-config file with TLS and basic auth, and a client that trusts its certificate."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    (folder / "key.pem").chmod(0o600)
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    (folder / "web.yml").write_text(
        "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n"
        f"basic_auth_users: {{scraper: '{hashed}'}}\n"
    )
    (folder / "web.yml").chmod(0o600)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "tls"])
def exporter(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Exporter]:
    """One that has answered already."""
    exporter = Exporter(tmp_path_factory.mktemp("x") / "e", secured=request.param)
    yield exporter
    exporter.close()
    assert "error" not in exporter.log.read_text()


@pytest.mark.parametrize("stream, number", ATTACKS)
@pytest.mark.parametrize("encrypted", [False, True], ids=["", "handshake done"])
def test_hostile_clients(exporter: Exporter, stream: Stream, number: int, encrypted: bool) -> None:
    """However many connect and whatever they send: a scrape takes a second, memory is bounded."""
    if encrypted and (exporter.context is None or number > 500):
        return  # plain HTTP has no handshake; 5,000 of them take the client a minute
    before = exporter.memory("VmRSS")
    exporter.forget_peak()
    authority = str(exporter.folder / "ca.pem") if encrypted else ""
    with Crowd(exporter.address, number, stream, authority):
        seconds = []
        for _ in range(5):
            seconds.append(exporter.scrape())
            time.sleep(0.2)
    assert sorted(seconds)[2] < 1  # not all: this machine may have other work, too
    assert max(seconds) < 5
    assert exporter.memory("VmHWM") - before < MOST_GROWTH
    exporter.scrape()


def test_few_descriptors(tmp_path: Path) -> None:
    """A process that may open few files drops idle connections, and none of its other work."""
    exporter = Exporter(tmp_path / "e", secured=False, descriptors=48)
    with Crowd(exporter.address, 500, begin_a_request):
        assert exporter.scrape() < 5
    exporter.scrape()
    exporter.close()
