"""The sample that ships with Heptad: a captured log, written once more as if it were now."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Final

import msgspec
import yaml

from heptad.core.config.schema import Config, load_config, state_folder
from heptad.core.store.api import StoreError
from heptad.core.store.sqlite_file import lock_file

_LASTS: Final = 40.0
"""Seconds that the replay takes; the capture's own pauses are shortened in proportion."""
_HOST: Final = "sample-host"


def prepare(config: Config) -> tuple[Config, Path]:
    """A log and stores of its own for the sample, and the configuration that names them.

    What an earlier run stored is kept. Ports, how they are secured, and log are those of
    ``config``. Raises StoreError where the folder
    cannot be made, or a sample runs there already.
    """
    folder = state_folder() / "sample"
    try:
        state_folder().mkdir(parents=True, exist_ok=True, mode=0o750)
        folder.mkdir(exist_ok=True, mode=0o750)
        os.close(lock_file(folder / "events.db"))
        log_path().touch()
    except OSError as error:
        raise StoreError(
            f"{folder}: cannot create the directory: {error.strerror}; set STATE_DIRECTORY "
            "to another directory"
        ) from None
    content = {
        "host": _HOST,
        "log": msgspec.to_builtins(config.log),
        "exporter": msgspec.to_builtins(config.exporter, enc_hook=str),
        "store": {"path": str(folder / "events.db")},
        "sources": [{"type": "file", "name": "sample", "paths": [str(log_path())]}],
        "aggregator": {
            "listen": str(config.aggregator.listen),
            "web_config_file": config.aggregator.web_config_file,
            "page": config.aggregator.page,
            "store": {"path": str(folder / "reports.db")},
        },
    }
    path = folder / "heptad.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return load_config(path), path


def log_path() -> Path:
    """The file the sample is written to."""
    return state_folder() / "sample" / "auth.log"


def make_replay() -> Callable[[threading.Event], None]:
    """What writes the sample's lines with the stamps of now, in their rhythm.

    Called again after it was stopped, it goes on with the lines that are left.
    """
    text = (files("heptad.cli") / "sample_log" / "auth.log").read_text(encoding="utf-8")
    lines = deque(line.partition(" ") for line in text.splitlines())
    times = [datetime.fromisoformat(stamp).timestamp() for stamp, _, _ in lines]
    begin, pace = times[0], _LASTS / max(times[-1] - times[0], _LASTS)
    started = time.time()

    def replay(stop: threading.Event) -> None:
        with log_path().open("a", encoding="utf-8") as log:
            while lines:
                due = started + (times[-len(lines)] - begin) * pace
                if stop.wait(max(0.0, due - time.time())):
                    return
                rest = lines.popleft()[2]
                log.write(f"{datetime.now(UTC).isoformat(timespec='microseconds')} {rest}\n")
                log.flush()
        stop.wait()

    return replay
