"""The sample that ships with Heptad: a captured log, written once more as if it were now."""

import shutil
import threading
import time as clock
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Final

import yaml

from heptad.config import Config, load_config, state_folder

_LASTS: Final = 40.0
"""Seconds that the replay takes; the capture's own pauses are shortened in proportion."""
_HOST: Final = "sample-host"


def prepare() -> tuple[Config, Path]:
    """An empty log and stores of its own for the sample, and the configuration that names them."""
    folder = state_folder() / "sample"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log_path().touch()
    content = {
        "host": _HOST,
        "store": {"path": str(folder / "events.db")},
        "sources": [{"type": "file", "name": "sample", "paths": [str(log_path())]}],
        "aggregator": {"store": {"path": str(folder / "reports.db")}},
    }
    path = folder / "heptad.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return load_config(path), path


def log_path() -> Path:
    """The file the sample is written to."""
    return state_folder() / "sample" / "auth.log"


def replay(stop: threading.Event) -> None:
    """Write the sample's lines with the stamps of now, in their rhythm."""
    text = (files("heptad") / "sample" / "auth.log").read_text(encoding="utf-8")
    lines = [line.partition(" ") for line in text.splitlines()]
    times = [datetime.fromisoformat(stamp).timestamp() for stamp, _, _ in lines]
    begin, pace = times[0], _LASTS / max(times[-1] - times[0], _LASTS)
    started = clock.time()
    with log_path().open("a", encoding="utf-8") as log:
        for time, (_, _, rest) in zip(times, lines, strict=True):
            due = started + (time - begin) * pace
            if stop.wait(max(0.0, due - clock.time())):
                return
            log.write(f"{datetime.now(UTC).isoformat(timespec='microseconds')} {rest}\n")
            log.flush()
    stop.wait()
