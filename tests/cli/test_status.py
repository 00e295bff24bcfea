"""heptad status: what it says of parts that run, do not run, or do not prove that they work."""

import json
import math
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from heptad.aggregator.app import Aggregator
from heptad.cli.main import main
from heptad.cli.port import Port, read_samples
from heptad.core.config.schema import Config, load_config
from heptad.core.config.types import Listen
from heptad.core.http.server import Server
from heptad.core.store.api import LOOKED_UNTIL
from heptad.core.store.sqlite import LocalStore
from heptad.core.store.writer import find_writer
from heptad.core.telemetry.metrics import StoredMetrics
from heptad.exporter.app import Exporter
from tests.core.test_web_config import HASH, PASSWORD
from tests.support import needs
from tests.support.ports import reserve_port
from tests.support.waiting import until

SECOND = 10**9
LINE = "Mar  3 10:00:00 web sshd[100]: Failed password for root from 192.0.2.7 port 4711 ssh2\n"


class Host:
    """A configuration with everything in a folder of its own; ``status`` runs the command."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        self.path = folder / "heptad.yaml"
        self.log = folder / "auth.log"
        self.log.write_text(LINE)
        self.content: dict[str, Any] = {
            "host": "web",
            "store": {"path": str(folder / "events.db")},
            "sources": [{"type": "file", "name": "auth", "paths": [str(self.log)]}],
            "exporter": {"listen": f"127.0.0.1:{reserve_port()}", "host_metrics": False},
            "aggregator": {
                "listen": f"127.0.0.1:{reserve_port()}",
                "store": {"path": str(folder / "reports.db")},
                "poll": "10ms",
            },
        }

    def configure(self) -> Config:
        """Write the file and read it."""
        self.path.write_text(yaml.safe_dump(self.content))
        return load_config(self.path)

    def status(self, *arguments: str) -> tuple[int, str]:
        """The exit status, and what is printed."""
        self._capsys.readouterr()
        code = main(["status", "--config", str(self.path), *arguments])
        return code, self._capsys.readouterr().out

    def part(self, name: str = "exporter", *arguments: str) -> tuple[int, dict[str, Any]]:
        """The exit status, and the only part of the JSON."""
        code, text = self.status(name, "--format", "json", *arguments)
        told: dict[str, Any] = json.loads(text)["parts"][0]
        return code, told


@pytest.fixture
def host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Host:
    """Nothing has run there yet."""
    host = Host(tmp_path, capsys)
    host.configure()
    return host


@contextmanager
def running(part: Exporter | Aggregator) -> Iterator[None]:
    """The part in a thread."""
    stop = threading.Event()
    thread = threading.Thread(target=part.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        if isinstance(part, Exporter):
            part.pipeline.wake.set()
        thread.join()


def test_a_host_where_nothing_has_run(host: Host) -> None:
    """Nothing listens and there is no store: not running, exit status 2, and how it was told."""
    code, text = host.status()
    assert code == 2
    assert text.startswith(f"configuration: {host.path}\n")
    assert text.count("not running") == 2
    assert "it has never run on this host with this configuration" in text


def test_both_parts_in_one_process(host: Host) -> None:
    """`heptad up`: both healthy with process, address, log and times; killed, it is not running."""
    with (host.folder / "output").open("w") as output:
        command = [sys.executable, "-m", "heptad", "up", "--config", str(host.path)]
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        until(lambda: host.status()[0] == 0)
        code, text = host.status("--format", "json")
        told = json.loads(text)
        assert (code, told["state"], told["configuration"]) == (0, "healthy", str(host.path))
        exporter, aggregator = told["parts"]
        assert {exporter["process"], aggregator["process"]} == {process.pid}
        assert exporter["address"] == f"http://{host.content['exporter']['listen']}"
        [source] = exporter["sources"]
        assert (source["name"], source["reads"]) == ("auth", str(host.log))
        assert (source["is_readable"], source["behind_bytes"]) == (True, 0)
        assert exporter["running_since"] <= source["last_event"] <= exporter["read_until"]
        assert aggregator["behind_seconds"] < 60
        text = host.status()[1]
        assert f"auth: {host.log}; 0 bytes behind" in text
        assert "every log was read to its end" in text
    finally:
        process.kill()
        process.wait()
    assert host.status()[0] == 2
    assert host.part()[1]["has_run_here"] is True


def test_an_exporter_alone(host: Host) -> None:
    """An aggregator that never ran here does not count, unless it is named."""
    with running(Exporter(host.configure())):
        until(lambda: host.status()[0] == 0)
        assert host.part("aggregator")[0] == 2


def test_a_dead_exporter_beside_an_aggregator(host: Host) -> None:
    """An aggregator that is healthy does not hide that the exporter, which ran here, is gone."""
    with LocalStore(host.folder / "events.db", write=True):
        pass
    with running(Aggregator(host.configure())):
        until(lambda: host.part("aggregator")[0] == 0)
        code, text = host.status()
    assert code == 2
    assert "exporter: not running" in text


def test_a_source_that_cannot_be_read(host: Host) -> None:
    """What /healthz shows as a problem is a problem here, exit status 1."""
    host.log.unlink()
    with running(Exporter(host.configure())):
        until(lambda: host.part()[1]["problems"] != [])
        code, told = host.part()
    assert (code, told["state"]) == (1, "problem")
    assert "the file does not exist" in told["problems"][0]


def test_a_delivery_that_waits(host: Host) -> None:
    """With InfluxDB it says where events go and how many wait; a server that is away is a problem."""
    host.content["influxdb"] = {"url": f"http://127.0.0.1:{reserve_port()}", "timeout": "1s"}
    exporter = Exporter(host.configure())
    stop = threading.Event()
    threads = [threading.Thread(target=part, args=(stop,)) for part in exporter.workers().values()]
    for thread in threads:
        thread.start()
    try:
        until(lambda: host.part()[1]["problems"] != [])
        code, told = host.part()
        text = host.status("exporter")[1]
    finally:
        stop.set()
        exporter.pipeline.wake.set()
        for thread in threads:
            thread.join()
    assert (code, told["state"]) == (1, "problem")
    assert told["problems"][0].startswith("delivery: ")
    url = host.content["influxdb"]["url"]
    assert (told["delivers_to"], told["last_delivery"]) == (url, None)
    assert f"delivers   to {url}" in text
    assert "none since the start" in text


def test_the_aggregator_of_a_fleet(host: Host) -> None:
    """It has no store on this host: named it counts, and a server that is away is a problem."""
    host.content["influxdb"] = {"url": f"http://127.0.0.1:{reserve_port()}", "timeout": "1s"}
    config = host.configure()
    assert host.part("aggregator")[0] == 2
    with running(Aggregator(config)):
        until(lambda: host.part("aggregator")[1]["problems"] != [])
        code, told = host.part("aggregator")
    assert (code, told["state"], told["store"]) == (1, "problem", host.content["influxdb"]["url"])
    assert "influxdb.url" in told["problems"][0]


def test_without_the_right_to_read_the_store(host: Host) -> None:
    """Who may not read the store is told so: healthy is not known then, and nothing fails."""
    needs.root()
    needs.program("setpriv")
    with running(Exporter(host.configure())):
        until(lambda: host.status("exporter")[0] == 0)
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as readable:
            readable.write(host.path.read_text())
            readable.flush()
            Path(readable.name).chmod(0o644)
            result = subprocess.run(
                [
                    "setpriv",
                    "--reuid=65534",
                    "--clear-groups",
                    sys.executable,
                    "-m",
                    "heptad",
                    "status",
                    "exporter",
                    "--config",
                    readable.name,
                ],
                capture_output=True,
                text=True,
                env=os.environ | {"HOME": "/nonexistent"},
                cwd="/",
                check=False,
            )
    assert result.stderr == ""
    assert result.returncode == 1
    assert "exporter: unknown" in result.stdout
    assert "run this as root or as the service's user" in result.stdout


@contextmanager
def claiming(host: Host, problems: list[str], **metrics: float) -> Iterator[LocalStore]:
    """A port that says of itself what it likes, beside a store that this process writes."""
    names = ("heptad_source_up", "heptad_source_behind_bytes")
    families = dict.fromkeys(names, (("source",), "")) | dict.fromkeys(metrics, ((), ""))
    families |= {"heptad_host_info": (("host",), "")}
    stored = StoredMetrics({}, families, {})
    stored.set("heptad_host_info", 1, "web")
    for name in names:
        stored.set(name, 1, "auth")
    for name, value in metrics.items():
        stored.set(name, value)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(stored)
    with ExitStack() as stack:
        store = stack.enter_context(LocalStore(host.folder / "events.db", write=True))
        server = Server(("127.0.0.1", 0), registry, lambda: problems)
        server.start()
        stack.callback(server.close)
        host.content["exporter"]["listen"] = server.url.removeprefix("http://")
        host.configure()
        yield store


@pytest.mark.parametrize(
    ("age", "state", "words"),
    [
        (10, "healthy", ""),
        (170, "healthy", ""),
        (200, "unknown", "last read to their end more than 180 s ago"),
        (None, "unknown", "unknown up to when"),
    ],
)
def test_healthy_needs_a_recent_look(host: Host, age: int | None, state: str, words: str) -> None:
    """However well /healthz is: without a look at the logs in three minutes nothing is known."""
    with claiming(host, []) as store:
        if age is not None:
            looked = time.time_ns() - age * SECOND
            store.append([], {LOOKED_UNTIL: str(looked).encode()})
        code, told = host.part()
    assert (told["state"], code) == (state, 0 if state == "healthy" else 1)
    assert words in " ".join(told["notes"])


def test_hostile_words_of_a_port(host: Host) -> None:
    """What a port says is shown as text, cut, and never more than fifty lines of it."""
    with claiming(host, ["\x1b[31mred\u202e" + "x" * 5000] * 500):
        code, text = host.status("exporter")
    assert code == 1
    assert "\\x1b[31mred\\u202e" in text
    assert not set(text) & set("\x1b\u202e")
    assert text.count("problem") <= 51
    assert len(text) < 40_000


def test_an_older_configuration(host: Host) -> None:
    """A configuration that was refused at a reload is a problem; one not read yet is a note."""
    now = time.time()
    looked = {LOOKED_UNTIL: str(time.time_ns()).encode()}
    names = (
        "heptad_config_last_reload_successful",
        "heptad_config_last_reload_success_timestamp_seconds",
    )
    with claiming(host, [], **dict(zip(names, (0, now), strict=True))) as store:
        store.append([], looked)
        code, told = host.part()
    assert code == 1
    assert "was rejected at the last reload" in told["problems"][0]
    with claiming(host, [], **dict(zip(names, (1, now - 60), strict=True))) as store:
        store.append([], looked)
        code, told = host.part()
    assert code == 0
    assert "reload the service" in told["notes"][0]


def test_another_heptad_on_the_port(host: Host) -> None:
    """What answers and does not write this configuration's store is never called healthy."""
    with claiming(host, []) as store:
        store.append([], {LOOKED_UNTIL: str(time.time_ns()).encode()})
        host.content["store"]["path"] = str(host.folder / "other.db")
        host.configure()
        code, told = host.part()
    assert (code, told["state"]) == (1, "unknown")
    assert "pass its configuration with --config" in told["notes"][0]


def test_a_store_that_is_written_without_a_port(host: Host) -> None:
    """A process that writes the store and does not listen runs, with a problem."""
    with LocalStore(host.folder / "events.db", write=True):
        code, told = host.part()
    assert (code, told["state"], told["process"]) == (1, "problem", os.getpid())
    assert "nothing listens there" in told["problems"][0]


def test_numbers_that_are_none(host: Host) -> None:
    """A port that gives no number, or one that is none, is never healthy for it."""
    for number in (math.nan, math.inf, -math.inf):
        registry = CollectorRegistry(auto_describe=False)
        name = "heptad_aggregator_behind_seconds"
        stored = StoredMetrics({}, {name: ((), "")}, {})
        stored.set(name, number)
        registry.register(stored)
        server = Server(("127.0.0.1", 0), registry, list)
        server.start()
        host.content["aggregator"]["listen"] = server.url.removeprefix("http://")
        host.configure()
        with closing(server), LocalStore(host.folder / "reports.db", write=True):
            code, told = host.part("aggregator")
        assert (code, told["state"], told["behind_seconds"]) == (1, "unknown", None)
        assert "how far behind" in told["notes"][0]


@contextmanager
def answering(host: Host, answer: bytes, *, hangs: bool = False) -> Iterator[None]:
    """A program at the exporter's port that sends the same to everybody."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server, ExitStack() as stack:
        host.content["exporter"]["listen"] = f"127.0.0.1:{server.getsockname()[1]}"
        host.configure()

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                stack.callback(client.close)
                client.recv(65_536)
                client.sendall(answer)
                if not hangs:
                    client.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def reply(body: bytes, status: str = "200 OK") -> bytes:
    """An answer of HTTP/1.0."""
    return f"HTTP/1.0 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"healthy\n"),
        reply(b"<html>welcome</html>"),
        reply(b"", "302 Found"),
        reply(b"\xff\xfe\x00" * 100),
        reply(b'heptad_source_up{source="a} 1\nheptad_build_info{version="1'),
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"",
    ],
)
def test_another_program_on_the_port(host: Host, answer: bytes) -> None:
    """A program that is not Heptad is never a healthy exporter, whatever it answers."""
    with answering(host, answer):
        code, told = host.part()
    assert code in (1, 2)
    assert told["state"] in ("not running", "problem")
    assert told["problems"]


def test_a_port_that_hangs(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that takes the question and says nothing is a problem after a few seconds."""
    monkeypatch.setattr("heptad.cli.port._SECONDS", 0.3)
    with answering(host, b"HTTP/1.0 200 OK\r\n", hangs=True):
        code, told = host.part()
    assert (code, told["state"]) == (1, "problem")
    assert "does not answer" in told["problems"][0]


@settings(max_examples=30)
@given(
    st.binary(max_size=300)
    | st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace"))
)
def test_any_metrics_are_read(body: bytes) -> None:
    """Whatever a port sends as metrics is read or passed over; nothing is raised."""
    read_samples("heptad_" + body.decode(errors="replace"))


@pytest.mark.parametrize("tls", [False, True])
def test_a_secured_port(host: Host, tls: bool) -> None:
    """Basic auth: with the password as ever, without it by the store; TLS: its own certificate."""
    authority = trustme.CA()
    issued = authority.issue_cert("heptad.example")
    issued.private_key_pem.write_to_path(host.folder / "server.key")
    issued.cert_chain_pems[0].write_to_path(host.folder / "server.pem")
    secured = "tls_server_config: {cert_file: server.pem, key_file: server.key}\n" if tls else ""
    web_config = host.folder / "web.yml"
    web_config.write_text(f"{secured}basic_auth_users: {{scraper: '{HASH}'}}\n")
    for part in ("exporter", "aggregator"):
        host.content[part]["web_config_file"] = str(web_config)
    password = host.folder / "password"
    password.write_text(f"{PASSWORD}\n")
    login = ("--username", "scraper", "--password-file", str(password))
    config = host.configure()
    with running(Exporter(config)), running(Aggregator(config)):
        until(lambda: host.status(*login)[0] == 0)
        code, told = host.part()
        assert (code, told["state"]) == (0, "healthy")
        assert "pass --username and --password-file" in told["notes"][0]
        assert told["address"].startswith("https://" if tls else "http://")
        code, told = host.part("aggregator")
        assert (code, told["state"]) == (1, "unknown")
        password.write_text("not this one")
        code, told = host.part("aggregator", *login)
        assert "the password is wrong" in told["notes"][0]
        if tls:
            authority.issue_cert("other").cert_chain_pems[0].write_to_path(
                host.folder / "other.pem"
            )
            host.content["aggregator"]["web_config_file"] = str(host.folder / "forged.yml")
            other = trustme.CA().issue_cert("heptad.example")
            other.private_key_pem.write_to_path(host.folder / "forged.key")
            other.cert_chain_pems[0].write_to_path(host.folder / "forged.pem")
            (host.folder / "forged.yml").write_text(
                "tls_server_config: {cert_file: forged.pem, key_file: forged.key}\n"
            )
            host.configure()
            code, told = host.part("aggregator", *login)
            assert code == 1
            assert "not the configured one" in told["notes"][0]


def test_a_port_that_requires_client_certificates(host: Host) -> None:
    """What cannot be asked without a certificate is unknown, and the note says why."""
    authority = trustme.CA()
    issued = authority.issue_cert("heptad.example")
    issued.private_key_pem.write_to_path(host.folder / "server.key")
    issued.cert_chain_pems[0].write_to_path(host.folder / "server.pem")
    authority.cert_pem.write_to_path(host.folder / "ca.pem")
    (host.folder / "web.yml").write_text(
        "tls_server_config: {cert_file: server.pem, key_file: server.key, client_ca_file: ca.pem,"
        " client_auth_type: RequireAndVerifyClientCert}\n"
    )
    host.content["aggregator"]["web_config_file"] = str(host.folder / "web.yml")
    with running(Aggregator(host.configure())):
        code, told = host.part("aggregator")
    assert (code, told["state"]) == (1, "unknown")
    assert "requires a client certificate" in told["notes"][0]


def test_problems_are_read_from_the_store_where_the_port_is_closed_to_us(host: Host) -> None:
    """Without a password the exporter's own problems are known all the same: it keeps them."""
    web_config = host.folder / "web.yml"
    web_config.write_text(f"basic_auth_users: {{scraper: '{HASH}'}}\n")
    host.content["exporter"]["web_config_file"] = str(web_config)
    host.log.unlink()
    with running(Exporter(host.configure())):
        until(lambda: host.part()[1]["problems"] != [])
        assert host.part()[0] == 1


def test_who_writes_a_store(tmp_path: Path) -> None:
    """The writer of a store is its process; a reader, a lock that was left, or none is nobody."""
    path = tmp_path / "events.db"
    assert find_writer(path) is None
    with LocalStore(path, write=True):
        assert find_writer(path) == os.getpid()
    assert find_writer(path) is None
    with LocalStore(path):
        assert find_writer(path) is None


@pytest.mark.parametrize(
    "arguments",
    [
        ("--username", "a"),
        ("--password-file", "/dev/null"),
        ("--username", "a:b", "--password-file", "/dev/null"),
    ],
)
def test_wrong_use(host: Host, arguments: tuple[str, ...]) -> None:
    """A user name without a password, or the other way round, is wrong use."""
    assert host.status(*arguments)[0] == 2


@pytest.mark.parametrize(
    ("listen", "asked"),
    [
        (":9707", "127.0.0.1:9707"),
        ("0.0.0.0:9707", "127.0.0.1:9707"),
        ("[::]:9707", "[::1]:9707"),
        ("192.0.2.7:9707", "192.0.2.7:9707"),
    ],
)
def test_a_part_that_listens_on_all_addresses(listen: str, asked: str) -> None:
    """It is asked on loopback."""
    assert Port(Listen(listen), "").url == f"http://{asked}"
