"""A subprocess of the throughput benchmark: read a log into a new store, including counters.

``python -m bench.ingest LOG STORE`` prints the number of lines that it counted.
"""

import sys
import threading
from pathlib import Path

from heptad.core.config.schema import Config, FileSourceConfig, StoreConfig
from heptad.core.store.sqlite import LocalStore
from heptad.exporter.app import Exporter


def main() -> None:
    """Read sys.argv[1] into the store sys.argv[2]."""
    log, path = sys.argv[1:]
    with LocalStore(Path(path), write=True) as store:
        # so that the lines are counted: history is stored, but not counted
        store.append([], {"first_start": b"0"})
    source = FileSourceConfig(name="bench", paths=[log])
    config = Config(host="bench", store=StoreConfig(path=path), sources=[source])
    exporter = Exporter(config, once=True, serve=False)
    exporter.run(threading.Event())
    totals = exporter.metrics.totals()
    print(int(sum(v for (name, _), v in totals.items() if name == "heptad_lines_total")))


if __name__ == "__main__":
    main()
