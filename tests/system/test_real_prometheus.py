"""A real Prometheus loads the rules and evaluates them on what a real Heptad exposes."""

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

from tests.provisioning.test_alerts import ALERTS, PROVISIONED, RULES
from tests.support import needs
from tests.support.ports import reserve_port

LINE = "{} web-1 sshd[{}]: {} password for {} from 192.0.2.7 port 4022 ssh2\n"


def ask(url: str) -> Any:
    """What Prometheus answers."""
    with urlopen(url, timeout=5) as answer:  # noqa: S310 - http to this host
        return json.load(answer)["data"]


def wait_for(found: Callable[[], bool], what: str) -> None:
    """Ask until it is so."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if found():
                return
        except OSError:
            pass
        threading.Event().wait(0.2)
    raise AssertionError(what)


def provision(folder: Path, exporter: int, aggregator: int) -> Path:
    """The configuration as it is, but for the ports, the intervals and the base of links."""
    shutil.copytree(PROVISIONED, folder)
    settings = folder / "settings.yml"
    settings.write_text(settings.read_text().replace(":9708", f":{aggregator}"))
    command = [
        "-m",
        "provisioning.alerts",
        "--settings",
        f"{settings}",
        "--output",
        f"{folder}/rules",
    ]
    subprocess.run([sys.executable, *command], check=True)
    config = folder / "prometheus.yml"
    config.write_text(config.read_text().replace("_interval: 15s", "_interval: 1s"))
    for rules in (folder / "rules").iterdir():
        rules.write_text(rules.read_text().replace("interval: 5m", "interval: 1s"))
    for name, port in (("exporters", exporter), ("aggregators", aggregator)):
        targets = folder / "targets" / f"{name}.yml"
        targets.write_text(f"- targets: ['127.0.0.1:{port}']\n")
    return config


def test_rules_on_a_real_heptad(tmp_path: Path) -> None:
    """Every rule is evaluated without an error; a brute force and a break-in fire.

    The first by the exporter's counts, the other by a finding. Both name the host, and their links
    are answered. The counts begin at zero before the first failed login, so that none is missed.
    """
    needs.program("prometheus")
    log = tmp_path / "auth.log"
    log.write_text("")
    exporter, aggregator, port = reserve_port(), reserve_port(), reserve_port()
    heptad = tmp_path / "heptad.yaml"
    heptad.write_text(
        f"host: web-1\n"
        f"sources: [{{name: auth, type: file, paths: [{log}], timezone: UTC}}]\n"
        f"store: {{path: {tmp_path}/events.db}}\n"
        f"exporter: {{listen: '127.0.0.1:{exporter}'}}\n"
        f"aggregator: {{listen: '127.0.0.1:{aggregator}', store: {{path: {tmp_path}/f.db}}}}\n"
    )
    config = provision(tmp_path / "prometheus", exporter, aggregator)
    api = f"http://127.0.0.1:{port}/api/v1"
    commands = [
        [sys.executable, "-m", "heptad", "up", "--config", str(heptad)],
        [
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path}/tsdb",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
    ]
    with ExitStack() as running:
        for command in commands:
            process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            running.callback(process.wait, 30)
            running.callback(process.terminate)
        wait_for(lambda: has(api, "heptad_source_up == 1"), "the exporter was not scraped")
        wait_for(lambda: has(api, 'up{job="heptad-aggregator"} == 1'), "nor the aggregator")
        now = time.strftime("%b %e %H:%M:%S", time.gmtime())
        with log.open("a") as file:
            for pid in range(1000, 1060):
                file.write(LINE.format(now, pid, "Failed", ("root", "bob")[pid % 2]))
            file.write(LINE.format(now, 1100, "Accepted", "bob"))
        for name in ("HeptadBruteForce", "HeptadSuccessAfterManyFailures"):
            wait_for(lambda: name in firing(api), f"{name} does not fire")  # noqa: B023 - at once
            check_links(firing(api)[name], name, f"http://127.0.0.1:{aggregator}")
        assert firing(api)["HeptadSuccessAfterManyFailures"]["labels"]["host"] == "web-1"
        wait_for(lambda: all(is_evaluated(rule) for rule in rules_of(api)), "not evaluated")
        rules = rules_of(api)
    assert {rule["name"] for rule in rules} == {rule.name for rule in RULES}
    assert [rule["lastError"] for rule in rules if rule.get("lastError")] == []
    assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []


def has(api: str, query: str) -> bool:
    """Whether a query gives anything; ``query`` needs no escapes but these."""
    escaped = query.replace(" ", "%20").replace('"', "%22").replace("{", "%7B").replace("}", "%7D")
    return bool(ask(f"{api}/query?query={escaped.replace('==', '%3D%3D')}")["result"])


def rules_of(api: str) -> list[dict[str, Any]]:
    """Every rule that Prometheus has loaded."""
    return [rule for group in ask(f"{api}/rules")["groups"] for rule in group["rules"]]


def is_evaluated(rule: dict[str, Any]) -> bool:
    """Whether Prometheus has worked off a rule."""
    return bool(rule["health"] != "unknown")


def firing(api: str) -> dict[str, dict[str, Any]]:
    """The alerts that fire now, by name."""
    alerts = ask(f"{api}/alerts")["alerts"]
    found = {alert["labels"]["alertname"]: alert for alert in alerts if alert["state"] == "firing"}
    return {name: alert for name, alert in found.items() if name in ALERTS}


def check_links(alert: dict[str, Any], name: str, page: str) -> None:
    """It names the host; page and runbook are there, the dashboard shows the time and the host."""
    told = alert["annotations"]
    assert "web-1" in told["summary"]
    assert "First: " in told["description"]
    assert told["page_url"] == f"{page}/?since=24h&host=web-1"
    with urlopen(told["page_url"], timeout=5) as answer:  # noqa: S310 - http to this host
        assert answer.status == 200
    assert told["runbook_url"] == f"{page}/runbooks/logins#{name.lower()}"
    with urlopen(told["runbook_url"].partition("#")[0], timeout=5) as answer:  # noqa: S310 - the same
        assert f'<h2 id="{name.lower()}">' in answer.read().decode()
    url = urlsplit(told["dashboard_url"])
    assert (url.netloc, url.path) == ("127.0.0.1:3000", "/d/heptad-now")
    query = parse_qs(url.query)
    assert query["var-host"] == ["web-1"]
    begin, end = (int(query[name][0]) / 1000 for name in ("from", "to"))
    assert end - 600 <= time.time() <= end + 120
    assert 7200 <= end - begin <= 7500
