"""Telegraf 1.36.4 compared with the exporter: the same sshd lines, in turn, into one InfluxDB 2.

It measures time, CPU and memory; then how many lines each loses and duplicates if it is killed
during delivery, and the log is rotated. ``python -m bench.telegraf [LINES]``.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from tests.support import needs
from tests.support.influxd_2 import ORGANIZATION, TOKEN, Influxd2
from tests.support.influxdb import Influxd, running
from tests.support.ports import reserve_port

LINES: Final = 200_000
KILLED_LINES: Final = 60_000
LATER_LINES: Final = 1_000
_PATIENCE: Final = 300.0
_QUIET: Final = 8.0
_SETTLING: Final = 5.0
_BUCKETS: Final = ("events", "reports", "heptad")
_KINDS: Final = (
    "Failed password for root from 203.0.113.9 port 4022 ssh2",
    "Failed password for invalid user admin from 203.0.113.9 port 4022 ssh2",
    "Accepted publickey for ann from 198.51.100.7 port 4022 ssh2: ED25519 SHA256:abc",
    "Accepted password for bob from 198.51.100.7 port 4022 ssh2",
    "Failed keyboard-interactive/pam for carla from 203.0.113.9 port 4022 ssh2",
    "Failed none for invalid user test from 203.0.113.9 port 4022 ssh2",
    "Failed password for dora from 2001:db8::9 port 4022 ssh2",
)
_PLAIN: Final = r"""
STAMP \w{3} +\d+ [\d:]{8}
NAME \S+
DIGITS \d+
"""
_OWN: Final = r"""
STAMP %{SYSLOGTIMESTAMP}
NAME %{IPORHOST}
DIGITS %{POSINT}
"""
"""The same with grok's own patterns, which try many forms of a date and an address."""
_HEADER: Final = r"^%{STAMP%s} %{NAME:host:tag} sshd\[%{DIGITS:pid:int}\]: "
_ADDRESS: Final = r"from %{NAME:source_ip} port %{DIGITS:port:int} ssh2"
SEVEN: Final = (
    rf"Accepted publickey for %{{USERNAME:user}} {_ADDRESS}.*",
    rf"Accepted password for %{{USERNAME:user}} {_ADDRESS}",
    rf"Failed password for invalid user %{{DATA:user}} {_ADDRESS}",
    rf"Failed password for %{{USERNAME:user}} {_ADDRESS}",
    rf"Failed keyboard-interactive/pam for %{{USERNAME:user}} {_ADDRESS}",
    rf"Failed none for invalid user %{{DATA:user}} {_ADDRESS}",
    r"%{GREEDYDATA:message}",
)
HEADER_ONLY: Final = SEVEN[-1:]


class Agent(NamedTuple):
    """A program under test: its name, its command, and whether it exits by itself."""

    name: str
    command: list[str]
    ends: bool = False


def write_lines(log: Path, begin: int, number: int) -> None:
    """Append lines of one hour to the log, each of a different connection."""
    since = time.time() - 3600
    with log.open("a") as file:
        for n in range(begin, begin + number):
            stamp = time.strftime("%b %e %H:%M:%S", time.localtime(since + 3600 * n / LINES))
            file.write(f"{stamp} bench sshd[{100_000 + n}]: {_KINDS[n % len(_KINDS)]}\n")


def telegraf(
    folder: Path,
    url: str,
    name: str,
    messages: tuple[str, ...],
    offset: str = "beginning",
    *,
    stamps: bool = False,
    words: str = _PLAIN,
) -> Agent:
    """Configure Telegraf with these patterns; ``stamps``: use the log's time."""
    header = _HEADER.replace("%s", ":timestamp:ts-syslog" if stamps else "")
    patterns = [header + message for message in messages]
    text = f"""
[agent]
  interval = "1s"
  flush_interval = "1s"
  metric_batch_size = 5000
  metric_buffer_limit = 1000000
  omit_hostname = true
  quiet = true
  statefile = {json.dumps(str(folder / "telegraf.state"))}
[[inputs.tail]]
  files = [{json.dumps(str(folder / "auth.log"))}]
  initial_read_offset = "{offset}"
  max_undelivered_lines = 100000
  name_override = "events"
  data_format = "grok"
  grok_patterns = {json.dumps(patterns)}
  grok_timezone = "Local"
  grok_custom_patterns = {json.dumps(words)}
[[outputs.influxdb_v2]]
  urls = ["{url}"]
  token = "{TOKEN}"
  organization = "{ORGANIZATION}"
  bucket = "events"
"""
    config = folder / "telegraf.conf"
    config.write_text(text)
    return Agent(name, [needs.built("telegraf-1.36.4"), "--config", str(config)])


def heptad(folder: Path, url: str, *, once: bool) -> Agent:
    """Configure the exporter."""
    config = folder / "heptad.yaml"
    content = {
        "host": "bench",
        "store": {"path": str(folder / "events.db")},
        "exporter": {"listen": f"127.0.0.1:{reserve_port()}"},
        "sources": [{"type": "file", "name": "auth", "paths": [str(folder / "auth.log")]}],
        "influxdb": {"url": url, "version": "2", "org": ORGANIZATION, "token": TOKEN},
    }
    config.write_text(json.dumps(content))
    command = [sys.executable, "-m", "heptad", "exporter", "--config", str(config)]
    return Agent("Heptad, all its rules", [*command, "--once"] if once else command, once)


def wait_for(done: Callable[[], bool], what: str) -> None:
    """Wait; raise TimeoutError after five minutes."""
    end = time.monotonic() + _PATIENCE
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.05)


def start(agent: Agent, folder: Path) -> "subprocess.Popen[bytes]":
    """Start it, with its output in a file."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": "/tmp/heptad-bench-bytecode"}  # noqa: S108
    with (folder / "agent.log").open("ab") as log:
        return subprocess.Popen(agent.command, stdout=log, stderr=log, env=environment)


def clear(folder: Path, influxd: Influxd) -> None:
    """Delete all files, and create the buckets again."""
    for path in (*folder.glob("*.db*"), *folder.glob("auth.log*"), *folder.glob("*.state")):
        path.unlink()
    influxd.drop(*_BUCKETS)
    influxd.create(*_BUCKETS)


def race(agent: Agent, folder: Path, influxd: Influxd, lines: int) -> None:
    """Print the time and cost of processing these lines."""
    begun = time.perf_counter()
    process = start(agent, folder)
    watched = psutil.Process(process.pid)
    most, spent = 0, watched.cpu_times()

    def is_done() -> bool:
        nonlocal most, spent
        if process.poll() is not None:
            return True
        spent = watched.cpu_times()
        most = max(most, watched.memory_info().rss)
        return not agent.ends and influxd.count("events", field="pid") >= lines

    wait_for(is_done, agent.name)
    took = time.perf_counter() - begun
    if process.poll() not in (None, 0):
        sys.exit(f"{agent.name}: {(folder / 'agent.log').read_text()[-2000:]}")
    process.kill()
    process.wait()
    points = influxd.count("events", field="pid")
    print(
        f"  {agent.name:<32} {took:6.1f} s, {spent.user + spent.system:5.1f} s of the processor, "
        f"{most / 2**20:4.0f} MB, {points:,} points of {lines:,} lines"
    )


def kill(agent: Agent, folder: Path, influxd: Influxd, *, rotates: bool) -> None:
    """Kill it (-9) during delivery, and print the lost and duplicated lines."""
    log = folder / "auth.log"
    log.touch()
    process = start(agent, folder)
    time.sleep(_SETTLING)  # an agent that starts at the end of a log must have seen it
    write_lines(log, 0, KILLED_LINES)
    wait_for(lambda: influxd.count("events", field="pid") > KILLED_LINES // 10, agent.name)
    process.kill()
    process.wait()
    if rotates:
        log.rename(folder / "auth.log.1")
    write_lines(log, KILLED_LINES, LATER_LINES)
    process = start(agent, folder)
    last, since = -1, time.monotonic()

    def is_quiet() -> bool:
        nonlocal last, since
        points = influxd.count("events", field="pid")
        if points != last:
            last, since = points, time.monotonic()
        return time.monotonic() - since > _QUIET

    wait_for(is_quiet, agent.name)
    process.kill()
    process.wait()
    [row] = influxd.rows('SELECT count(distinct("pid")) AS "n" FROM "events"', "events")
    written = KILLED_LINES + LATER_LINES
    print(
        f"  {agent.name:<32} {'rotated' if rotates else 'not rotated':<12} "
        f"{written - int(row['n']):>7,} lines lost, {last - int(row['n']):>7,} points duplicated"
    )


def main(lines: int = LINES) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running(Influxd2(folder / "influxd")) as influxd:
            url = influxd.url
            print(f"{lines:,} lines of sshd into InfluxDB {needs.INFLUXDB_2}, with Telegraf 1.36.4")
            racing: tuple[Callable[[], Agent], ...] = (
                lambda: heptad(folder, url, once=True),
                lambda: telegraf(folder, url, "Telegraf, one pattern", HEADER_ONLY),
                lambda: telegraf(folder, url, "Telegraf, seven patterns", SEVEN),
                lambda: telegraf(folder, url, "Telegraf, seven of grok's", SEVEN, words=_OWN),
            )
            for make in racing:
                clear(folder, influxd)
                write_lines(folder / "auth.log", 0, lines)
                race(make(), folder, influxd, lines)
            print(f"killed (-9) amid the delivery of {KILLED_LINES:,} lines, {LATER_LINES:,} later")
            killed: tuple[Callable[[], Agent], ...] = (
                lambda: heptad(folder, url, once=False),
                lambda: telegraf(folder, url, "Telegraf, time of reading", HEADER_ONLY),
                lambda: telegraf(folder, url, "Telegraf, log's time", HEADER_ONLY, stamps=True),
                lambda: telegraf(
                    folder, url, "Telegraf, saved-or-end", HEADER_ONLY, "saved-or-end"
                ),
            )
            for rotates in (False, True):
                for make in killed:
                    clear(folder, influxd)
                    kill(make(), folder, influxd, rotates=rotates)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
