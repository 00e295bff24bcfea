"""A subprocess of the delivery benchmark that imports no more than an exporter does.

``python -m bench.delivering deliver|post|read FOLDER URL KEYS`` prints its measurements; KEYS is
JSON with further keys of the section `influxdb:`.
"""

import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import psutil

from heptad.core.config.influxdb import InfluxConfig, RetentionConfig
from heptad.core.config.schema import Config, FileSourceConfig, StoreConfig
from heptad.core.config.types import Duration, Size
from heptad.core.influxdb.client import InfluxConnection
from heptad.core.influxdb.write import InfluxSink
from heptad.core.store.outbox import Outbox
from heptad.core.store.sqlite import LocalStore
from heptad.exporter.app import Exporter
from heptad.exporter.delivery.delivery_state import DeliveryState
from heptad.exporter.delivery.forwarder import DELIVERY_STATE

_NO_CONTENT: Final = 204
Keys = Mapping[str, str]


def configure(folder: Path, url: str | None, *logs: str, **keys: str) -> Config:
    """Configure an exporter of ``logs`` that delivers events of any age to ``url``."""
    source = FileSourceConfig(name="bench", paths=list(logs) or [str(folder / "none.log")])
    config = Config(
        host="bench", sources=[source], store=StoreConfig(path=str(folder / "events.db"))
    )
    config.store.max_size = Size("4GiB")
    if url is not None:
        config.influxdb = _server(url, keys)
    return config


def _server(url: str, keys: Keys) -> InfluxConfig:
    retention = RetentionConfig(events=Duration("36500d"))
    return msgspec.convert({"url": url, "retention": retention, **keys}, InfluxConfig)


def deliver(folder: Path, url: str, keys: Keys) -> None:
    """Deliver the store in ``folder``.

    Print the time and the CPU time in seconds, and the resident memory in MB: early, last and
    maximum.
    """
    exporter = Exporter(configure(folder, url, **keys), once=True, serve=False)
    forwarder = exporter.delivery and exporter.delivery.begin(threading.Event())
    if forwarder is None:
        sys.exit("no delivery is configured")
    sizes: list[float] = []
    stop = threading.Event()
    watch = threading.Thread(target=_watch, args=(sizes, stop))
    watch.start()
    begun, used = time.perf_counter(), time.process_time()
    if not forwarder.drain(threading.Event()):
        sys.exit("; ".join(forwarder.problems()))
    took, used = time.perf_counter() - begun, time.process_time() - used
    stop.set()
    watch.join()
    early = sizes[min(len(sizes) - 1, len(sizes) // 10)]
    print(took, used, early, sizes[-1], max(sizes))


def _watch(sizes: list[float], stop: threading.Event) -> None:
    process = psutil.Process()
    while not stop.wait(0.2):
        sizes.append(process.memory_info().rss / 2**20)


def post(folder: Path, url: str, keys: Keys) -> None:
    """Post the same data sequentially; it is encoded and compressed before the time starts.

    Print the time and the CPU time in seconds.
    """
    sink = InfluxSink(InfluxConnection(_server(url, keys)), "events")
    outbox, position, parcels = Outbox(folder / "events.db"), 0, []
    while (chunk := outbox.take(position, 5000, 2**20, -(2**63))).ids:
        payload = sink.encode(chunk.lines)
        parcels.append(msgspec.structs.replace(payload, lines=()))
        position = chunk.position
    begun, used = time.perf_counter(), time.process_time()
    for payload in parcels:
        answer = sink.post(payload.data)
        if answer.status != _NO_CONTENT:
            sys.exit(answer.text)
    print(time.perf_counter() - begun, time.process_time() - used)


def read(folder: Path, url: str, keys: Keys) -> None:
    """Read the log in ``folder`` while the server is down, or without a server (``none``)."""
    with LocalStore(folder / "events.db", write=True) as store:
        # so that it need not query the server first, and the lines do not count as history
        account = msgspec.json.encode(DeliveryState())
        store.append([], {"first_start": b"0", DELIVERY_STATE: account})
    config = configure(folder, None if url == "none" else url, str(folder / "auth.log"), **keys)
    exporter = Exporter(config, serve=False)
    stop = threading.Event()
    threads = [threading.Thread(target=part, args=(stop,)) for part in exporter.workers().values()]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    read, size = 0.0, (folder / "auth.log").stat().st_size
    while read < 0.99 * size:
        time.sleep(0.02)
        totals = exporter.metrics.totals()
        read = sum(v for (name, _), v in totals.items() if name == "heptad_read_bytes_total")
    print(time.perf_counter() - begun)
    stop.set()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    parts = {"deliver": deliver, "post": post, "read": read}
    parts[sys.argv[1]](Path(sys.argv[2]), sys.argv[3], msgspec.json.decode(sys.argv[4]))
