"""heptad events and report on a host whose exporter may only write to InfluxDB."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from heptad.core.influxdb.statement import execute
from tests.cli.test_command_line import heptad
from tests.support.influxdb import Influxd, connect, running

ADMIN = {"username": "admin", "password": "secret"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Influxd]:
    """influxd with authentication and an administrator."""
    with running(Influxd(tmp_path / "influxd", http="auth-enabled = true")) as influxd:
        with connect(influxd.url) as connection:
            execute(connection, "CREATE USER admin WITH PASSWORD 'secret' WITH ALL PRIVILEGES")
        yield influxd


@pytest.fixture
def configure(tmp_path: Path, server: Influxd) -> Callable[..., Path]:
    """Writes a configuration with these keys of ``influxdb`` and gives its path."""

    def write(**keys: str) -> Path:
        (tmp_path / "auth.log").touch()
        content = {
            "host": "gate",
            "store": {"path": str(tmp_path / "events.db")},
            "sources": [{"type": "file", "name": "auth", "paths": [str(tmp_path / "auth.log")]}],
            "aggregator": {"store": {"path": str(tmp_path / "reports.db")}},
            "influxdb": {"url": server.url, **keys},
        }
        path = tmp_path / "heptad.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


def test_a_host_reads_its_own_store(configure: Callable[..., Path], tmp_path: Path) -> None:
    """Without the right to read the commands name `--local`, and with it show this host."""
    secrets = tmp_path / "secrets"
    done = heptad("influxdb", "setup", "--secrets-to", secrets, "--config", configure(**ADMIN))
    assert done.returncode == 0, done.stderr
    password = str(secrets / "exporter.password")
    config = configure(username="heptad_exporter", password_file=password)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))
    with (tmp_path / "auth.log").open("a") as log:
        log.write(f"{stamp} gate sshd[1]: Failed password for ann from 192.0.2.1 port 2 ssh2\n")
    done = heptad("exporter", "--once", "--config", config)
    assert done.returncode == 0, done.stderr
    for command in ("events", "report"):
        done = heptad(command, "--config", config)
        assert done.returncode == 1
        assert "status 403" in done.stderr
        assert done.stderr.count("--local") == 1
    done = heptad("events", "--local", "--format", "jsonl", "--config", config)
    assert [json.loads(line)["user"] for line in done.stdout.splitlines()] == ["ann"]
    done = heptad("report", "--local", "--format", "json", "--config", config)
    assert json.loads(done.stdout)["total"] == 1


def test_a_server_that_is_away(configure: Callable[..., Path], server: Influxd) -> None:
    """Where InfluxDB does not answer, `--local` is named too."""
    config = configure()
    server.stop()
    done = heptad("events", "--config", config)
    assert done.returncode == 1
    assert "Connection refused" in done.stderr
    assert "--local" in done.stderr
    assert "may only write" not in done.stderr


def test_a_secret_that_cannot_be_read(configure: Callable[..., Path]) -> None:
    """A token file that is not there is told, and nothing about rights."""
    done = heptad("events", "--config", configure(version="2", token_file="/nonexistent/token"))
    assert done.returncode == 1
    assert "/nonexistent/token: No such file" in done.stderr
    assert "--local" not in done.stderr
