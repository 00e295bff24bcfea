"""`python -m bench.dashboards [HOSTS …]`: the cost of each query of the dashboards.

For 10 and for 1,000 hosts, it runs a Prometheus with thirty days of metrics, and an InfluxDB 1.6
and a 2.7 with thirty days of events, findings and reports. Each query of each panel is sent three
times per range, and the median is printed. The exit status is 1 if one took more than two seconds.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Final

from bench.dashboards.asking import RANGES, Asked, Servers, ask_all
from bench.dashboards.points import Reports, fleet_of, lines_of_events, lines_of_reports
from bench.dashboards.series import STEP, write_blocks
from tests.support.influxd_2 import Influxd2
from tests.support.influxdb import Daemon, Influxd, running
from tests.support.ports import reserve_port

SIZES: Final = (10, 1000)
_MOST: Final = 2000
_AT_ONCE: Final = 20_000


def main(sizes: Iterable[int]) -> int:
    """Print the tables; return 1 if a query was too slow."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    print(f"dashboards: {os.cpu_count()} CPUs, {memory:.0f} GB; load {os.getloadavg()[0]:.1f}")
    slowest: dict[tuple[str, int], Asked] = {}
    slow = 0
    for hosts in sizes:
        for asked in _measure(hosts):
            print(_line(asked), flush=True)
            slow += asked.took > _MOST
            known = slowest.setdefault((asked.board, hosts), asked)
            if asked.took > known.took:
                slowest[asked.board, hosts] = asked
    print("\nThe slowest query of each dashboard:")
    for (board, hosts), asked in sorted(slowest.items()):
        print(f"{board:12} {hosts:5} hosts {asked.took:7.0f} ms  {asked.range:4} {asked.panel}")
    return int(slow > 0)


def _line(asked: Asked) -> str:
    board, panel, range_, rows, values, took, cpu = asked
    mark = "SLOW" if took > _MOST else ""
    return f"{board:12} {panel:60} {range_:4} {rows:6} {values:7} {took:7.0f} ms {cpu:6.0f} {mark}"


def _measure(hosts: int) -> Iterator[Asked]:
    until = int(time.time()) // STEP * STEP
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = {
            "1.6.7": stack.enter_context(running(Influxd(folder / "influxd"))),
            "2.7.12": stack.enter_context(running(Influxd2(folder / "influxd2"))),
        }
        _fill(list(servers.values()), hosts, until)
        prometheus = _prometheus(folder, hosts, until)
        prometheus.start("/-/ready")
        stack.callback(prometheus.kill)
        names = ("dashboard", "panel", "range", "series", "values")
        print("\n{:12} {:60} {:4} {:>6} {:>7} {:>10} {:>6}".format(*names, "median", "CPU"))
        for range_ in RANGES:
            for version, influxd in servers.items():
                yield from ask_all(Servers(prometheus, influxd, version, until), range_)


def _prometheus(folder: Path, hosts: int, until: int) -> Daemon:
    port = reserve_port()
    write_blocks(folder / "tsdb", hosts, until)
    (folder / "prometheus.yml").write_text("{}")
    command = [
        "prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/tsdb",
        "--storage.tsdb.retention.time=1y",
        # keep the blocks as they were written
        *(f"--storage.tsdb.{which}-block-duration=2h" for which in ("min", "max")),
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    return Daemon(folder, command, port)


def _fill(servers: list[Influxd], hosts: int, until: int) -> None:
    fleet = fleet_of(hosts, until * 10**9)
    reports = Reports()
    for server in servers:
        server.create("events", "reports")
    for bucket, lines in (
        ("events", lines_of_events(fleet, reports)),
        ("reports", lines_of_reports(fleet, reports)),
    ):
        while batch := list(islice(lines, _AT_ONCE)):
            for server in servers:
                server.write(bucket, batch)


if __name__ == "__main__":
    sys.exit(main([int(text) for text in sys.argv[1:]] or SIZES))
