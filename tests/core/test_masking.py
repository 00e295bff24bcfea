"""A secret that a server says back is in nothing that Heptad shows, whatever form it comes in."""

import base64
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import urlopen

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from heptad.cli.main import main
from heptad.core.influxdb.client import shorten
from heptad.core.telemetry import masking
from heptad.core.telemetry.masking import mask_secrets, remember_secret

TOKEN = "zQ7pLm3-xT9vWb5_kYd2RfHs8"
PASSWORD = "Pf4:uE/y+7 wJ&c1=K%9"
SECRETS = (TOKEN, PASSWORD)
PIECE = 8

Say = Callable[[str], bytes]


def reply(status: str, body: str, *headers: str) -> bytes:
    """An answer of HTTP."""
    data = body.encode()
    series = [f"HTTP/1.1 {status}", f"Content-Length: {len(data)}", "Connection: close", *headers]
    return "\r\n".join([*series, "", ""]).encode("utf-8", "replace") + data


def decode(header: str) -> str:
    """What basic authentication holds."""
    scheme, _, value = header.partition(" ")
    return base64.b64decode(value).decode() if scheme == "Basic" else value


SAID: dict[str, Say] = {
    "as it was sent": lambda sent: reply("401 Unauthorized", json.dumps({"error": f"was {sent}"})),
    "in a message": lambda sent: reply("403 Forbidden", json.dumps({"message": f"not {sent}!"})),
    "as a page": lambda sent: reply("502 Bad Gateway", f"<html><pre>{sent}</pre></html>"),
    "decoded": lambda sent: reply("401 Unauthorized", json.dumps({"error": decode(sent)})),
    "encoded": lambda sent: reply("500 Oops", f"/login?as={quote(decode(sent))}&{quote(sent, '')}"),
    "cut off": lambda sent: reply("401 Unauthorized", f"was {sent[: len(sent) // 2 + 5]}"),
    "far behind": lambda sent: reply("401 Unauthorized", "x" * 485 + " " + sent),
    "wrapped": lambda sent: reply(
        "400 Bad", "\r\n ".join(sent[n : n + 7] for n in range(0, len(sent), 7))
    ),
    "with what is not seen": lambda sent: reply("401 No", "\x00\u200b".join(sent)),
    "in JSON's escapes": lambda sent: reply(
        "401 No", '{"error": "' + "".join(f"\\u{ord(c):04x}" for c in sent) + '"}'
    ),
    "as a place": lambda sent: reply("302 Found", "", f"Location: http://x.example/{quote(sent)}"),
    "as a version": lambda sent: reply("204 No Content", "", f"X-Influxdb-Version: {sent}"),
    "as the status": lambda sent: reply(f"401 {sent}", ""),
    "instead of HTTP": lambda sent: f"{sent}\r\n\r\n".encode(),
    "as an error of a query": lambda sent: reply(
        "200 OK",
        json.dumps({"results": [{"error": f"no rights: {sent}"}]}),
        "X-Influxdb-Version: 1.8.10",
    ),
}


class Echo:
    """A server that says back who asked."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as file:
            sent = "nobody"
            length = 0
            while line := file.readline().strip():
                name, _, value = line.decode("latin-1").partition(": ")
                if name.lower() == "authorization":
                    sent = value
                if name.lower() == "content-length":
                    length = int(value)
            file.read(length)
            client.sendall(self._say(sent))

    def close(self) -> None:
        """Answer nobody any more."""
        self._socket.close()


@pytest.fixture(params=SAID, ids=lambda name: name.replace(" ", "-"))
def echo(request: pytest.FixtureRequest) -> Iterator[Echo]:
    """One for each way to say it."""
    server = Echo(SAID[request.param])
    yield server
    server.close()


def assert_no_secret(told: str) -> None:
    """Not even eight characters of one, however they are written."""
    seen = "".join(letter for letter in told if letter.isprintable() and not letter.isspace())
    forms: list[str] = []
    for secret in SECRETS:
        basic = base64.b64encode(f"heptad:{secret}".encode()).decode()
        forms += [secret.replace(" ", ""), quote(secret, ""), basic]
    for form in forms:
        for start in range(len(form) - PIECE + 1):
            assert form[start : start + PIECE] not in seen, told


def write_config(folder: Path, **influxdb: object) -> Path:
    """A configuration whose log has one event, delivered to ``influxdb``."""
    (folder / "auth.log").write_text(
        "2026-03-01T10:00:00+00:00 web1 sshd[9]: Failed password for root from 203.0.113.5 port 5 ssh2\n"
    )
    path = folder / "heptad.yaml"
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    source = {"type": "file", "name": "auth", "paths": [str(folder / "auth.log")]}
    path.write_text(
        yaml.safe_dump(
            {
                "store": {"path": str(folder / "events.db")},
                "aggregator": {"store": {"path": str(folder / "reports.db")}},
                "exporter": {"listen": listen},
                "sources": [source],
                "influxdb": {"timeout": "2s", **influxdb},
            }
        )
    )
    return path


LOGINS: list[dict[str, object]] = [
    {"version": "2", "org": "o", "token": TOKEN},
    {"version": "3", "token": TOKEN},
    {"version": "1", "username": "heptad", "password": PASSWORD},
    {"version": "auto", "username": "heptad", "password": PASSWORD},
]


@pytest.mark.table
@pytest.mark.parametrize("login", LOGINS, ids=["token", "bearer", "basic", "auto"])
def test_commands_that_ask_influxdb(
    echo: Echo, login: dict[str, object], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """check, setup, events and report tell what the server said, without the secret in it."""
    config = str(write_config(tmp_path, url=echo.url, **login))
    for command in (["influxdb", "check"], ["influxdb", "setup"], ["events"], ["report"]):
        main([*command, "--config", config])
        told = "".join(capfd.readouterr())
        assert told
        assert_no_secret(told)


def test_grafana_push(echo: Echo, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The same of Grafana's token, and of the secrets that are to be put there."""
    for name, secret in (("token", TOKEN), ("password", PASSWORD)):
        (tmp_path / name).write_text(secret)
    arguments = ["--prometheus-url", "http://127.0.0.1:9", "--prometheus-user", "heptad"]
    arguments += ["--prometheus-password-file", str(tmp_path / "password")]
    arguments += ["--token-file", str(tmp_path / "token"), "--url", echo.url]
    assert main(["grafana", "push", *arguments]) == 1
    assert_no_secret("".join(capfd.readouterr()))


def test_what_an_exporter_logs_and_shows(tmp_path: Path) -> None:
    """Nor is it in the log or on /healthz of an exporter that the server refuses."""
    for number, login in enumerate(LOGINS[::2]):
        folder = tmp_path / str(number)
        folder.mkdir()
        echo = Echo(SAID["as it was sent"])
        config = write_config(folder, url=echo.url, **login)
        log = folder / "log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "heptad", "exporter", "--config", str(config)], stderr=file
            )
        listen = yaml.safe_load(config.read_text())["exporter"]["listen"]
        try:
            told = await_problem(f"http://{listen}/healthz")
        finally:
            process.terminate()
            process.wait(30)
            echo.close()
        assert "status 401" in told
        assert "status 401" in log.read_text()
        assert_no_secret(told + log.read_text())


def await_problem(url: str) -> str:
    """What /healthz says, once it says that the server refuses."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            urlopen(url, timeout=5).close()  # noqa: S310 - http to this host
        except HTTPError as error:
            told = error.read().decode()
            if "status 401" in told:
                return told
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError("the exporter has no problem")


@given(
    st.text(
        st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="=\\"),
        min_size=PIECE,
        max_size=40,
    ),
    st.text(max_size=600),
    st.sampled_from(["", "\n", " ", "\x00", "\u200b", "\r\n\t"]),
    st.integers(0, 40),
)
def test_no_piece_is_left(secret: str, before: str, between: str, cut: int) -> None:
    """Whatever stands before it or between its letters, and wherever it is cut."""
    masking._secrets.clear()  # noqa: SLF001 - a hundred that change take long to look for
    remember_secret(secret)
    said = shorten(before + between.join(secret)[: cut or None])
    seen = said.replace(" ", "")
    compact = before.replace(" ", "")
    for start in range(len(secret) - PIECE + 1):
        piece = secret[start : start + PIECE]
        assert piece not in seen or piece in compact


def test_other_words_stay() -> None:
    """What holds no secret is shown as it is; a short password is masked where it stands whole."""
    text = "database not found: events; see the log of influxd"
    remember_secret(TOKEN)
    remember_secret("hunter", "heptad")
    assert mask_secrets(text) == text
    assert mask_secrets("password hunter refused") == "password … refused"


@pytest.mark.long
def test_renewed_secrets() -> None:
    """Of a token that is renewed again and again the last ones are remembered, and no more."""
    for number in range(1000):
        remember_secret(f"{number:012}-token")
    assert mask_secrets("000000000999-token") == "…"
    assert sum(map(len, masking._current[0].pieces.values())) < 50_000  # noqa: SLF001
