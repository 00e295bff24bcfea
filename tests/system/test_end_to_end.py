"""From a real ssh client's wrong password to the webhook of a real Alertmanager.

sshd and rsyslog write auth.log, Heptad reads it, delivers to a real InfluxDB and is scraped by a
real Prometheus with the rules that ship; a real Alertmanager calls the webhook.
"""

import json
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest

from tests.provisioning.test_alerts import PROVISIONED
from tests.support import needs
from tests.support.dashboard_world import HOST, HOUR, log_of
from tests.support.grafana import BOARDS, QUERIES, put_in, values_of
from tests.support.influxdb import Influxd
from tests.support.ports import reserve_port
from tests.support.real import rsyslog
from tests.support.real.sandbox import Sandbox, wait_until
from tests.support.real.sshd import Client, SshServer
from tests.system.test_real_counting import need_sandbox
from tests.system.test_real_prometheus import ask, provision

ADDRESS: Final = "203.0.113.66"
CONFIG: Final = """
host: {host}
log: {{level: error}}
store: {{path: {folder}/events.db}}
sources: [{{type: file, name: auth, paths: [{log}]}}]
exporter: {{listen: "127.0.0.1:{exporter}"}}
aggregator: {{listen: "127.0.0.1:{aggregator}", poll: 200ms, max_wait: 1s}}
influxdb: {{url: {url}, delivery: {{flush_interval: 100ms}}}}
"""


class Webhook:
    """Where Alertmanager calls; ``told`` are the names of the alerts, each with when it came."""

    def __init__(self) -> None:
        self.told: dict[str, float] = {}
        told = self.told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                for alert in body["alerts"]:
                    if alert["status"] == "firing":
                        told.setdefault(alert["labels"]["alertname"], time.time())
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def start(running: ExitStack, folder: Path, *command: str) -> None:
    """Start a daemon, which ends with the test; what it says is in ``folder``."""
    log = running.enter_context((folder / f"{Path(command[0]).name}.log").open("ab"))
    process = subprocess.Popen(command, stdout=log, stderr=log)
    running.callback(process.wait, 30)
    running.callback(process.terminate)


def start_alerting(running: ExitStack, folder: Path, webhook: Webhook, ports: list[int]) -> str:
    """Prometheus and Alertmanager with what ships, but for ports and pauses; Prometheus' URL."""
    exporter, aggregator, prometheus, alertmanager = ports
    config = provision(folder / "prometheus", exporter, aggregator)
    config.write_text(config.read_text().replace("localhost:9093", f"127.0.0.1:{alertmanager}"))
    routes = (PROVISIONED.parent / "alertmanager" / "alertmanager.yml").read_text()
    for pause in ("10s", "30s", "5m"):
        routes = routes.replace(f"group_wait: {pause}", "group_wait: 1s")
    (folder / "alertmanager.yml").write_text(routes.replace(":9099", f":{webhook.port}"))
    start(
        running,
        folder,
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address=127.0.0.1:{prometheus}",
    )
    start(
        running,
        folder,
        "prometheus-alertmanager",
        f"--config.file={folder}/alertmanager.yml",
        f"--storage.path={folder}/alertmanager",
        f"--web.listen-address=127.0.0.1:{alertmanager}",
        "--cluster.listen-address=",
    )
    return f"http://127.0.0.1:{prometheus}"


def query(url: str, text: str) -> list[Any]:
    """What Prometheus answers to an instant query."""
    try:
        found: list[Any] = ask(f"{url}/api/v1/query?query={quote(text)}")["result"]
    except OSError:
        return []
    return found


def attack(sandbox: Sandbox, user: str, password: str) -> float:
    """Wrong passwords by the dozen, then the right one; when the first was refused."""
    with SshServer(sandbox) as server:
        client = Client(server, ADDRESS)
        begun = time.time()
        for _ in range(18):
            client.password(user, "wrong", "worse", "worst")
        assert client.password(user, password) == 0
        server.wait_idle()
    return begun


def empty_panels(url: str, influxd: Influxd) -> list[str]:
    """The queries of the dashboard Logins that give nothing.

    A recorded series compares with five minutes before: this Prometheus is younger than that.
    """
    now = time.time()
    values: dict[str, Any] = values_of(BOARDS["logins"], {"host": [HOST]})
    values |= {
        "__rate_interval": "10s",
        "__range": "300s",
        "__interval": "60s",
        "__from": str(int((now - 3 * HOUR) * 1000)),
        "__to": str(int(now * 1000)),
        "timeFilter": f"time >= {int((now - 3 * HOUR) * 1000)}ms and time <= {int(now * 1000)}ms",
    }
    empty = []
    for one in QUERIES:
        if one.board == "logins" and "heptad:" not in one.text:
            text = put_in(one.text, values)
            bucket = one.target["datasource"]["uid"][2:].partition("_")[0]
            if not (query(url, text) if one.is_promql else influxd.rows(text, bucket)):
                empty.append(one.name)
    return empty


def test_from_a_wrong_password_to_the_webhook(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A brute force that succeeds is told by webhook, is in the reports, and fills the panels."""
    need_sandbox()
    needs.program("prometheus", "prometheus-alertmanager")
    webhook, influxd = Webhook(), Influxd(tmp_path / "influxd")
    ports = [reserve_port() for _ in range(4)]
    with ExitStack() as running, Sandbox(hostname=HOST) as sandbox:
        running.callback(webhook.server.server_close)
        running.callback(webhook.server.shutdown)
        influxd.start()
        running.callback(influxd.kill)
        influxd.create("events", "reports", "heptad")
        sandbox.add_users("alice", password="right")
        rsyslog.start(sandbox)
        rsyslog.settle(sandbox)
        log = sandbox.auth_log
        earlier = log_of(time.time() - 2 * HOUR, 0)
        log.write_text(earlier + (log.read_text() if log.exists() else ""))
        config = tmp_path / "heptad.yaml"
        numbers = {"exporter": ports[0], "aggregator": ports[1]}
        config.write_text(
            CONFIG.format(host=HOST, folder=tmp_path, log=log, url=influxd.url, **numbers)
        )
        start(running, tmp_path, sys.executable, "-m", "heptad", "up", "--config", str(config))
        url = start_alerting(running, tmp_path, webhook, ports)
        wait_until(lambda: len(query(url, "up == 1")) == 2, "both parts scraped", 60)
        wait_until(lambda: query(url, "heptad_delivery_behind_events == 0"), "delivery", 60)
        begun = attack(sandbox, "alice", "right")
        wanted = {"HeptadBruteForce", "HeptadSuccessAfterManyFailures"}
        wait_until(lambda: wanted <= webhook.told.keys(), f"{wanted}, see {tmp_path}", 60)
        rules = {row["rule"] for row in influxd.rows("SELECT rule, count FROM findings", "reports")}
        assert {"brute_force", "success_after_failures"} <= rules
        wait_until(lambda: not empty_panels(url, influxd), "data in every panel", 60)
    with capsys.disabled():
        took = {name: f"{at - begun:.1f} s" for name, at in webhook.told.items() if name in wanted}
        print(f"\nfrom the first wrong password to the webhook: {took}")  # noqa: T201
