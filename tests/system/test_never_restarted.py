"""A problem on /healthz is for people: nothing that ships restarts a service because of it."""

import configparser
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml

from heptad.core.config.schema import load_config
from heptad.exporter.app import Exporter

ROOT = Path(__file__).resolve().parents[2]
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
HEPTAD = sorted(name for name in SERVICES if name in ("exporter", "aggregator"))
UNITS = sorted((ROOT / "provisioning/systemd").glob("*.service"))


@pytest.mark.parametrize("name", HEPTAD)
def test_compose_restarts_what_ended_only(name: str) -> None:
    """Compose itself restarts no unhealthy container; nothing here asks somebody else to do it."""
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert "deploy" not in service  # of a swarm, which replaces unhealthy tasks
    assert "autoheal" not in str(service.get("labels", ""))
    for other in SERVICES.values():
        needed = other.get("depends_on", {})
        conditions = needed.get(name, {}) if isinstance(needed, dict) else {}
        assert conditions.get("condition") != "service_healthy"
        assert not conditions.get("restart")
    assert not any("autoheal" in other.get("image", "") for other in SERVICES.values())


def test_the_image_has_no_health_check() -> None:
    """An orchestrator that restarts unhealthy containers finds no check in the image."""
    assert "HEALTHCHECK" not in (ROOT / "Dockerfile").read_text().upper()


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_restarts_what_failed_only(path: Path) -> None:
    """A unit is restarted when its process fails or hangs, and no unit asks for its health."""
    assert "healthz" not in path.read_text()
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(path)
    service = unit["Service"]
    assert service["Restart"] == "on-failure"
    assert not {"ExecCondition", "ExecStartPost", "SuccessAction", "FailureAction"} & set(service)
    assert not {"OnFailure", "OnSuccess", "StartLimitAction"} & set(unit["Unit"])


def wait_for(url: str, status: int) -> str:
    """What /healthz says once it answers with this status."""
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(f"{url}/healthz", timeout=9) as answer:  # noqa: S310
                got, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            got, text = error.code, error.read().decode()
        except OSError as error:
            got, text = 0, str(error)
        if got == status:
            return str(text.strip())
        assert time.monotonic() < deadline, (got, text)
        time.sleep(0.1)


def test_a_deaf_exporter_runs_on(tmp_path: Path) -> None:
    """With a problem /healthz answers 503, and the exporter reads on and ends only when told to."""
    log = tmp_path / "auth.log"
    log.write_text("strange\n" * 50)
    config = tmp_path / "heptad.yaml"
    config.write_text(
        f"store: {{path: {tmp_path}/events.db}}\nexporter: {{listen: '127.0.0.1:0'}}\n"
        f"sources: [{{type: file, name: auth, paths: [{log}]}}]\n"
    )
    exporter = Exporter(load_config(config))
    stop = threading.Event()
    thread = threading.Thread(target=exporter.run, args=(stop,))
    thread.start()
    try:
        assert exporter.server is not None
        assert "source auth is deaf" in wait_for(exporter.server.url, 503)
        with log.open("a") as file:
            file.writelines(
                f"2026-03-01T12:00:{n:02}Z gate sshd[{n}]: Failed password for ann from 192.0.2.7 "
                "port 22 ssh2\n"
                for n in range(30)
            )
        assert wait_for(exporter.server.url, 200) == "healthy"
        assert thread.is_alive()
    finally:
        stop.set()
        thread.join(timeout=20)
    assert not thread.is_alive()
