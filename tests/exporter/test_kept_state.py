"""State of the exporter that is damaged in a file that SQLite finds sound."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from heptad.cli.main import main
from heptad.core.event import Event
from heptad.core.store.sqlite import LocalStore

KINDS = ("source", "attempts", "strangers", "caught_up", "first_start", "speakers", "%")
VALUES = ("X'FF94'", "X''", "'text'", "7", "99999999999", "X'5B5B5B'", "1.5", "X'7B7D'")


def line(second: int, said: str) -> str:
    """A line of sshd."""
    return f"2026-11-28T10:00:{second:02}+00:00 web-1 sshd[{100 + second}]: {said}\n"


def fail(second: int) -> str:
    """A login that failed."""
    return line(second, f"Failed password for root from 203.0.113.9 port {4000 + second} ssh2")


@pytest.mark.table
@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_state(tmp_path: Path, kind: str, value: str) -> None:
    """An exporter starts on state that is not whole, and takes each line once."""
    log, config, path = tmp_path / "auth.log", tmp_path / "heptad.yaml", tmp_path / "events.db"
    config.write_text(
        f"host: web-1\nstore: {{path: {path}}}\nexporter: {{host_metrics: false}}\n"
        f"sources: [{{name: auth, type: file, paths: [{log}]}}]\n"
    )
    command = ["exporter", "--once", "--config", str(config)]
    log.write_text("".join(map(fail, range(20))))
    assert main(command) == 0
    with closing(sqlite3.connect(path)) as db, db:
        changed = db.execute(
            f"UPDATE state SET value = {value} WHERE key = '{kind}' OR key LIKE '{kind}/%'"  # noqa: S608 - constants
            f"{' OR 1' if kind == '%' else ''}"
        )
        assert changed.rowcount > 0
    with log.open("a") as more:
        more.write("".join(map(fail, range(20, 30))))
    assert main(command) == 0
    with LocalStore(path) as store:
        events: list[Event] = list(store.events(0, 2**62))
        counted = {
            (name, labels): number
            for (name, labels), number in store.counters().items()
            if name == "auth_events_total" and '"login"' in labels
        }
    assert [event.source_port for event in events] == list(range(4000, 4030))
    assert sum(counted.values()) <= 30
