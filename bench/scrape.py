"""The time of a scrape of the host metrics, compared with node_exporter.

Both serve the same families over HTTP, each in its own process, and are scraped in alternation as
Prometheus does it. Prints the ratio of the medians, and the resident memory.
"""

import argparse
import contextlib
import http.client
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

# node_exporter's collectors with the same families; without logind, which requires a D-Bus
ORACLE = (
    *("cpu", "diskstats", "filefd", "filesystem", "loadavg", "meminfo", "netclass", "netdev"),
    *("pressure", "stat", "time", "timex", "uname", "vmstat"),
)
HEADERS = {
    "Accept": "application/openmetrics-text;version=1.0.0,"
    "application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "Accept-Encoding": "gzip",
}


def serve(port: int) -> None:
    """Serve only the host metrics, until killed."""
    from prometheus_client import CollectorRegistry, start_http_server  # noqa: PLC0415

    from heptad.exporter.collectors import HostCollector  # noqa: PLC0415

    registry = CollectorRegistry()
    registry.register(HostCollector())
    _, thread = start_http_server(port, "127.0.0.1", registry)
    thread.join()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def fetch(port: int, headers: Mapping[str, str] | None = None) -> bytes:
    """Return the response to one scrape, as text unless the headers request another format."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/metrics", headers=headers or {})
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        raise OSError(f"port {port} answered {response.status}")
    return body


def scrape(port: int) -> float:
    """Return the seconds of one scrape, including the connection."""
    began = time.perf_counter()
    fetch(port, HEADERS)
    return time.perf_counter() - began


@contextlib.contextmanager
def running(command: list[str], port: int) -> Iterator[int]:
    """Start a server, wait until it responds, yield its process id, and stop it."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                scrape(port)
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def resident(pid: int) -> float:
    """Return the resident memory in MiB."""
    found = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scrapes", type=int, default=50, help="of each, default %(default)s")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        serve(options.serve)
        return 0
    program = shutil.which("prometheus-node-exporter") or shutil.which("node_exporter")
    if program is None:
        print("scrape: skipped, node_exporter is not installed")
        return 0
    ours, theirs = free_port(), free_port()
    oracle = [program, f"--web.listen-address=127.0.0.1:{theirs}", "--collector.disable-defaults"]
    oracle += [f"--collector.{name}" for name in ORACLE]
    with (
        running([sys.executable, "-m", "bench.scrape", "--serve", str(ours)], ours) as pid,
        running(oracle, theirs) as oracle_pid,
    ):
        times = [(scrape(ours), scrape(theirs)) for _ in range(options.scrapes)]
        memory, oracle_memory = resident(pid), resident(oracle_pid)
    mine, node = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"scrape: {mine / node:.2f} x node_exporter ({mine * 1e3:.1f} and {node * 1e3:.1f} ms)")
    print(f"resident while scraped: {memory:.0f} and {oracle_memory:.0f} MiB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
