"""How a pipeline and the parts around it end: told, with all given back, whatever hangs or fails."""

import logging
import threading
import time
from datetime import UTC
from pathlib import Path

import pytest

from heptad.cli.commands import DONE, FAILED
from heptad.cli.runtime.supervisor import run_workers
from heptad.core.config.schema import Config, FileSourceConfig, StoreConfig
from heptad.core.config.types import Listen
from heptad.core.http.server import Server
from heptad.core.store.api import StoreError
from heptad.core.store.sqlite import LocalStore
from heptad.exporter.app import Exporter
from tests.support.feed import Bench, Retry, line


def fail(*_: object) -> None:
    """A fault nobody foresaw."""
    raise RuntimeError("unforeseen")


def test_sources_are_closed_after_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault while committing is told before the end, and still every source is closed."""
    bench = Bench(tmp_path / "events.db")
    bench.start([[line("12:00:00")]], [])
    closed: list[str] = []
    for feed in bench.feeds:
        monkeypatch.setattr(feed, "close", lambda name=feed.name: closed.append(name))
    monkeypatch.setattr(bench.store, "append", fail)
    with pytest.raises(RuntimeError, match="unforeseen"):
        bench.pipelines.pop().run(threading.Event())
    assert sorted(closed) == ["feed0", "feed1"]
    bench.store.close()


def test_a_fault_while_the_store_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault ends the pipeline also where the store fails, and would else be waited for."""
    bench = Bench(tmp_path / "events.db")
    bench.start([[line("12:00:00")]])

    def refuse(*_: object) -> None:
        raise StoreError("disk full")

    monkeypatch.setattr(bench.store, "append", refuse)
    monkeypatch.setattr(bench.feeds[0], "health", fail)
    stop = Retry(lambda waits: stop.is_set())
    with pytest.raises(RuntimeError, match="unforeseen"):
        bench.pipelines.pop().run(stop)
    bench.store.close()


def make_exporter(folder: Path) -> Exporter:
    """An exporter of an empty log, on a free port."""
    (folder / "auth.log").touch()
    source = FileSourceConfig(name="auth", paths=[str(folder / "auth.log")], timezone=UTC)
    config = Config(host="h", sources=[source], store=StoreConfig(path=str(folder / "events.db")))
    config.exporter.listen = Listen("127.0.0.1:0")
    return Exporter(config)


def test_a_fault_while_the_server_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault is told, the store given back and the status 1, though the server hangs."""
    hanging = threading.Event()
    told: list[str] = []
    close = Server.close

    def look_and_close(server: Server) -> None:
        told.extend(r.getMessage() for r in caplog.records if r.levelno == logging.CRITICAL)
        LocalStore(tmp_path / "events.db", write=True).close()
        told.append("the store is free")
        close(server)

    monkeypatch.setattr(Server, "close", look_and_close)
    monkeypatch.setattr(Server, "_serve", lambda _: hanging.wait(60))
    monkeypatch.setattr("heptad.core.http.server._CLOSED_WITHIN", 0.2)
    exporter = make_exporter(tmp_path)
    monkeypatch.setattr(exporter.pipeline, "step", fail)
    begun = time.monotonic()
    assert run_workers({"exporter": exporter.run}) == FAILED
    assert time.monotonic() - begun < 30
    hanging.set()
    assert told == ["pipeline failed", "the store is free"]


def test_a_part_that_hangs_after_another_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that does not stop though another one failed is left behind."""
    monkeypatch.setattr("heptad.cli.runtime.supervisor._PATIENCE", 0.2)
    hanging = threading.Event()

    def hang(_: threading.Event) -> None:
        hanging.wait(60)

    begun = time.monotonic()
    assert run_workers({"bad": fail, "hangs": hang}) == FAILED
    assert time.monotonic() - begun < 30
    hanging.set()


def test_parts_end_together() -> None:
    """One part that fails stops the others; where none does, the status is 0."""
    stopped = threading.Event()

    def wait(stop: threading.Event) -> None:
        assert stop.wait(10)
        stopped.set()

    assert run_workers({"good": wait, "bad": fail}) == FAILED
    assert stopped.is_set()
    assert run_workers({"good": lambda stop: None}) == DONE
