"""Values from outside: whoever wrote them, what is not as Heptad writes it stops nothing."""

import logging
import os
import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from heptad.aggregator.cycle import Cycle
from heptad.aggregator.detection.rules import rules_of
from heptad.aggregator.reports import REPORTS
from heptad.aggregator.reports.windows import last_revisions
from heptad.aggregator.web.findings import list_findings
from heptad.aggregator.web.query import Query
from heptad.cli.main import main
from heptad.core.config.findings import FindingsConfig
from heptad.core.influxdb import query
from heptad.core.influxdb.state_row import STATE
from heptad.core.store.event_row import row_of_event
from heptad.core.store.line_protocol import line_of
from heptad.core.store.point import Row
from heptad.core.validation import Intake
from tests.support.aggregator_world import DAY, HOUR, MIDNIGHT, MINUTE, SECOND, World, attack, login
from tests.support.fleet_world import FleetWorld
from tests.support.influxdb import Influxd
from tests.support.outside_cases import STATES, WRONG_TYPES, Case, make_cases, make_state

CASES = int(os.environ.get("HEPTAD_FUZZ_CASES", "2000"))
"""Of all three backends together."""
A_BATCH = 200
BATCHES = max(1, CASES // 3 // A_BATCH)
A_WORLD = 9
"""Batches that one world takes, one for each wrong type: all of them are read again each time."""
WEEK = 7 * DAY
MONDAY = MIDNIGHT + 6 * DAY
"""The shards of a bucket that keeps everything begin on Mondays."""


class LocalWorld(World):
    """Two files, into which anyone may write."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.intake = folder, Intake()
        super().__init__(folder, rules=rules_of(FindingsConfig()))
        self.config = folder / "heptad.yaml"
        self.config.write_text(
            f"host: web1\nstore: {{path: {folder}/events.db, max_age: 9000d}}\n"
            f"aggregator: {{store: {{path: {folder}/reports.db, max_age: 9000d}}}}\n"
        )

    def start(self) -> None:
        """See World.start; both stores count in one place."""
        super().start()
        self.read.intake = self.reports.intake = self.intake
        self.cycle = Cycle(
            self.read, self.reports, self.plan, self.metrics, name=self.name, now=lambda: self.now
        )

    def write(self, cases: Sequence[Case]) -> None:
        """Put rows into the tables, past every check."""
        self.insert("events.db", [c.row for c in cases if c.kind == "event"])
        self.insert("reports.db", [c.row for c in cases if c.kind in ("finding", "report")])

    def insert(self, name: str, rows: Sequence[Row]) -> None:
        """Put rows into the tables of a file."""
        with closing(sqlite3.connect(self.folder / name)) as db, db:
            for row in rows:
                db.execute("INSERT OR IGNORE INTO series (head) VALUES (?)", (row.series,))
                (series,) = db.execute(
                    "SELECT id FROM series WHERE head = ?", (row.series,)
                ).fetchone()
                values = (series, row.time, row.body, row.raw)
                db.execute("INSERT INTO points (series, time, body, raw) VALUES (?,?,?,?)", values)

    def spoil_state(self, chance: random.Random) -> int:
        """Replace what the aggregator remembers; how much of it."""
        with closing(sqlite3.connect(self.folder / "reports.db")) as db, db:
            keys = [key for (key,) in db.execute("SELECT key FROM state")]
            for key in keys:
                values = (make_state(chance, key)[1], key)
                db.execute("UPDATE state SET value = ? WHERE key = ?", values)
        return len(keys)

    def is_counted(self, case: Case) -> bool:
        """Whether it is there at all: heartbeats are not."""
        return case.kind != "heartbeat"


class SharedWorld(FleetWorld):
    """Buckets into which everyone may write."""

    def __init__(self, server: Influxd, folder: Path) -> None:
        super().__init__(server, rules=rules_of(FindingsConfig()))
        self.config = folder / "heptad.yaml"
        names = self.buckets
        told = "".join(f"{key}: {value}, " for key, value in server.keys.items())
        self.config.write_text(
            f"host: web1\ninfluxdb: {{url: '{server.url}', timeout: 60s, {told}buckets: {{events: "
            f"{names.events}, reports: {names.reports}, heptad: {names.heptad}}}}}\n"
        )

    def check_rows(self) -> None:
        """Rows that others wrote are no rows of this world's."""

    def write(self, cases: Sequence[Case]) -> None:
        """Write points, as anyone may."""
        buckets = {"event": self.buckets.events, "heartbeat": self.buckets.heptad}
        for case in cases:
            bucket = buckets.get(case.kind, self.buckets.reports)
            self.server.write(bucket, [line_of(case.row)])

    def spoil_state(self, chance: random.Random) -> int:
        """Write states that are in force from now on; how many."""
        rows = []
        for key in STATES:
            self.clock += SECOND
            text = chance.choice(["no base64", "AAAA", make_state(chance, key)[0]])
            tags = [("owner", "aggregator"), ("key", key)]
            rows.append(STATE.row(tags, self.clock, {"value": text}))
        self.server.write(self.buckets.heptad, map(line_of, rows))
        return len(rows)

    def is_counted(self, case: Case) -> bool:
        """Whether it is there at all."""
        return True


Place = LocalWorld | SharedWorld


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("1", marks=pytest.mark.system),
        pytest.param("2", marks=pytest.mark.system),
    ]
)
def world(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    """A world on files, on a real InfluxDB 1.6 and on a real 2.7."""
    if request.param == "sqlite":
        with LocalWorld(tmp_path) as local:
            yield local
    else:
        # what the server knows of types is asked again at once, and not after some seconds
        monkeypatch.setattr(query, "_KNOWN_FOR", 0.0)
        name = {"1": "influxd", "2": "influxd_2"}[request.param]
        with SharedWorld(request.getfixturevalue(name), tmp_path) as shared:
            yield shared


def read_everything(world: Place) -> None:
    """Every view of findings, reports and events, over all of the time."""
    list_findings(world.reports, Query(since=0, until=2**62))
    world.findings()
    for report in REPORTS:
        last_revisions(world.reports, report.name, 0, 2**62)
    for _ in world.read.events(0, 2**62):
        pass


def rejected(world: Place) -> int:
    """How many values were rejected."""
    return sum(world.intake.counts().values())


def run(world: Place, *arguments: str) -> int:
    """A command of the command line, in this process."""
    return main([*arguments, "--config", str(world.config)])


def attackers(world: Place, address: str) -> set[str]:
    """The rules that found something of an address."""
    return {f.rule for f in world.findings() if f.subject == address}


@pytest.mark.parametrize("first", range(0, BATCHES, A_WORLD))
def test_fuzzed_values(world: Place, first: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Mutated values are counted one by one, and hide no attack that was written beside them."""
    seed = int(os.environ.get("HEPTAD_FUZZ_SEED", "14"))
    chance = random.Random(seed + first)
    for batch in range(first, min(first + A_WORLD, BATCHES)):
        noon = MONDAY + (batch - first) * 2 * WEEK + 12 * HOUR
        world.now = noon
        if isinstance(world, SharedWorld):
            world.clock = noon
        cases = [c for c in make_cases(chance, noon, A_BATCH) if world.is_counted(c)]
        before, wrong = rejected(world), WRONG_TYPES[batch % len(WRONG_TYPES)]
        world.write(cases)
        world.write(list(_wrong_type(noon + WEEK, *wrong)))
        address = f"203.0.113.{batch % 250}"
        world.append(attack(noon - 2 * MINUTE, 40, address))
        world.finish()
        read_everything(world)
        assert "brute_force" in attackers(world, address)
        invalid = sum(not case.valid for case in cases) + 1
        assert rejected(world) - before == invalid, (batch, world.intake.counts())
        before = rejected(world)
        spoilt = world.spoil_state(chance)
        world.restart()
        world.finish()
        assert "brute_force" in attackers(world, address)
        assert rejected(world) - before == spoilt, (batch, world.intake.counts())
        assert (
            run(world, "events", "--since", "9000d"),
            run(world, "report", "--since", "9000d"),
        ) == (0, 0)
        capsys.readouterr()


def _wrong_type(noon: int, name: str, value: Any) -> Iterator[Case]:
    """An event with a field of another type, the first of its shard, and what may be there too."""
    tags = dict.fromkeys(("host", "source", "program"), "x")
    tags |= {"action": "login", "outcome": "failure"}
    yield Case("event", "events", tags, noon, {"count": 1, name: value}, valid=False)
    if name != "count":
        yield Case("event", "events", tags, noon + 1, {"count": 1}, valid=True)


COLUMNS = [
    "body = X'FF94'",
    "body = CAST(X'FF22' AS TEXT)",
    "body = 'count=zz'",
    "body = ''",
    "body = 'count=' || printf('%.*c', 5000, '9') || 'i'",
    "raw = CAST(X'63FF' AS TEXT)",
    "raw = 7",
    "time = 'noon'",
    "time = 1.5",
    "time = -5",
    "time = X'00'",
]


@pytest.mark.parametrize("change", COLUMNS)
def test_a_column_of_another_kind(
    tmp_path: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row that SQLite finds sound and Heptad never wrote costs itself only."""
    with LocalWorld(tmp_path) as world:
        world.append([login(MIDNIGHT - HOUR, "192.0.2.50"), *attack(MIDNIGHT, 40, "203.0.113.9")])
        with closing(sqlite3.connect(tmp_path / "events.db")) as db, db:
            db.execute(f"UPDATE points SET {change} WHERE id = 1")  # noqa: S608 - a constant
        world.finish()
        read_everything(world)
        assert "brute_force" in attackers(world, "203.0.113.9")
        assert rejected(world) <= 1  # what is not an integer is in no range of time
        assert (run(world, "events", "--since", "9000d"), run(world, "report")) == (0, 0)
        assert capsys.readouterr().out.count("203.0.113.9") >= 40


def test_an_attack_after_an_event_before_1970(tmp_path: Path) -> None:
    """A stamp before the epoch, as earlier versions stored it, turns no rule off."""
    with LocalWorld(tmp_path) as world:
        world.insert("events.db", [row_of_event(login(-MINUTE, "192.0.2.50"))])
        world.append(attack(MIDNIGHT, 40, "203.0.113.9"))
        world.finish()
        assert "brute_force" in attackers(world, "203.0.113.9")
        assert world.intake.counts()["event", "time"] == 1


def test_values_are_logged_once_a_sort(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A thousand rejected values of one sort are a line in the log, and counted each once."""
    with LocalWorld(tmp_path) as world:
        rows = [login(MIDNIGHT + n * SECOND, "192.0.2.50", count=0) for n in range(1000)]
        world.insert("events.db", list(map(row_of_event, rows)))
        for _ in range(3):
            read_everything(world)
        assert [r.levelno for r in caplog.records] == [logging.WARNING]
        assert world.intake.counts()["event", "number"] == 1000
