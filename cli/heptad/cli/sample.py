"""The included sample: a recorded log, replayed with current timestamps."""

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
"""Seconds that the replay takes; the pauses of the recording are shortened in proportion."""
_HOST: Final = "sample-host"


def prepare(config: Config) -> tuple[Config, Path]:
    """Create a log and stores for the sample, and the configuration for them.

    Data of earlier runs is kept. Ports, their security and the log settings are those of
    ``config``. Raise StoreError if the directory cannot be created, or a sample is already running.
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
    """Return the path of the log that the replay writes."""
    return state_folder() / "sample" / "auth.log"


def make_replay() -> Callable[[threading.Event], None]:
    """Return a function that writes the sample's lines with current timestamps, in their rhythm.

    If it is called again after it was stopped, it continues with the remaining lines.
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
