"""heptad events and report: what is asked for is what is shown, from SQLite and from InfluxDB."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.cli.test_command_line import heptad
from tests.support.influxdb import Influxd, running

Ask = Callable[..., list[int]]
NOW = int(time.time())


def stamp(minutes: float) -> str:
    """The time so long ago, for an option or a log."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW - 60 * minutes))


def lines() -> str:
    """Ten failed logins of process 1 to 10, one a minute; those of even ones end in a success."""
    text = ""
    for n in range(1, 11):
        host = "web" if n <= 5 else "db"
        word = "Accepted" if n % 2 == 0 else "Failed"
        peer = "2001:db8::a port 2" if n == 10 else "192.0.2.1 port 2"
        text += f"{stamp(11 - n)} {host} sshd[{n}]: {word} password for ann from {peer} ssh2\n"
        text += f"{stamp(11 - n)} {host} sshd[{n}]: Connection closed by {peer}\n"
    return text


@pytest.fixture(params=["sqlite", "influxdb"])
def ask(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ask]:
    """Runs `heptad events` with options, and gives the process ids of the logins shown."""
    (tmp_path / "auth.log").write_text(lines())
    path, hosts = tmp_path / "heptad.yaml", ["web", "db"]
    log = {"type": "file", "name": "auth", "paths": [f"{tmp_path}/auth.log"], "hosts": hosts}
    content = {
        "host": "relay",
        "store": {"path": str(tmp_path / "events.db")},
        "sources": [log],
        "aggregator": {"store": {"path": str(tmp_path / "reports.db")}},
    }

    def run(*options: str) -> list[int]:
        done = heptad("events", "--config", path, "--format", "jsonl", *options)
        assert done.returncode == 0, done.stderr
        events = map(json.loads, done.stdout.splitlines())
        return [event["pid"] for event in events if event["action"] == "login"]

    def begin() -> Ask:
        path.write_text(yaml.safe_dump(content))
        done = heptad("exporter", "--once", "--config", path)
        assert done.returncode == 0, done.stderr
        return run

    if request.param == "sqlite":
        yield begin()
        return
    with running(Influxd(tmp_path / "influxd")) as server:
        content["influxdb"] = {"url": server.url}
        path.write_text(yaml.safe_dump(content))
        done = heptad("influxdb", "setup", "--secrets-to", tmp_path / "s", "--config", path)
        assert done.returncode == 0, done.stderr
        yield begin()


def test_filters(ask: Ask) -> None:
    """Each option leaves out what it says, and together they leave what fits all."""
    assert ask() == list(range(1, 11))
    assert ask("--action", "login") == list(range(1, 11))
    assert ask("--action", "disconnect") == []
    assert ask("--host", "web") == [1, 2, 3, 4, 5]
    assert ask("--host", "relay") == []
    assert ask("--action", "login", "--outcome", "success", "--host", "db") == [6, 8, 10]
    assert ask("--until", "1s", "--since", "30m") == list(range(1, 11))
    assert ask("--until", stamp(5.5), "--since", stamp(8.5)) == [3, 4, 5]
    assert ask("--until", stamp(6)) == [1, 2, 3, 4]
    assert ask("--address", "192.0.2.1") == ask("--address", "192.0.2.77/24") == list(range(1, 10))
    assert ask("--address", "2001:db8::/64") == [10]
    assert ask("--address", "ssh/2") == ask("--address", "198.51.100.0/24") == []
    assert ask("--since", stamp(6)) == [5, 6, 7, 8, 9, 10]


def test_the_newest(ask: Ask) -> None:
    """--limit counts events that fit, takes the newest of them, and shows them in order of time."""
    assert ask("--action", "login", "--limit", "3") == [8, 9, 10]
    assert ask("--action", "login", "--limit", "3", "--until", stamp(3.5)) == [5, 6, 7]
    assert ask("--action", "login", "--outcome", "failure", "--limit", "2") == [7, 9]
    assert ask("--action", "login", "--limit", "1000") == list(range(1, 11))


@pytest.mark.parametrize(
    "options, told",
    [
        (("--action", "logon"), "did you mean login"),
        (("--outcome", "fail"), "did you mean failure"),
        (("--action", "\x1b[2J"), "valid values: "),
        (("--limit", "0"), "between 1 and"),
        (("--until", "2h", "--since", "1h"), "is not before --until 2h"),
        (("--until", "1m", "--follow"), "cannot be combined"),
        (("--since", "2262-01-01T00:00:00Z"), "--since"),
    ],
)
def test_wrong_options(options: tuple[str, ...], told: str, tmp_path: Path) -> None:
    """A word that is not known, or a span that is none, is refused with the remedy."""
    path = tmp_path / "heptad.yaml"
    path.write_text(f"store: {{path: {tmp_path}/events.db}}\n")
    done = heptad("events", "--config", path, *options)
    assert done.returncode == 2
    assert told in done.stderr
    assert "\x1b" not in done.stderr


def test_a_program_without_events(tmp_path: Path) -> None:
    """A program that was mistyped is named beside the one that was meant."""
    (tmp_path / "auth.log").write_text(lines())
    path = tmp_path / "heptad.yaml"
    path.write_text(
        f"store: {{path: {tmp_path}/events.db}}\n"
        f"sources: [{{type: file, name: auth, paths: [{tmp_path}/auth.log]}}]\n"
    )
    assert heptad("exporter", "--once", "--config", path).returncode == 0
    done = heptad("events", "--config", path, "--program", "ssh")
    assert done.returncode == 0
    assert "did you mean sshd" in done.stderr


def test_a_report_until(tmp_path: Path) -> None:
    """A report ends where --until says."""
    (tmp_path / "auth.log").write_text(lines())
    path = tmp_path / "heptad.yaml"
    path.write_text(
        f"store: {{path: {tmp_path}/events.db}}\n"
        f"sources: [{{type: file, name: auth, paths: [{tmp_path}/auth.log]}}]\n"
        f"aggregator: {{store: {{path: {tmp_path}/reports.db}}}}\n"
    )
    assert heptad("exporter", "--once", "--config", path).returncode == 0
    done = heptad("report", "--config", path, "--until", stamp(5.5), "--format", "json")
    report = json.loads(done.stdout)
    assert report["total"] == 10
    assert heptad("report", "--config", path, "--until", "2d").returncode == 2
