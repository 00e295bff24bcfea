"""The routes of provisioning/alertmanager, judged by amtool and by a real Alertmanager."""

import json
import subprocess
import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from provisioning.alerts.rule import Alert
from tests.provisioning.test_alerts import RULES
from tests.support import needs
from tests.support.ports import reserve_port
from tests.system.test_real_prometheus import wait_for

CONFIG = Path(__file__).resolve().parents[2] / "provisioning/alertmanager/alertmanager.yml"
ROUTES = ("amtool", "config", "routes", "test", f"--config.file={CONFIG}")
RECEIVERS = {"critical": "wake", "warning": "look", "info": "list", "unheard-of": "look"}


def test_amtool_accepts_it() -> None:
    """The file is a valid configuration."""
    needs.program("amtool")
    checked = subprocess.run(
        ["amtool", "check-config", str(CONFIG)], check=False, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("severity", RECEIVERS)
def test_severity_decides_who_is_told(severity: str) -> None:
    """What is critical wakes somebody, and no severity goes nowhere."""
    needs.program("amtool")
    receiver = RECEIVERS[severity]
    labels = [f"severity={severity}", "alertname=HeptadBruteForce", "instance=web-1"]
    routed = subprocess.run(
        [*ROUTES, f"--verify.receivers={receiver}", *labels],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (routed.returncode, routed.stdout.strip()) == (0, receiver)


def test_the_severities_are_those_of_the_alerts() -> None:
    """No alert has a severity that no route was tested for."""
    assert {rule.severity for rule in RULES if isinstance(rule, Alert)} == RECEIVERS.keys() - {
        "unheard-of"
    }


class Webhook(BaseHTTPRequestHandler):
    """Keeps what it is told in `told`: severity → names of the alerts."""

    told: dict[str, set[str]]

    def do_POST(self) -> None:
        """Take a notification."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        names = {alert["labels"]["alertname"] for alert in body["alerts"]}
        self.told.setdefault(self.path.strip("/"), set()).update(names)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_real_alertmanager_tells_the_webhooks(tmp_path: Path) -> None:
    """An alert of each severity comes to the webhook of that severity and to no other."""
    needs.program("prometheus-alertmanager")
    told: dict[str, set[str]] = {}
    hook = HTTPServer(("127.0.0.1", 0), type("Told", (Webhook,), {"told": told}))
    config = tmp_path / "alertmanager.yml"
    text = CONFIG.read_text().replace("127.0.0.1:9099", f"127.0.0.1:{hook.server_port}")
    for wait in ("10s", "30s", "5m"):
        text = text.replace(f"group_wait: {wait}", "group_wait: 0s")
    config.write_text(text)
    port = reserve_port()
    command = [
        "prometheus-alertmanager",
        f"--config.file={config}",
        f"--storage.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    url = f"http://127.0.0.1:{port}"
    severities = ("critical", "warning", "info")
    alerts = [{"labels": {"alertname": f"A-{name}", "severity": name}} for name in severities]
    with ExitStack() as running:
        running.callback(hook.server_close)
        threading.Thread(target=hook.serve_forever, daemon=True).start()
        running.callback(hook.shutdown)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        running.callback(process.wait, 30)
        running.callback(process.terminate)
        wait_for(lambda: urlopen(f"{url}/-/ready").status == 200, "Alertmanager is not ready")  # noqa: S310
        headers = {"Content-Type": "application/json"}
        post = Request(f"{url}/api/v2/alerts", json.dumps(alerts).encode(), headers)  # noqa: S310
        assert urlopen(post).status == 200  # noqa: S310 - http to this host
        wait_for(lambda: told.keys() == set(severities), f"told is {told}")
    assert told == {name: {f"A-{name}"} for name in severities}
