"""Write `tests/data/state-0.1.0`: the state of an earlier version, on a host and in InfluxDB.

``python -m tests.support.state_before FOLDER`` runs the Heptad of this checkout on a log and keeps
the log, both stores and the three buckets. It was run once, with the code that wrote the first
format of state; `tests/system/test_state_before.py` continues from it. The clock is simulated, so
that the state has the same age in each run of the test as when it was written.
"""

import datetime
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.influxdb import Influxd, running

ROOT: Final = Path(__file__).resolve().parents[2]
HOST: Final = "web-1"
BUCKETS: Final = ("events", "reports", "heptad")
PLACE: Final = b"/tmp/heptad-state-00000000"
START: Final = datetime.datetime(2026, 11, 28, 12, tzinfo=datetime.UTC)
"""The first start, on an empty log: every line after it counts."""

_DRIVEN: Final = """
import sys, time
ahead = float(sys.argv.pop(1)) - time.time()
real, real_ns = time.time, time.time_ns
time.time = lambda: real() + ahead
time.time_ns = lambda: real_ns() + int(ahead * 1e9)
from heptad.cli.main import main
sys.exit(main())
"""


def run(folder: Path, now: datetime.datetime | None, *arguments: str | Path) -> str:
    """Run a `heptad` command in ``folder`` at this time and return its output; it must succeed.

    With an InfluxDB the clock cannot be simulated, because the server has its own: None.
    """
    clock = ["-m", "heptad"] if now is None else ["-c", _DRIVEN, str(now.timestamp())]
    done = subprocess.run(
        [sys.executable, *clock, *map(str, arguments), "--config", "heptad.yaml"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_config(folder: Path, url: str | None = None, **server: object) -> None:
    """Write a configuration that keeps everything in ``folder``, for years."""
    keep, port = "3650d", "127.0.0.1:0"  # several of these run at once
    content: dict[str, Any] = {
        "host": HOST,
        "store": {"path": "events.db", "max_age": keep},
        "sources": [{"name": "auth", "type": "file", "paths": [str(folder / "auth.log")]}],
        "exporter": {"listen": port, "host_root": str(folder), "host_metrics": False},
        "aggregator": {"listen": port, "store": {"path": "reports.db", "max_age": keep}},
    }
    if url is not None:
        retention = dict.fromkeys(BUCKETS, keep)
        content["influxdb"] = {"url": url, "retention": retention, **server}
    (folder / "etc").mkdir(exist_ok=True)
    (folder / "etc" / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (folder / "heptad.yaml").write_text(yaml.safe_dump(content))


def lines_of(first: int, last: int) -> Iterator[str]:
    """Yield distinct lines of these minutes: attacks, logins, and lines that no rule matches."""
    for minute in range(first, last):
        for second, process, message in (
            (1, 2, "Failed password for root from 203.0.113.99 port {port} ssh2"),
            (
                2,
                2,
                "Connection closed by authenticating user root 203.0.113.99 port {port} [preauth]",
            ),
            (11, 4, "Invalid user gu3st-x from 203.0.113.99 port {port}"),
            (12, 4, "Failed password for invalid user gu3st-x from 203.0.113.99 port {port} ssh2"),
            (20, 5, "A sentence that no rule knows, number {port}"),
            (
                31,
                6,
                "Accepted publickey for alice from 198.51.100.9 port {port} ssh2: ED25519 SHA256:a",
            ),
            (32, 6, "pam_unix(sshd:session): session opened for user alice(uid=1001) by (uid=0)"),
            (51, 6, "pam_unix(sshd:session): session closed for user alice"),
        ):
            stamp = (START + datetime.timedelta(minutes=minute, seconds=second)).isoformat()
            pid = 1000 + 10 * minute + process
            yield f"{stamp} {HOST} sshd[{pid}]: {message.format(port=20_000 + minute)}"


def at(minutes: float) -> datetime.datetime:
    """Return the time ``minutes`` after the first start."""
    return START + datetime.timedelta(minutes=minutes)


def leave_open() -> list[str]:
    """Return lines for the end: an open connection and an open session."""
    stamp = at(59.5).isoformat()
    said = (
        "sshd[9001]: Invalid user oracle from 203.0.113.5 port 4022",
        "sshd[9002]: Accepted password for bob from 192.0.2.44 port 4023 ssh2",
        "sshd[9002]: pam_unix(sshd:session): session opened for user bob(uid=1002) by (uid=0)",
    )
    return [f"{stamp} {HOST} {line}" for line in said]


def export(server: Influxd, database: str) -> Iterator[str]:
    """Yield all points of a database as line protocol."""
    types = {
        (series["name"], field): kind
        for series in server.query("SHOW FIELD KEYS", database)
        for field, kind in series["values"]
    }
    for measurement in sorted({name for name, _ in types}):
        for series in server.query(f'SELECT * FROM "{measurement}" GROUP BY *', database):  # noqa: S608
            tags = {tag: value for tag, value in series["tags"].items() if value}
            head = ",".join([measurement, *(f"{k}={_escape(v)}" for k, v in tags.items())])
            for time, *values in series["values"]:
                fields = ",".join(
                    f"{name}={_write_value(types[measurement, name], value)}"
                    for name, value in zip(series["columns"][1:], values, strict=True)
                    if value is not None
                )
                yield f"{head} {fields} {time}"


def _escape(tag: str) -> str:
    return re.sub("([ ,=])", r"\\\1", tag)


def _write_value(kind: str, value: Any) -> str:
    if kind == "string":
        return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{value}i" if kind == "integer" else json.dumps(value)


def write_state(folder: Path, url: str | None = None) -> None:
    """Run exporter and aggregator twice each, to create state to continue from."""
    log = folder / "auth.log"
    write_config(folder, url)
    log.touch()
    run(folder, None if url else at(0), "exporter", "--once")
    for first, last in ((0, 30), (30, 59)):
        with log.open("a") as file:
            file.writelines(f"{line}\n" for line in lines_of(first, last))
            if last == 59:
                file.writelines(f"{line}\n" for line in leave_open())
                file.write(f"{at(60).isoformat()} {HOST} sshd[9003]: Failed password for ro")
        now = None if url else at(last + 2)
        run(folder, now, "exporter", "--once")
        run(folder, now, "aggregator", "--once")


@contextmanager
def make_folder() -> Iterator[Path]:
    """Create a directory whose path always has the same length.

    Positions are stored with the path of their log, so a stored state fits another directory if its
    path is replaced by one of the same length.
    """
    with tempfile.TemporaryDirectory(prefix="heptad-state-", dir="/tmp") as name:
        yield Path(name)


def pack(content: bytes, folder: Path) -> bytes:
    """Return the content of a file in ``folder``, as it is kept."""
    return gzip.compress(content.replace(str(folder).encode(), PLACE), mtime=0)


def unpack(packed: Path, folder: Path) -> bytes:
    """Return the original content of a file, for ``folder``."""
    return gzip.decompress(packed.read_bytes()).replace(PLACE, str(folder).encode())


def main(target: Path) -> None:
    """Write the fixture to this directory."""
    target.mkdir(parents=True, exist_ok=True)
    with make_folder() as folder:
        write_state(folder)
        for kept in ("auth.log", "events.db", "events.db.key", "reports.db"):
            (target / f"{kept}.gz").write_bytes(pack((folder / kept).read_bytes(), folder))
        told = run(folder, at(62), "events", "--since", START.isoformat(), "--format", "jsonl")
        (target / "events.jsonl.gz").write_bytes(pack(told.encode(), folder))
    with make_folder() as folder:
        with running(Influxd(folder / "influxd")) as server:
            server.create(*BUCKETS)
            write_state(folder, server.url)
            for bucket in BUCKETS:
                lines = "\n".join(export(server, bucket)).encode()
                (target / f"{bucket}.lp.gz").write_bytes(pack(lines, folder))
        for kept, name in (("outbox.db", "events.db"), ("outbox.db.key", "events.db.key")):
            (target / f"{kept}.gz").write_bytes(pack((folder / name).read_bytes(), folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
