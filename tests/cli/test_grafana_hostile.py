"""What is before Grafana, or in its place: pages, redirects, endless answers, no answer, TLS."""

import gzip
import itertools
import socket
import ssl
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heptad.cli.grafana import GrafanaError
from heptad.cli.grafana.client import Grafana, Missing
from heptad.cli.grafana.push import DesiredState, list_datasources, push
from tests.support.effort import tries
from tests.support.faulty_proxy import HANG, HTML, RESET, Fault, FaultyProxy, server
from tests.support.ports import reserve_port
from tests.support.scripted_server import ScriptedServer

__all__ = ["server"]  # fixture

TOKEN = "glsa_secret"
JSON = {"Content-Type": "application/json"}


def judge(message: str) -> None:
    """A message is one short line without secrets, whatever the server said."""
    assert TOKEN not in message
    assert len(message) < 1500
    assert message.isprintable()


def ask(url: str, **options: Any) -> dict[str, Any]:
    """The answer to a small request; what is raised holds no secret."""
    grafana = Grafana(url, TOKEN, **options)
    try:
        return grafana.ask(lambda api: api.folder.get_folder("heptad"))
    except GrafanaError as error:
        judge(str(error))
        raise
    finally:
        grafana.close()


PAGE = b"<!DOCTYPE html><title>Sign in</title>\x1b[2J" + b"x" * 100_000


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (HTML, "not JSON|the response is not from Grafana"),
        (
            Fault(status=200, headers={"Content-Type": "text/html"}, body=PAGE),
            "the response is not",
        ),
        (Fault(status=200, headers=JSON, body=b"<html>"), "not JSON; check that --url"),
        (Fault(status=200, headers=JSON, body=b'"a text"'), "the response is not from Grafana"),
        (Fault(status=200, headers=JSON, body=b"[]"), "the response is not from Grafana"),
        (Fault(status=200, headers=JSON, body=b"null"), "the response is not from Grafana"),
        (Fault(status=200, headers=JSON, body=b"\xff\xfe\x00"), "not JSON"),
        (Fault(status=200, headers=JSON, body=b"[" * 1_000_000), "not JSON"),
        (Fault(status=200, headers=JSON, body=b"1" * 100_000), "not JSON"),
        (Fault(status=204, headers=JSON), "the response is not from Grafana"),
        (
            Fault(status=404, headers={"Content-Type": "text/html"}, body=PAGE),
            "the response is not from Grafana",
        ),
        (Fault(status=502, body=b"<h1>Bad Gateway</h1>"), "502, .*'<h1>Bad.*behind the proxy"),
        (Fault(status=413, body=b"<h1>Too large</h1>"), "413, .*the proxy in front of Grafana"),
        (Fault(status=403, body=PAGE), "403, the response is not from Grafana.*check that --url"),
        (Fault(status=400, headers=JSON, body=b'{"message": ["x"]}'), "status 400"),
        (Fault(status=412, headers=JSON, body=b'{"status": {"a": 1}}'), "run this command again"),
        (
            Fault(status=401, headers=JSON, body=b'{"message": "glsa_secret is wrong"}'),
            "'… is wrong'",
        ),
        (Fault(status=500, headers=JSON, body=b'{"message": "a\\nb\\u001b[2J"}'), "'a b"),
        (
            Fault(status=302, headers={"Location": "https://sso.example.org/"}),
            "redirects to 'https",
        ),
        (Fault(status=307, headers={"Location": "/login\x0b"}), "redirects to '/login"),
        (Fault(status=200, headers={**JSON, "Content-Encoding": "gzip"}, body=b"no"), "check that"),
        (RESET, "reset|aborted|closed"),
    ],
)
def test_whatever_is_not_grafana_is_told_with_a_remedy(
    server: FaultyProxy, fault: Fault, words: str
) -> None:
    """One short printable line, without a secret; a redirect is not followed."""
    server.plan = lambda *_: fault
    with pytest.raises(GrafanaError, match=words) as raised:
        ask(server.url)
    assert not isinstance(raised.value, Missing)
    assert server.requests == 1


def test_only_grafana_itself_says_that_a_thing_is_missing(server: FaultyProxy) -> None:
    """A 404 of its own form is that; a page of somebody else's is none."""
    server.plan = lambda *_: Fault(status=404, headers=JSON, body=b'{"message":"folder not found"}')
    with pytest.raises(Missing):
        ask(server.url)


@pytest.mark.parametrize("fault", [HANG, Fault(trickle=0.05)], ids=["silent", "trickles"])
def test_an_answer_has_an_end(server: FaultyProxy, fault: Fault) -> None:
    """Neither silence nor a byte now and then holds the command for ever."""
    server.plan = lambda *_: fault
    with pytest.raises(GrafanaError, match="timeout"):
        ask(server.url, timeout=0.2)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_huge_answer_is_not_taken_in(server: FaultyProxy, packed: bool) -> None:
    """More than 16 MiB are refused, also where few bytes unfold to them."""
    body = b'{"a":"' + b"x" * 80 * 1024 * 1024 + b'"}'
    headers = {**JSON, "Content-Encoding": "gzip"} if packed else JSON
    sent = gzip.compress(body, 1) if packed else body
    server.plan = lambda *_: Fault(status=200, headers=headers, body=sent)
    tracemalloc.start()
    try:
        with pytest.raises(GrafanaError, match="larger than 16 MiB"):
            ask(server.url, timeout=60)
        assert tracemalloc.get_traced_memory()[1] < 64 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_nobody_there_is_told() -> None:
    """A port that nobody listens on, and a name that there is not."""
    with pytest.raises(GrafanaError, match=r"Connection refused; check that Grafana is running"):
        ask(f"http://127.0.0.1:{reserve_port()}")
    with pytest.raises(GrafanaError, match=r"check that Grafana is running and --url is correct"):
        ask("http://no-such-host.invalid")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("grafana:3000", "is not a URL"),
        ("ftp://grafana", "is not a URL"),
        ("http://", "is not a URL"),
        ("http://g:99999", "is not a URL"),
        ("http://g/?orgId=1", "is not a URL"),
        ("http://g/#x", "is not a URL"),
        ("http://g\r\nX: y", "is not a URL"),
        ("http://[::1", "is not a URL"),
        ("http://ann:secret@g", "must not contain a user name"),
    ],
)
def test_an_address_that_is_none_is_told(url: str, words: str) -> None:
    """And no password in it is repeated."""
    with pytest.raises(GrafanaError, match=words) as raised:
        ask(url)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "ünlike", ""])
def test_a_token_that_is_none_is_told_without_it(token: str) -> None:
    """It cannot be in a header, and an error about the header would repeat it."""
    with pytest.raises(GrafanaError, match="check the file") as raised:
        Grafana("http://g", token)
    assert not token or token not in str(raised.value)


@pytest.mark.parametrize("path", ["", "/", "/grafana", "/a/grafana/"])
def test_a_sub_path_is_kept(path: str) -> None:
    """As Grafana behind a proxy has it (serve_from_sub_path)."""
    with ScriptedServer(lambda _: (200, {"uid": "heptad"})).serving() as server:
        assert ask(server.url + path) == {"uid": "heptad"}
        assert server.asked[0].path == f"{path.rstrip('/')}/api/folders/heptad"


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[ScriptedServer]:
    """A server over TLS, whose authority is in ca.pem."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = ScriptedServer(lambda _: (200, {"uid": "heptad"}), tls=context)
    with server.serving():
        yield server


def test_a_server_is_known_by_its_certificate(secure: ScriptedServer, tmp_path: Path) -> None:
    """Of an authority of one's own, which is named; else nothing is sent."""
    assert ask(secure.url, ca_file=str(tmp_path / "ca.pem")) == {"uid": "heptad"}
    done = len(secure.asked)
    with pytest.raises(GrafanaError, match=r"TLS error: .*check --ca-file"):
        ask(secure.url)
    with pytest.raises(GrafanaError, match=r"check that Grafana is running and --url is correct"):
        ask(secure.url.replace("https", "http"))
    with pytest.raises(GrafanaError, match=r"--ca-file .*no\.pem: No such file"):
        ask(secure.url, ca_file=str(tmp_path / "no.pem"))
    (tmp_path / "bad.pem").write_text("no certificate")
    with pytest.raises(GrafanaError, match=r"--ca-file .*bad\.pem: .*check that it contains"):
        ask(secure.url, ca_file=str(tmp_path / "bad.pem"))
    assert len(secure.asked) == done


PLAIN = [
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n400 Bad",
    b"<html><title>400 Bad Request</title></html>",
]
"""What Go's server and old proxies answer to the first bytes of TLS."""


@pytest.mark.parametrize("said", PLAIN, ids=["go", "bare"])
def test_https_to_a_port_that_speaks_http(said: bytes) -> None:
    """The message says so, and what to write instead; it does not speak of certificates."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            client, _ = listening.accept()
            with client:
                assert client.recv(1) == b"\x16"  # a handshake of TLS
                client.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(GrafanaError, match="the server uses HTTP; write http:// in"):
            ask(f"https://127.0.0.1:{listening.getsockname()[1]}")
        thread.join()


@pytest.mark.parametrize(
    "said",
    [
        b"Client sent an HTTP request to an HTTPS server.\n",
        b"<title>400 The plain HTTP request was sent to HTTPS port</title>",
    ],
    ids=["go", "nginx"],
)
def test_http_to_a_port_that_speaks_https(server: FaultyProxy, said: bytes) -> None:
    """Go's server and nginx answer without TLS; the message says what to write."""
    server.plan = lambda *_: Fault(status=400, headers={"Content-Type": "text/plain"}, body=said)
    with pytest.raises(GrafanaError, match="the server uses HTTPS; write https:// in"):
        ask(server.url)


KEYS = [
    "datasources",
    "type",
    "dashboard",
    "meta",
    "message",
    "status",
    "jsonData",
    "readOnly",
    "folderUid",
    "uid",
]
answers = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner),
    max_leaves=8,
)


@given(st.lists(st.tuples(st.sampled_from([200, 201, 400, 404, 412, 500]), answers), min_size=1))
@settings(max_examples=tries(60), suppress_health_check=[HealthCheck.too_slow])
def test_no_answer_of_a_wrong_type_breaks_it(said: list[tuple[int, Any]]) -> None:
    """Whatever JSON comes with whatever status, the end is an error with a remedy or none."""
    answering = itertools.cycle(said)

    def answer(_: object) -> tuple[int, Any]:
        return next(answering)

    datasource = {"uid": "d", "name": "D", "jsonData": {"a": 1}, "secureJsonData": {"p": "x"}}
    dashboard = {"uid": "b", "title": "B", "panels": [{"id": 1}]}
    with ScriptedServer(answer).serving() as server:
        grafana = Grafana(server.url, TOKEN)
        try:
            list_datasources(grafana)
            list(push(grafana, DesiredState([datasource], [dashboard]), "write"))
        except GrafanaError as error:
            judge(str(error))
        finally:
            grafana.close()


def test_the_environment_adds_no_credentials(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A netrc for the host does not take the place of the token."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ann password other")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with ScriptedServer(lambda _: (200, {})).serving() as server:
        ask(server.url)
        assert server.asked[0].authorization == f"Bearer {TOKEN}"
