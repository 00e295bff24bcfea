"""TLS and basic auth of a port: who gets in, who does not, and what it costs."""

import base64
import http.client
import json
import logging
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import bcrypt
import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge

from heptad.cli import sample
from heptad.core.config.schema import Config, load_config
from heptad.core.config.strict_yaml import DocumentError
from heptad.core.config.types import Listen
from heptad.core.config.web import load_web_config
from heptad.core.http.auth import Credentials
from heptad.core.http.server import Server
from tests.support import needs

PASSWORD = "correct horse"
HASH = bcrypt.hashpw(PASSWORD.encode(), b"$2b$04$" + b"abcdefghijklmnopqrstuu").decode()
USERS = f"basic_auth_users:\n  scraper: '{HASH}'\n"
TLS = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs the certificates of these tests."""
    return trustme.CA()


@pytest.fixture
def folder(tmp_path: Path, authority: trustme.CA) -> Path:
    """A folder with a certificate for 127.0.0.1, its key, and the authority's certificate."""
    certify(authority, tmp_path)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path


def certify(authority: trustme.CA, folder: Path) -> None:
    """Put a new certificate of the server into ``folder``."""
    issued = authority.issue_cert("127.0.0.1", "localhost")
    issued.private_key_pem.write_to_path(folder / "server.key")
    issued.cert_chain_pems[0].write_to_path(folder / "server.pem")


@pytest.fixture
def serve(folder: Path) -> Iterator[Callable[[str], Server]]:
    """Starts a server with a web-config file of this text."""
    servers = []

    def start(text: str) -> Server:
        path = folder / "web-config.yml"
        path.write_text(text)
        registry = CollectorRegistry()
        Gauge("test_gauge", "A gauge", registry=registry).set(7)
        server = Server(("127.0.0.1", 0), registry, list, web_config=str(path))
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.close()


def ask(
    server: Server, login: str | None = None, context: ssl.SSLContext | None = None
) -> tuple[int, bytes]:
    """Status and body of /metrics."""
    url = urlsplit(server.url)
    address = (url.hostname or "", url.port)
    headers = {}
    if login is not None:
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    connection = (
        http.client.HTTPSConnection(*address, timeout=10, context=context)
        if context
        else http.client.HTTPConnection(*address, timeout=10)
    )
    with closing(connection):
        connection.request("GET", "/metrics", headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def trust(folder: Path) -> ssl.SSLContext:
    """A client that believes in the authority."""
    return ssl.create_default_context(cafile=str(folder / "ca.pem"))


def test_basic_auth(serve: Callable[[str], Server]) -> None:
    """The right user with the right password gets in; all others get 401 and the challenge."""
    server = serve(USERS)
    assert ask(server, f"scraper:{PASSWORD}")[0] == 200
    for login in (None, "scraper:wrong", "scraper:", ":", "other:" + PASSWORD, "scraper"):
        status, body = ask(server, login)
        assert (status, b"test_gauge" in body) == (401, False)


def test_every_path_is_guarded(serve: Callable[[str], Server]) -> None:
    """Without a password there is nothing to be had, whatever the path and method."""
    url = urlsplit(serve(USERS).url)
    for method, path in (("GET", "/healthz"), ("GET", "/"), ("HEAD", "/metrics"), ("POST", "/x")):
        with closing(http.client.HTTPConnection(url.hostname or "", url.port)) as connection:
            connection.request(method, path)
            answer = connection.getresponse()
            assert answer.status == 401
            assert (answer.getheader("WWW-Authenticate") or "").startswith("Basic realm=")


def test_bcrypt_runs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was verified once costs no bcrypt run again; what is wrong is never remembered."""
    runs: list[bytes] = []
    check = bcrypt.checkpw

    def count(password: bytes, hashed: bytes) -> bool:
        runs.append(password)
        return check(password, hashed)

    monkeypatch.setattr("bcrypt.checkpw", count)
    credentials = Credentials({"scraper": HASH})
    assert {credentials.verify(basic("scraper", PASSWORD)) for _ in range(50)} == {"admitted"}
    assert len(runs) == 1
    assert credentials.recall(basic("scraper", PASSWORD)) == "admitted"
    assert {credentials.verify(basic("scraper", "wrong")) for _ in range(3)} == {"refused"}
    assert credentials.verify(basic("nobody", PASSWORD)) == "refused"
    assert credentials.recall(basic("scraper", "wrong")) is None
    assert len(runs) == 5


def basic(user: str, password: str) -> str:
    """The header."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def test_few_bcrypt_runs_at_once(
    serve: Callable[[str], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many wrong passwords at once run bcrypt twice at a time; who was verified never waits."""
    go, running = threading.Event(), list[bytes]()

    def hang(password: bytes, _: bytes) -> bool:
        running.append(password)
        return not go.wait(30)

    server = serve(USERS)
    assert ask(server, f"scraper:{PASSWORD}")[0] == 200
    monkeypatch.setattr("bcrypt.checkpw", hang)
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(ask(server, "scraper:x")[0]))
        for _ in range(40)
    ]
    for thread in threads:
        thread.start()
    for _ in range(1000):
        if len(answers) == 38:  # 22 for which there was no room, and 16 that waited in vain
            break
        threading.Event().wait(0.01)
    assert ask(server, f"scraper:{PASSWORD}")[0] == 200
    go.set()
    for thread in threads:
        thread.join(10)
    assert (len(running), sorted(answers)) == (2, [401] * 2 + [503] * 38)


@pytest.mark.parametrize("user", ["cheap", "middle", "dear", "nobody"])
def test_every_wrong_password_costs_the_same(user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is no user's costs bcrypt as much as one that is, also where costs differ."""
    spent: list[int] = []
    check = bcrypt.checkpw

    def count(password: bytes, hashed: bytes) -> bool:
        spent.append(2 ** int(hashed[4:6]))
        return check(password, hashed)

    hashes = {
        name: bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(cost)).decode()
        for name, cost in (("cheap", 4), ("middle", 6), ("dear", 8))
    }
    monkeypatch.setattr("bcrypt.checkpw", count)
    credentials = Credentials(hashes)
    assert credentials.verify(basic(user, "wrong")) == "refused"
    assert sum(spent) == 2**8
    spent.clear()
    verdict = credentials.verify(basic(user, PASSWORD))
    assert (verdict == "admitted") is (user in hashes)
    assert sum(spent) <= 2**8


def test_the_dearest_hash_that_is_allowed(
    serve: Callable[[str], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first right password is answered, however long bcrypt takes for it."""
    monkeypatch.setattr("heptad.core.http.server._DEADLINE", 0.5)
    check = bcrypt.checkpw

    def take_long(password: bytes, hashed: bytes) -> bool:
        threading.Event().wait(1.5)
        return check(password, hashed)

    monkeypatch.setattr("bcrypt.checkpw", take_long)
    assert ask(serve(USERS), f"scraper:{PASSWORD}")[0] == 200


@settings(deadline=None)
@given(st.one_of(st.text(), st.binary().map(lambda b: f"Basic {base64.b64encode(b).decode()}")))
def test_hostile_headers(header: str) -> None:
    """No Authorization header gets in by accident, or raises."""
    assert Credentials({"scraper": HASH}).verify(header) == "refused"


def test_tls(serve: Callable[[str], Server], folder: Path) -> None:
    """With a certificate the port speaks TLS 1.2 and 1.3, and nothing else."""
    server = serve(TLS)
    assert server.url.startswith("https://")
    assert ask(server, context=trust(folder))[0] == 200
    with pytest.raises((OSError, http.client.HTTPException)):
        ask(server)
    with pytest.raises(ssl.SSLError):
        ask(server, context=ssl.create_default_context())
    newer = serve(TLS + "  min_version: TLS13\n")
    old = trust(folder)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert ask(newer, context=trust(folder))[0] == 200
    with pytest.raises(OSError):  # noqa: PT011 - the words are OpenSSL's
        ask(newer, context=old)


def test_silent_clients_block_nobody(serve: Callable[[str], Server], folder: Path) -> None:
    """A client that begins no handshake does not keep others from theirs."""
    server = serve(TLS)
    url = urlsplit(server.url)
    with socket.create_connection((url.hostname or "", url.port or 0)):
        begun = time.monotonic()
        assert ask(server, context=trust(folder))[0] == 200
        assert time.monotonic() - begun < 5


def test_silent_clients_lose_their_places(
    serve: Callable[[str], Server], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients that hold every place and begin no handshake are cut off at the deadline."""
    monkeypatch.setattr("heptad.core.http.server._DEADLINE", 1.0)
    server = serve(TLS)
    url = urlsplit(server.url)
    with ExitStack() as stack:
        for _ in range(16):
            address = (url.hostname or "", url.port or 0)
            stack.enter_context(socket.create_connection(address))
        begun = time.monotonic()
        assert ask(server, context=trust(folder))[0] == 200
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    "words", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/1.0\r\n\r\n"]
)
def test_clients_that_hang_up_in_the_handshake(
    serve: Callable[[str], Server], folder: Path, words: bytes
) -> None:
    """A client that ends before the handshake does, or speaks no TLS, keeps nobody from theirs."""
    server = serve(TLS)
    url = urlsplit(server.url)
    with socket.create_connection((url.hostname or "", url.port or 0), timeout=10) as client:
        client.sendall(words)
        client.shutdown(socket.SHUT_WR)
        while client.recv(1000):
            pass
        assert ask(server, context=trust(folder))[0] == 200


def test_client_certificates(
    serve: Callable[[str], Server], folder: Path, authority: trustme.CA
) -> None:
    """RequireAndVerifyClientCert lets in who has a certificate of that authority, no one else."""
    text = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"
    server = serve(TLS + text)
    known = trust(folder)
    authority.issue_cert("scraper").configure_cert(known)
    assert ask(server, context=known)[0] == 200
    stranger = trust(folder)
    trustme.CA().issue_cert("scraper").configure_cert(stranger)
    for context in (trust(folder), stranger):
        with pytest.raises((OSError, http.client.HTTPException)):
            ask(server, context=context)


def test_files_that_change(
    serve: Callable[[str], Server],
    folder: Path,
    authority: trustme.CA,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A renewed certificate is used at once; a faulty file is refused, and the old one stays."""
    server = serve(TLS + USERS)
    with closing(connect(server, trust(folder))) as connection:
        before = connection.getpeercert(binary_form=True)
    certify(authority, folder)
    with closing(connect(server, trust(folder))) as connection:
        assert connection.getpeercert(binary_form=True) != before
    with caplog.at_level(logging.WARNING):
        (folder / "web-config.yml").write_text("basic_auth_users: {}\n")
        assert ask(server, None, trust(folder))[0] == 401
    assert "restart Heptad" in str([record.__dict__ for record in caplog.records])
    (folder / "web-config.yml").write_text(TLS + USERS.replace("scraper", "other"))
    assert ask(server, f"scraper:{PASSWORD}", trust(folder))[0] == 401
    assert ask(server, f"other:{PASSWORD}", trust(folder))[0] == 200


def connect(server: Server, context: ssl.SSLContext) -> ssl.SSLSocket:
    """A connection with its handshake done."""
    url = urlsplit(server.url)
    raw = socket.create_connection((url.hostname or "", url.port or 0), timeout=10)
    return context.wrap_socket(raw, server_hostname="127.0.0.1")


@pytest.mark.parametrize(
    "text, place, words",
    [
        ("tls_server: {}\n", "1:1", "unknown key; valid keys: basic_auth_users, tls_server_config"),
        (TLS + "  cipher_suites: []\n", "4:", "unknown key; valid keys: cert_file"),
        (TLS + "  min_version: TLS10\n", "4:16", "valid values: TLS12, TLS13"),
        (TLS + "  client_auth_type: RequestClientCert\n", "4:21", "valid values: NoClientCert"),
        (
            TLS + "  client_auth_type: RequireAndVerifyClientCert\n",
            "4:21",
            "requires client_ca_file",
        ),
        (TLS + "  client_ca_file: ca.pem\n", "4:19", "no effect without client_auth_type"),
        (TLS + "  min_version: TLS13\n  max_version: TLS12\n", "4:16", "higher than max_version"),
        (TLS.replace("server.pem", "none.pem"), "2:14", "none.pem cannot be read"),
        (TLS.replace("server.pem", "/dev/zero"), "2:14", "larger than 4194304 bytes"),
        (TLS.replace("server.pem", "server.key"), "2:14", "cannot be used"),
        ("basic_auth_users: {a: secret}\n", "1:", "not a bcrypt hash; `htpasswd -nBC 10 NAME`"),
        (
            f"basic_auth_users: {{a: '{HASH.replace('$04$', '$31$')}'}}\n",
            "1:",
            "the bcrypt cost 31",
        ),
        (f"basic_auth_users: {{'a:b': '{HASH}'}}\n", "1:", "a colon"),
        ("http_server_config: {http2: true}\n", "1:", "unknown key"),
        ("rate_limit: {burst: 1}\n", "1:", "unknown key"),
    ],
)
def test_faulty_files(folder: Path, text: str, place: str, words: str) -> None:
    """What is wrong or not supported is refused with its place and what would be right."""
    path = folder / "web-config.yml"
    path.write_text(text)
    with pytest.raises(DocumentError, match=re.escape(words)) as caught:
        load_web_config(path)
    assert str(caught.value).startswith(f"{path}:{place}")
    assert "secret" not in str(caught.value)
    assert HASH[7:] not in str(caught.value)


def test_what_follows_from_another_fault_is_not_reported(folder: Path) -> None:
    """With a wrong `client_auth_type` nothing is said of the file that it requires."""
    path = folder / "web-config.yml"
    path.write_text(TLS + "  client_auth_type: Always\n  client_ca_file: none.pem\n  colour: x\n")
    with pytest.raises(DocumentError) as caught:
        load_web_config(path)
    places = [problem.place for problem in caught.value.problems]
    assert places == ["4:21", "5:19", "6:11"]
    assert "cannot be read" in caught.value.problems[1].message


def test_the_page_beyond_loopback(folder: Path) -> None:
    """The page is served to others only with TLS or basic auth; /metrics alone needs neither."""
    config, web = folder / "heptad.yaml", folder / "web-config.yml"

    def accepts(more: str, listen: str = "0.0.0.0:9708") -> bool:
        config.write_text(f"aggregator:\n  listen: '{listen}'\n{more}")
        try:
            load_config(config)
        except DocumentError as error:
            assert "the page would be readable from the network" in str(error)  # noqa: PT017 - any of these
            return False
        return True

    assert not accepts("")
    assert not accepts("", "192.0.2.1:9708")
    assert not accepts("", "[::]:9708")
    assert not accepts("", ":9708")
    assert accepts("  page: false\n")
    assert accepts("", "[::1]:9708")
    assert accepts("", "localhost:9708")
    for text, secured in (("", False), (USERS, True), (TLS, True)):
        web.write_text(text)
        assert accepts(f"  web_config_file: {web}\n") is secured


def test_the_sample_is_secured_as_configured(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`heptad up --sample` serves its page no more openly than the configuration says."""
    monkeypatch.setenv("STATE_DIRECTORY", str(folder / "state"))
    web = folder / "web-config.yml"
    web.write_text(USERS)
    config = Config()
    config.aggregator.listen = Listen("0.0.0.0:9708")
    config.aggregator.web_config_file = str(web)
    prepared, _ = sample.prepare(config)
    assert prepared.aggregator.listen == "0.0.0.0:9708"
    assert prepared.aggregator.web_config_file == str(web)


def test_prometheus_scrapes(serve: Callable[[str], Server], folder: Path) -> None:
    """A real Prometheus scrapes through TLS with basic auth, and not with a wrong password."""
    needs.program("prometheus")
    server = serve(TLS + USERS)
    target = urlsplit(server.url).netloc
    jobs = "".join(
        f"""
  - job_name: {name}
    scheme: https
    scrape_interval: 100ms
    scrape_timeout: 100ms
    basic_auth: {{username: scraper, password: {password}}}
    tls_config: {{ca_file: {folder}/ca.pem}}
    static_configs: [{{targets: ['{target}']}}]"""
        for name, password in (("right", PASSWORD), ("wrong", "wrong"))
    )
    (folder / "prometheus.yml").write_text(f"scrape_configs:{jobs}\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["prometheus", f"--config.file={folder}/prometheus.yml"]
    command += [f"--storage.tsdb.path={folder}/tsdb", f"--web.listen-address=127.0.0.1:{port}"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as prometheus:
        try:
            health = wait_for_targets(f"http://127.0.0.1:{port}/api/v1/targets")
        finally:
            prometheus.terminate()
    assert health["right"] == ("up", "")
    assert health["wrong"][0] == "down"
    assert "401" in health["wrong"][1]


def wait_for_targets(url: str) -> dict[str, tuple[str, str]]:
    """The health of Prometheus' targets, once it has asked them."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            with urlopen(url, timeout=5) as answer:  # noqa: S310 - http to this host
                targets = json.load(answer)["data"]["activeTargets"]
        except OSError:
            targets = []
        found = {t["labels"]["job"]: (t["health"], t["lastError"]) for t in targets}
        if len(found) == 2 and all(health != "unknown" for health, _ in found.values()):
            return found
        threading.Event().wait(0.1)
    raise AssertionError("Prometheus has asked nobody")
