"""The aggregator as it runs: stores that are missing, taken, replaced or broken, and kills."""

import logging
import random
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from heptad.aggregator.app import Aggregator
from heptad.aggregator.detection.latest import latest_findings
from heptad.aggregator.detection.rules import rules_of
from heptad.aggregator.reports.windows import last_revisions
from heptad.core.config.schema import Config, load_config
from heptad.core.config.types import Listen
from heptad.core.config.web import ServerError
from heptad.core.event import Event
from heptad.core.store.api import StoreError
from heptad.core.store.event_row import row_of_event
from heptad.core.store.sqlite import LocalStore
from tests.support import needs
from tests.support.aggregator_world import DAY, HOUR, MINUTE, SECOND, World, attack, login
from tests.support.waiting import until

KILLS = 30
NOW = time.time_ns()
TODAY = NOW // DAY * DAY


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Everything in a folder of its own, and no waiting."""
    file = tmp_path / "heptad.yaml"
    settings = {
        "store": {"path": str(tmp_path / "events.db")},
        "aggregator": {
            "store": {"path": str(tmp_path / "reports.db")},
            "listen": "127.0.0.1:0",
            "poll": "10ms",
            "max_wait": "1s",
            "findings": {"brute_force": {"attempts": 4, "span": "3m"}},
        },
    }
    file.write_text(yaml.safe_dump(settings))
    return load_config(file)


def write(config: Config, events: list[Event]) -> None:
    """Events arrive, from an exporter that ends again."""
    with LocalStore(Path(config.store.path), write=True) as store:
        store.append([row_of_event(event) for event in events])


def subjects(config: Config) -> set[str]:
    """Whom findings are about; nobody while there is no store."""
    with suppress(StoreError), LocalStore(Path(config.aggregator.store.path)) as store:
        return {finding.subject for finding in latest_findings(store, 0, 2**62)}
    return set()


def move_aside(path: Path) -> None:
    """Rename a store with all that belongs to it, as an exporter does that finds it corrupt."""
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(path.with_name("aside.db" + suffix))


@contextmanager
def running(config: Config) -> Iterator[Aggregator]:
    """An aggregator in a thread."""
    aggregator = Aggregator(config)
    stop = threading.Event()
    thread = threading.Thread(target=aggregator.run, args=(stop,))
    thread.start()
    try:
        yield aggregator
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive()


def fetch(aggregator: Aggregator, path: str) -> tuple[int, str]:
    """Status and text."""
    assert aggregator.server is not None
    try:
        with urllib.request.urlopen(f"{aggregator.server.url}{path}") as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def once(config: Config, since: int | None = None, until: int | None = None) -> None:
    """Run to the end."""
    Aggregator(config, once=True, since=since, until=until).run(threading.Event())


def test_once_works_off_everything(config: Config) -> None:
    """`--once` writes the findings and all windows that are over, and ends."""
    write(config, attack(TODAY - 3 * DAY) + attack(NOW - 10 * MINUTE, address="192.0.2.2"))
    once(config)
    assert subjects(config) == {"192.0.2.1", "192.0.2.2"}
    with LocalStore(Path(config.aggregator.store.path)) as store:
        windows = last_revisions(store, "report_attempts", 0, 2**62)
    assert {(TODAY - 3 * DAY, size) for size in ("5m", "1h", "1d")} <= windows.keys()
    assert (TODAY, "1d") not in windows


def test_once_needs_a_store(config: Config) -> None:
    """`--once` without events says so, and leaves no empty store behind."""
    with pytest.raises(
        StoreError, match="the store of events does not exist; run `heptad exporter` first"
    ):
        Aggregator(config, once=True)
    assert not Path(config.aggregator.store.path).exists()


def test_range_by_hand(config: Config) -> None:
    """`--since` computes that range again, and only that; a range without events is no error."""
    write(config, attack(TODAY - 3 * DAY) + attack(TODAY - 9 * DAY, address="192.0.2.2"))
    once(config, since=TODAY - 4 * DAY)
    assert subjects(config) == {"192.0.2.1"}
    once(config, since=TODAY - 2 * DAY)
    once(config, since=0, until=TODAY - 5 * DAY)
    assert subjects(config) == {"192.0.2.1", "192.0.2.2"}


def test_waits_for_the_store(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    """Started before the exporter, it says once that there is nothing yet, and waits.

    Where it looks while the store is being made, that is another reason.
    """
    with running(config) as aggregator:
        until(lambda: fetch(aggregator, "/healthz")[0] == 503)
        assert "the store does not exist yet" in fetch(aggregator, "/healthz")[1]
        write(config, attack(NOW))
        until(lambda: subjects(config) == {"192.0.2.1"})
        until(lambda: fetch(aggregator, "/healthz")[0] == 200)
    told = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert told in (["events: problem"], ["events: problem", "events: another problem"])


def test_follows_a_store_that_was_begun_anew(config: Config) -> None:
    """When the exporter sets its store aside, the aggregator goes on with the new one."""
    write(config, attack(NOW))
    with running(config):
        until(lambda: subjects(config) == {"192.0.2.1"})
        move_aside(Path(config.store.path))
        write(config, attack(NOW, address="192.0.2.2"))
        until(lambda: subjects(config) == {"192.0.2.1", "192.0.2.2"})


def test_outlives_a_corrupt_store_of_events(config: Config) -> None:
    """While the events cannot be read it says so; it goes on when they can."""
    write(config, attack(NOW))
    with running(config) as aggregator:
        until(lambda: subjects(config) == {"192.0.2.1"})
        path = Path(config.store.path)
        move_aside(path)
        path.write_bytes(b"this is no database" * 1000)
        until(lambda: "heptad_aggregator_events_failing 1.0" in fetch(aggregator, "/metrics")[1])
        assert fetch(aggregator, "/healthz")[0] == 503
        write(config, attack(NOW, address="192.0.2.2"))
        until(lambda: subjects(config) == {"192.0.2.1", "192.0.2.2"})
        until(lambda: fetch(aggregator, "/healthz")[0] == 200)


def test_corrupt_store_of_its_own_is_set_aside_and_filled_again(config: Config) -> None:
    """What was in it is computed again from the events; the file is kept."""
    write(config, attack(NOW))
    once(config)
    path = Path(config.aggregator.store.path)
    path.write_bytes(b"this is no database" * 1000)
    with running(config) as aggregator:
        until(lambda: subjects(config) == {"192.0.2.1"})
        assert "heptad_aggregator_store_set_aside 1.0" in fetch(aggregator, "/metrics")[1]
    assert len(list(path.parent.glob("reports.db.corrupt-*"))) == 1


def test_full_disk_loses_nothing(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing can be written it says so; what came meanwhile is written when it can be."""
    write(config, attack(NOW))
    append, full = LocalStore.append, threading.Event()

    def refuse(store: LocalStore, *rest: Any, **more: Any) -> None:
        if full.is_set() and store.path == Path(config.aggregator.store.path):
            raise StoreError(f"{store.path}: database or disk is full")
        append(store, *rest, **more)

    monkeypatch.setattr(LocalStore, "append", refuse)
    with running(config) as aggregator:
        until(lambda: subjects(config) == {"192.0.2.1"})
        full.set()
        write(config, attack(NOW, address="192.0.2.2"))
        until(lambda: "disk is full" in fetch(aggregator, "/healthz")[1])
        assert "heptad_aggregator_store_failing 1.0" in fetch(aggregator, "/metrics")[1]
        full.clear()
        until(lambda: subjects(config) == {"192.0.2.1", "192.0.2.2"})
        until(lambda: fetch(aggregator, "/healthz")[0] == 200)


def test_second_aggregator_is_told_of_the_first(config: Config) -> None:
    """Two may not write one store."""
    with running(config), pytest.raises(StoreError, match="another Heptad"):
        Aggregator(config)


def test_port_in_use_leaves_nothing_locked(config: Config) -> None:
    """A port that is taken is a clear message, and the store is free again."""
    with running(config) as aggregator:
        assert aggregator.server is not None
        taken = aggregator.server.url.removeprefix("http://")
        other = msgspec.structs.replace(config)
        other.aggregator = msgspec.structs.replace(
            config.aggregator,
            listen=Listen(taken),
            store=msgspec.structs.replace(config.aggregator.store, path=config.store.path + "2"),
        )
        with pytest.raises(ServerError, match="cannot listen on"):
            Aggregator(other)
    LocalStore(Path(config.store.path + "2"), write=True).close()


def test_metrics_are_as_prometheus_wants_them(config: Config) -> None:
    """promtool has nothing to say of what is exposed, and the findings are in it."""
    needs.program("promtool")
    write(config, attack(NOW))
    with running(config) as aggregator:
        until(lambda: subjects(config) == {"192.0.2.1"})
        found = 'heptad_findings_total{rule="brute_force",severity="low"} 1.0'
        until(lambda: found in fetch(aggregator, "/metrics")[1])
        text = fetch(aggregator, "/metrics")[1]
    own = [line for line in text.splitlines(keepends=True) if "heptad_" in line]
    check = subprocess.run(
        ["promtool", "check", "metrics"],
        input="".join(own),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (check.returncode, check.stdout, check.stderr) == (0, "", "")
    value = next(line for line in own if line.startswith("heptad_aggregator_behind_seconds "))
    assert float(value.split()[1]) < 20


@pytest.mark.long
def test_survives_kill_9_anywhere(config: Config, tmp_path: Path) -> None:
    """Killed again and again while events arrive: the outcome is that of one undisturbed run."""
    chance = random.Random(7)
    store = LocalStore(Path(config.store.path), write=True)
    waiting = [
        login(
            TODAY - DAY - 3 * HOUR + n * 7 * SECOND,
            f"192.0.2.{chance.randrange(12)}",
            user=chance.choice(["root", "admin", 'a"b\\\n']),
            outcome=chance.choice(["failure"] * 5 + ["success"]),
        )
        for n in range(3000)
    ]
    late = [waiting.pop(chance.randrange(len(waiting))) for _ in range(300)]
    events = waiting + late
    file = str(tmp_path / "heptad.yaml")
    command = [sys.executable, "-m", "heptad", "aggregator", "--config", file]
    for _ in range(KILLS):
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            deadline = time.monotonic() + 0.3 + chance.random() * 0.5
            while time.monotonic() < deadline:
                taken, waiting = waiting[:12], waiting[12:]
                taken += [late.pop() for _ in range(min(len(late), chance.randrange(2)))]
                store.append([row_of_event(event) for event in taken])
                time.sleep(0.03)
            process.kill()
            process.wait()
    store.append([row_of_event(event) for event in waiting + late])
    store.close()
    subprocess.run([*command, "--once"], check=True, stderr=subprocess.DEVNULL)
    with LocalStore(Path(config.aggregator.store.path)) as reports:
        findings = latest_findings(reports, 0, 2**62)
        windows = last_revisions(reports, "report_attempts", 0, 2**62)
        progress = reports.recall("progress")
    assert progress is not None
    assert msgspec.json.decode(progress)["position"] == str(len(events))
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    with World(undisturbed, rules=rules_of(config.aggregator.findings)) as world:
        world.append(events)
        world.now = time.time_ns()
        world.run_cycle(everything=True)
        assert findings == world.findings()
        assert len(findings) > 10
        rows = {(window.size, window.start): written.rows for window, written in windows.items()}
        assert rows == world.windows()
