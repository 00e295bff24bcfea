"""The HTTP port: what it answers, to whom, and that nobody can hold it up."""

import gzip
import http.client
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from urllib.parse import urlsplit

import pytest
from prometheus_client import CollectorRegistry, Gauge

from heptad.core.config.schema import Config
from heptad.core.config.web import ServerError
from heptad.core.http.server import HttpResponse, Pages, Server


class Port:
    """A running server, and a client for it."""

    def __init__(
        self, listen: tuple[str, int] = ("127.0.0.1", 0), pages: Pages | None = None
    ) -> None:
        self.problems: list[str] = []
        registry = CollectorRegistry()
        Gauge("test_gauge", "A gauge", registry=registry).set(7)
        self.server = Server(listen, registry, lambda: self.problems, pages=pages)
        self.server.start()
        url = urlsplit(self.server.url)
        self.address = (url.hostname or "", url.port or 0)

    def ask(
        self, path: str, method: str = "GET", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer."""
        with closing(http.client.HTTPConnection(*self.address, timeout=10)) as connection:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, headers=named)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()


@pytest.fixture(scope="module")
def port() -> Iterator[Port]:
    """A server on a free port of the loopback."""
    port = Port()
    yield port
    port.server.close()


def test_metrics(port: Port) -> None:
    """/metrics is Prometheus' text format, packed where the scraper says it can unpack."""
    status, headers, body = port.ask("/metrics")
    assert (status, b"test_gauge 7.0\n" in body) == (200, True)
    assert headers["content-type"].startswith("text/plain; version=")
    assert "content-encoding" not in headers
    status, headers, packed = port.ask("/metrics", Accept_Encoding="gzip")
    assert (status, headers["content-encoding"]) == (200, "gzip")
    assert gzip.decompress(packed) == body


def test_health(port: Port) -> None:
    """/healthz is 200 while nothing is wrong, else 503 with a line for each reason."""
    assert port.ask("/healthz")[::2] == (200, b"healthy\n")
    port.problems = ["store: disk full", "source auth: the file does not exist"]
    status, headers, body = port.ask("/healthz")
    assert (status, body.decode().splitlines()) == (503, port.problems)
    assert headers["content-type"] == "text/plain; charset=utf-8"
    port.problems = []
    assert port.ask("/healthz?verbose=1")[0] == 200


def test_other_paths_and_methods(port: Port) -> None:
    """What is not there is 404, what may not be done is 405, and the start page leads on."""
    for path in ("/nope", "/metrics/", "/healthz/x", "/..%2fetc/passwd", "/%00"):
        assert port.ask(path)[0] == 404
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        status, headers, body = port.ask("/metrics", method)
        assert (status, b"GET" in body) == (405, True)
        assert headers["allow"] == "GET, HEAD"
    status, headers, body = port.ask("/")
    assert (status, b"href=metrics" in body) == (200, True)
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz", "/nope"])
def test_head(port: Port, path: str) -> None:
    """HEAD has the headers of GET and no body (RFC 9110, 9.3.2)."""
    with socket.create_connection(port.address, timeout=10) as client:
        client.sendall(f"HEAD {path} HTTP/1.0\r\n\r\n".encode())
        with client.makefile("rb") as file:
            answer = file.read()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == (b"404" if path == "/nope" else b"200")
    assert body == b""


def test_one_connection_for_many_requests(port: Port) -> None:
    """A connection stays open for the next request, as HTTP/1.1 has it."""
    with closing(http.client.HTTPConnection(*port.address, timeout=10)) as connection:
        connection.connect()
        first = connection.sock
        for method, path in (("GET", "/metrics"), ("HEAD", "/"), ("GET", "/nope"), ("PUT", "/")):
            connection.request(method, path)
            answer = connection.getresponse()
            body = answer.read()
            assert bool(body) is (method != "HEAD")
            assert connection.sock is first


@pytest.mark.parametrize(
    "words, status",
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40_000 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", b"405"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000000\r\n\r\nhel", b"405"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"400"),
    ],
)
def test_what_is_not_a_request(port: Port, words: bytes, status: bytes) -> None:
    """What is no HTTP, too large, or has a body is answered with its status, and that is the end."""
    with socket.create_connection(port.address, timeout=10) as client:
        client.sendall(words)
        with suppress(ConnectionResetError), client.makefile("rb") as file:
            assert file.readline().split()[1] == status
            file.read()


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/", "/nope"])
def test_names_that_anybody_can_register(port: Port, path: str) -> None:
    """On loopback a name that leads here from a web page (DNS rebinding) is refused."""
    own = socket.gethostname()
    for name in (
        "127.0.0.1",
        "[::1]",
        "localhost",
        "LOCALHOST.",
        "web-1",
        "host.docker.internal",
        own,
    ):
        for port_part in ("", ":9707"):
            assert port.ask(path, Host=f"{name}{port_part}")[0] != 421, name
    for name in (
        "evil.example",
        "127.0.0.1.evil.example:80",
        "localhost.evil.example",
        "a, localhost",
        f"{own}.evil.example",
    ):
        assert port.ask(path, Host=name)[0] == 421, name
    with socket.create_connection(port.address, timeout=10) as client:
        client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        assert b" 421 " not in client.recv(1000)


@pytest.mark.parametrize(
    "target, host, status",
    [
        ("http://127.0.0.1:9707/healthz", "127.0.0.1", 200),
        ("HTTP://localhost", "127.0.0.1", 200),
        ("http://localhost/nope?a=/healthz", "localhost", 404),
        ("http://evil.example/healthz", "127.0.0.1", 421),
        ("http://127.0.0.1/healthz", "evil.example", 200),
        ("http://localhost@evil.example/healthz", "localhost", 421),
    ],
)
def test_the_absolute_form(port: Port, target: str, host: str, status: int) -> None:
    """A target may be a whole URL, of which the host counts (RFC 9112, 3.2.2)."""
    with socket.create_connection(port.address, timeout=10) as client:
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert client.recv(1000).split()[1] == str(status).encode()


def test_beyond_loopback_any_name_will_do() -> None:
    """A Prometheus that scrapes by a name of DNS is answered."""
    port = Port(("0.0.0.0", 0))  # noqa: S104 - what others can reach
    for name in ("web-1.example.org:9707", "heptad", "192.0.2.7"):
        assert port.ask("/metrics", Host=name)[0] == 200
    port.server.close()


def test_port_in_use(port: Port) -> None:
    """A port that is taken, or cannot be, is told with the remedy."""
    with pytest.raises(
        ServerError, match=r"check whether another Heptad is running.*set another `listen` address"
    ):
        Port(port.address)
    for host, number in (("192.0.2.1", 0), ("127.0.0.1", 70_000), ("no.such.host.invalid", 80)):
        with pytest.raises(ServerError, match=f"cannot listen on {host}:{number}"):
            Port((host, number))


def test_the_port_is_free_again() -> None:
    """A server that was closed, started or not, gives its port back at once."""
    port = Port()
    port.ask("/")
    port.server.close()
    again = Port(port.address)
    assert again.ask("/healthz")[0] == 200
    again.server.close()
    idle = Server(port.address, CollectorRegistry(), list)
    idle.close()


def test_slow_clients_block_nobody(port: Port) -> None:
    """Clients that connect and say nothing, or never end, do not keep others from an answer."""
    with ExitStack() as stack:
        for words in (b"", b"GET /met", b"GET /metrics HTTP/1.1\r\nX: ", b"\0" * 100):
            client = stack.enter_context(socket.create_connection(port.address, timeout=10))
            client.sendall(words)
        begun = time.monotonic()
        assert port.ask("/healthz")[0] == 200
        assert time.monotonic() - begun < 5


class Drip:
    """As many clients as there are places, which send a byte now and then and never end."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._clients = [socket.create_connection(address, timeout=10) for _ in range(16)]
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            for client in self._clients:
                with suppress(OSError):
                    client.send(b"G")
            if self._end.wait(0.1):
                return

    def __enter__(self) -> None:
        """They are there."""

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        for client in self._clients:
            client.close()


def test_dripping_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that send a byte now and then hold their places no longer than the deadline."""
    monkeypatch.setattr("heptad.core.http.server._DEADLINE", 1.0)
    port = Port()
    with Drip(port.address):
        begun = time.monotonic()
        assert port.ask("/healthz")[0] == 200
        assert time.monotonic() - begun < 5
    port.server.close()


def test_closing_while_all_places_are_held() -> None:
    """Clients that hold every place, and others that wait, do not hold up the end."""
    port = Port()
    with Drip(port.address), ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(socket.create_connection(port.address, timeout=10))
        begun = time.monotonic()
        port.server.close()
        assert time.monotonic() - begun < 8
    with pytest.raises(OSError):  # noqa: PT011 - refused or reset
        port.ask("/healthz")


def test_threads_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request for which there is no thread is told to come again, and gives its place back."""
    port = Port()
    with monkeypatch.context() as patch:
        patch.setattr("threading.Thread.start", refuse_thread)
        for path in ("/healthz", "/") * 20:
            status, headers, _ = port.ask(path)
            assert (status, headers["retry-after"]) == (503, "2")
    assert port.ask("/healthz")[0] == 200
    assert port.ask("/")[0] == 200
    port.server.close()


def refuse_thread(thread: threading.Thread) -> None:
    """What Python says where the system has no more threads."""
    raise RuntimeError("can't start new thread")


def test_clients_that_leave(port: Port, capfd: pytest.CaptureFixture[str]) -> None:
    """A client that is gone before its answer, or speaks nonsense, leaves no trace on stderr."""
    for words in (
        b"GET /metrics HTTP/1.0\r\n\r\n",
        b"\x16\x03\x01\r\n\r\n",
        b"GET\r\n\r\n",
        b"\r\n",
    ):
        with socket.create_connection(port.address, timeout=10) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.sendall(words)
    assert port.ask("/healthz")[0] == 200
    assert capfd.readouterr().err == ""


def test_pages_that_take_long() -> None:
    """However many page requests hang: scrapes are answered, and further requests told to wait."""
    go = threading.Event()

    def hang(_: Mapping[str, str]) -> HttpResponse:
        go.wait(30)
        return HttpResponse("200 OK", b"done")

    port = Port(pages=hang)
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(port.ask("/api/events")[0]))
        for _ in range(60)
    ]
    for thread in threads:
        thread.start()
    for _ in range(1000):
        if len(answers) >= 44:  # 28 for which there was no room, and 16 that waited in vain
            break
        threading.Event().wait(0.01)
    begun = time.monotonic()
    assert port.ask("/metrics")[0] == 200
    assert port.ask("/healthz")[0] == 200
    assert time.monotonic() - begun < 1
    go.set()
    for thread in threads:
        thread.join(20)
    assert sorted(answers) == [200] * 16 + [503] * 44
    port.server.close()


def test_a_page_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """A request that ends in a fault is answered with 500, the fault is in the log, and all goes on."""

    def fail(_: Mapping[str, str]) -> HttpResponse:
        raise ZeroDivisionError("a fault")

    port = Port(pages=fail)
    assert port.ask("/api/events")[0] == 500
    assert "ZeroDivisionError: a fault" in caplog.text
    assert port.ask("/metrics")[0] == 200
    port.server.close()


def test_answers_that_are_not_read() -> None:
    """Clients that do not read a large answer hold no more than the bound, and hold up nobody."""
    port = Port(pages=lambda _: HttpResponse("200 OK", b"x" * 4 * 2**20))
    with ExitStack() as stack:
        for _ in range(60):
            client = stack.enter_context(socket.create_connection(port.address, timeout=10))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        begun = time.monotonic()
        assert len(port.ask("/large")[2]) == 4 * 2**20
        assert port.ask("/metrics")[0] == 200
        assert time.monotonic() - begun < 5
    port.server.close()


def test_many_at_once(port: Port) -> None:
    """Forty scrapes at once are all answered."""
    answers: list[int] = []
    scrapes = [
        threading.Thread(target=lambda: answers.append(port.ask("/metrics")[0])) for _ in range(40)
    ]
    for scrape in scrapes:
        scrape.start()
    for scrape in scrapes:
        scrape.join(timeout=20)
    assert answers == [200] * 40


def test_many_that_connect_before_they_ask() -> None:
    """Sixty clients are all answered, though each has only connected when the last one does."""
    server = Server(("127.0.0.1", 0), CollectorRegistry(), list)
    address = (urlsplit(server.url).hostname or "", urlsplit(server.url).port or 0)
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(address, timeout=20)) for _ in range(60)
        ]
        server.start()  # what connected before comes in together
        stack.callback(server.close)
        # the last one first: its answer shows that all have come in
        for client in reversed(clients):
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 200"


def test_ipv6() -> None:
    """It listens on IPv6 where told so, and says where."""
    try:
        port = Port(("::1", 0))
    except ServerError:
        pytest.skip("this host has no IPv6 loopback")
    assert port.server.url.startswith("http://[::1]:")
    assert port.ask("/healthz")[0] == 200
    port.server.close()


@pytest.mark.parametrize(
    ("host", "reached"),
    [
        ("", {"127.0.0.1", "::1"}),
        ("::", {"127.0.0.1", "::1"}),
        ("0.0.0.0", {"127.0.0.1"}),  # noqa: S104 - what is tested
        ("127.0.0.1", {"127.0.0.1"}),
    ],
)
def test_all_addresses(host: str, reached: set[str]) -> None:
    """Without a host, and at `::`, it listens on IPv4 and IPv6, as exporters of Prometheus do."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("this host has no IPv6")
    port = Port((host, 0))
    answered = set()
    for own in ("127.0.0.1", "::1"):
        port.address = (own, port.address[1])
        with suppress(ConnectionRefusedError):
            answered |= {own} if port.ask("/healthz")[0] == 200 else set()
    port.server.close()
    assert answered == reached


def test_all_addresses_of_a_host_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without IPv6, all addresses are those of IPv4."""
    monkeypatch.setattr("socket.has_dualstack_ipv6", lambda: False)
    port = Port(("", 0))
    assert port.server.url.startswith("http://0.0.0.0:")
    assert port.ask("/healthz")[0] == 200
    port.server.close()


def test_loopback_is_the_default() -> None:
    """Unless the configuration says otherwise, nobody else can connect."""
    for part in (Config().exporter, Config().aggregator):
        assert part.listen.host == "127.0.0.1"
