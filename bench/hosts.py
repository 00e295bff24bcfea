"""Instructions per line of a log with 4,000 hosts, compared with one host.

``python -m bench.hosts`` counts with cachegrind. In the logs every host has appeared already, and
as many connections are open as are kept, so that hosts have the highest cost.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.instructions import ROOT, count

HOSTS: Final = 4000
WARM: Final = 20_000
MORE: Final = 4000


def write_lines(hosts: int, lines: int) -> Iterator[str]:
    """Yield failed logins, two lines per connection; each connection uses the next host."""
    for number in range(lines):
        connection, step = divmod(number, 2)
        port = f"203.0.113.7 port {1024 + connection % 60_000}"
        said = (
            f"Failed password for root from {port} ssh2"
            if step
            else f"Connection from {port} on 198.51.100.1 port 22"
        )
        second = number // 170
        stamp = f"Dec 10 {6 + second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
        yield f"{stamp} web-{connection % hosts} sshd[{1000 + connection}]: {said}\n"


def count_a_line(hosts: int) -> float:
    """Return the instructions per line of the whole path."""
    counted = []
    with tempfile.TemporaryDirectory() as name:
        for lines in (10, WARM, WARM + MORE):  # the first run compiles the libraries
            log, store = Path(name) / f"{lines}.log", Path(name) / f"{lines}.db"
            log.write_text("".join(write_lines(hosts, lines)))
            counted.append(count(ROOT, ["bench.ingest", str(log), str(store)], Path(name)))
    return (counted[2] - counted[1]) / MORE


def main() -> None:
    """Print both, and their ratio."""
    one, many = count_a_line(1), count_a_line(HOSTS)
    print(f"1 host {one:,.0f}, {HOSTS} hosts {many:,.0f} instructions a line: {many / one:.2f}×")


if __name__ == "__main__":
    main()
