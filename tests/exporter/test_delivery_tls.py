"""TLS to InfluxDB that fails: each failure names its remedy, and nothing is lost by any.

nginx speaks TLS before a real InfluxDB. A server that asks for a client certificate by TLS alone,
as Go's do and nginx does not, is Python's.
"""

import contextlib
import datetime
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from heptad.core.config.influxdb import InfluxConfig, InfluxTlsConfig
from heptad.core.influxdb.client import InfluxConnection, Unreachable
from heptad.core.influxdb.write import InfluxSink
from heptad.core.sink import Retry
from heptad.core.store.point import Row
from heptad.core.store.sqlite import LocalStore
from heptad.exporter.delivery.circuit_breaker import CircuitBreaker
from heptad.exporter.delivery.forwarder import Forwarder, Limits
from heptad.exporter.delivery.heartbeat import HeartbeatSender
from heptad.exporter.metrics import ExporterMetrics
from tests.exporter.test_forwarder import KEY, Patient
from tests.support.influxdb import Daemon, Influxd, Nginx
from tests.support.scripted_server import ScriptedServer

NOW = 1_790_000_000 * 10**9
TLS = """
listen 127.0.0.1:{port} ssl;
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.key;
        {more}
"""
ASKS = "ssl_client_certificate {folder}/ca.pem; ssl_verify_client on;"


class TlsNginx(Nginx):
    """nginx with TLS; ``more`` are lines of its configuration. ``wait`` asks for no answer."""

    def __init__(self, folder: Path, upstream: str, more: str = "") -> None:
        super().__init__(folder, upstream)
        self.url = f"https://localhost:{self.port}"
        self.configure(more)

    def configure(self, more: str, *, tls: bool = True) -> None:
        """Listen so from the next start on."""
        path = self.folder / "nginx.conf"
        plain = f"listen 127.0.0.1:{self.port};"
        known = path.with_name("plain.conf")
        text = known.read_text() if known.exists() else path.read_text()
        known.write_text(text)
        listen = TLS.format(port=self.port, folder=self.folder, more=more)
        path.write_text(text.replace(plain, listen) if tls else text)

    def _answers(self, path: str) -> bool:
        del path
        return listens(self)


class TlsInfluxd(Influxd):
    """influxd with TLS."""

    def _answers(self, path: str) -> bool:
        del path
        return listens(self)


def listens(server: Daemon) -> bool:
    """Whether it takes connections."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.port), 5):
        return True
    return False


class World:
    """A host that delivers over TLS, the server, and who signs its certificates."""

    def __init__(self, folder: Path, influxd: Influxd) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.influxd = influxd
        self.certify(self.authority.issue_cert("localhost"))
        self.authority.cert_pem.write_to_path(folder / "ca.pem")
        self.nginx = TlsNginx(folder, influxd.url)
        self.tls = InfluxTlsConfig(ca_file=str(folder / "ca.pem"))
        self.url = self.nginx.url

    def certify(self, issued: trustme.LeafCert) -> None:
        """The server's certificate from its next start on."""
        issued.private_key_pem.write_to_path(self.folder / "server.key")
        issued.cert_chain_pems[0].write_to_path(self.folder / "server.pem")

    def identify(self, authority: trustme.CA) -> None:
        """A certificate of this host's, in the files that are configured."""
        issued = authority.issue_cert("gate")
        issued.private_key_pem.write_to_path(self.folder / "own.key")
        issued.cert_chain_pems[0].write_to_path(self.folder / "own.pem")
        self.tls.cert_file = str(self.folder / "own.pem")
        self.tls.key_file = str(self.folder / "own.key")

    def restart(self) -> None:
        """With what is configured now."""
        self.nginx.kill()
        self.nginx.start()


@pytest.fixture
def world(tmp_path: Path, influxd: Influxd) -> Iterator[World]:
    """A world whose server does not run yet."""
    influxd.create("events", "heptad")
    world = World(tmp_path, influxd)
    yield world
    world.nginx.kill()
    influxd.drop("events", "heptad")


class Mending(Patient):
    """A stop that no wait takes time of, and that mends what is wrong at the third."""

    def __init__(self, mend: Callable[[], None]) -> None:
        super().__init__()
        self.problems: list[str] = []
        self.forwarder: Forwarder | None = None
        self._mend = mend

    def wait(self, timeout: float | None = None) -> bool:
        """At once."""
        assert self.forwarder is not None
        self.problems += self.forwarder.problems()
        if len(self.waits) == 2:
            self._mend()
        assert len(self.waits) < 10, self.problems
        return super().wait(timeout)


def deliver(world: World, mend: Callable[[], None]) -> str:
    """Deliver a hundred points over what is mended meanwhile; the problem that was told before."""
    stop = Mending(mend)
    config = InfluxConfig(world.url, tls=world.tls, version=2)
    connection = InfluxConnection(config)
    path = world.folder / "events.db"
    with LocalStore(path, write=True, outbox=True) as store, contextlib.closing(connection):
        store.append(
            [Row("events,host=gate", NOW, f'count=1i,user="u{n}"', "") for n in range(100)]
        )
        metrics = ExporterMetrics({}, [])
        sinks = [InfluxSink(connection, bucket) for bucket in ("events", "heptad")]
        heartbeat = HeartbeatSender(
            sinks[1], "gate", "m" * 32, KEY, lambda: 0.0, lambda: False, lambda: NOW
        )
        limits = Limits(0, 7, retention=10**9)
        stop.forwarder = Forwarder(
            store, sinks[0], heartbeat, metrics, limits, CircuitBreaker(metrics), lambda: NOW
        )
        while stop.forwarder.step(stop):
            pass
        assert stop.forwarder.problems() == []
        stop.forwarder.close()
    assert len(stop.waits) == 3
    rows = world.influxd.rows('SELECT "user" FROM events', "events")
    assert sorted(row["user"] for row in rows) == sorted(f"u{n}" for n in range(100))
    told = set(stop.problems)
    assert len(told) == 1, told
    return told.pop()


def past() -> datetime.datetime:
    """A time at which a certificate ended."""
    return datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)


class SelfSigned:
    """A certificate that signs itself, in the place of one that an authority signed."""

    def __init__(self) -> None:
        authority = trustme.CA()
        self.private_key_pem = authority.private_key_pem
        self.cert_chain_pems = [authority.cert_pem]


@pytest.mark.parametrize(
    ("issue", "said", "remedy"),
    [
        (lambda _: trustme.CA().issue_cert("localhost"), "local issuer", "influxdb.tls.ca_file"),
        (lambda _: SelfSigned(), "self-signed", "influxdb.tls.ca_file"),
        (
            lambda own: own.issue_cert("localhost", not_after=past()),
            "certificate has expired",
            "renew the server's certificate",
        ),
        (
            lambda own: own.issue_cert("elsewhere.example"),
            "Hostname mismatch",
            "a host name in `influxdb.url` that is in the server's certificate",
        ),
    ],
)
def test_a_server_with_a_wrong_certificate(
    world: World, issue: Callable[[trustme.CA], Any], said: str, remedy: str
) -> None:
    """A server that is not the one is given nothing; once it has another certificate, all."""
    right = world.authority.issue_cert("localhost")
    world.certify(issue(world.authority))
    world.nginx.start()

    def mend() -> None:
        world.certify(right)
        world.restart()

    problem = deliver(world, mend)
    assert "TLS error" in problem
    assert said in problem
    assert remedy in problem


def test_a_wrong_authority_is_replaced(world: World) -> None:
    """Another `tls.ca_file` is used as soon as it is there, without a restart."""
    right = (world.folder / "ca.pem").read_bytes()
    trustme.CA().cert_pem.write_to_path(world.folder / "ca.pem")
    world.nginx.start()

    def mend() -> None:
        (world.folder / "ca.pem").write_bytes(right)

    problem = deliver(world, mend)
    assert "local issuer" in problem
    assert "influxdb.tls.ca_file" in problem


def test_a_broken_authority_file(world: World) -> None:
    """A file that is no PEM refuses the start; one that becomes it is told, and mended."""
    path = world.folder / "ca.pem"
    right = path.read_bytes()
    path.write_text("no certificate")
    with pytest.raises(Unreachable, match=r"ca\.pem.*PEM"):
        InfluxConnection(InfluxConfig(world.url, tls=world.tls))
    path.write_bytes(right)
    world.nginx.start()
    connection = InfluxConnection(InfluxConfig(world.url, tls=world.tls))
    assert connection.generation == 1
    path.write_text("no certificate any more")
    sink = InfluxSink(connection, "events")
    outcome = sink.deliver(sink.encode(["events count=1i 1"]))
    assert isinstance(outcome, Retry)
    assert "check that they are PEM files" in outcome.reason
    path.write_bytes(right)
    assert connection.ask_version().startswith("1.")
    connection.close()


def test_no_client_certificate(world: World) -> None:
    """Where nginx asks for one by a page, the keys are named; with it, all is delivered."""
    world.nginx.configure(ASKS.format(folder=world.folder))
    world.nginx.start()

    def mend() -> None:
        world.identify(world.authority)  # as SIGHUP reads the configuration again

    problem = deliver(world, mend)
    assert "No required SSL certificate" in problem
    assert "`influxdb.tls.cert_file` and `key_file`" in problem


def test_a_refused_client_certificate(world: World) -> None:
    """One that another authority signed is refused; a renewed one is used without a restart."""
    world.identify(trustme.CA())
    world.nginx.configure(ASKS.format(folder=world.folder))
    world.nginx.start()
    problem = deliver(world, lambda: world.identify(world.authority))
    assert "SSL certificate error" in problem
    assert "`influxdb.tls.cert_file` and `key_file`" in problem


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("signed", [False, True])
def test_a_client_certificate_that_tls_itself_asks_for(
    world: World, version: ssl.TLSVersion, *, signed: bool
) -> None:
    """A server that ends the connection with an alert is understood too."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(world.folder / "server.pem", world.folder / "server.key")
    context.load_verify_locations(world.folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = version
    if signed:
        world.identify(trustme.CA())
    server = ScriptedServer(lambda _: (204, None), {"X-Influxdb-Version": "1.8.10"}, tls=context)
    url = server.url.replace("127.0.0.1", "localhost")
    with (
        server.serving(),
        contextlib.closing(InfluxConnection(InfluxConfig(url, tls=world.tls))) as it,
    ):
        # 1.3 asks after the handshake: what is sent meanwhile may be answered by a reset alone
        reset = "" if version == ssl.TLSVersion.TLSv1_2 else "|reset by peer"
        with pytest.raises(Unreachable, match=rf"TLS error: .*`influxdb\.tls\.cert_file`{reset}"):
            it.ask_version()
        assert not server.asked
        world.identify(world.authority)
        assert it.ask_version() == "1.8.10"


def test_http_on_a_port_of_tls(world: World) -> None:
    """An answer without TLS where TLS is asked for, as from a proxy that lost its certificate."""
    world.nginx.configure("", tls=False)
    world.nginx.start()

    def mend() -> None:
        world.nginx.configure("")
        world.restart()

    problem = deliver(world, mend)
    assert "TLS error" in problem
    assert "write http://" in problem


def test_tls_on_a_port_of_http(world: World) -> None:
    """http:// to a server that speaks TLS gets nginx's page; the scheme is what is wrong."""
    world.nginx.start()
    world.url = world.nginx.url.replace("https:", "http:")

    def mend() -> None:
        world.nginx.configure("", tls=False)
        world.restart()

    problem = deliver(world, mend)
    assert "write https://" in problem


def test_influxd_speaks_tls_itself(tmp_path: Path) -> None:
    """A real 1.x with a certificate of its own, by its own name and by http:// to its port."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    secure = f'https-enabled = true\nhttps-certificate = "{tmp_path}/both.pem"'
    server = TlsInfluxd(tmp_path / "influxd", http=secure)
    server.start()
    try:
        url = f"https://localhost:{server.port}"
        tls = InfluxTlsConfig(ca_file=str(tmp_path / "ca.pem"))
        with contextlib.closing(InfluxConnection(InfluxConfig(url, tls=tls))) as connection:
            assert connection.generation == 1
        with (
            contextlib.closing(InfluxConnection(InfluxConfig(server.url))) as connection,
            pytest.raises(Unreachable, match="write https://"),
        ):
            connection.ask_version()
    finally:
        server.kill()
