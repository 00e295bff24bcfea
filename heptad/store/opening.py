"""The stores of a configuration, for those who only read."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from heptad.config import Config
from heptad.influxdb.connection import Connection
from heptad.influxdb_config import InfluxConfig
from heptad.store import StoreError
from heptad.store.influxdb import InfluxStore
from heptad.store.local import LocalStore

ReadStore = LocalStore | InfluxStore

_OWNER = "reader"


def open_events(config: Config, stack: ExitStack) -> ReadStore:
    """The events: of the fleet where InfluxDB is configured; raises StoreError.

    What ``stack`` holds then ends with the remedy where InfluxDB cannot be read.
    """
    if config.influxdb is not None:
        stack.enter_context(_pointing_to_local())
        return _open_bucket(config.influxdb, config.influxdb.buckets.events, stack)
    return stack.enter_context(LocalStore(Path(config.store.path)))


def open_reports(config: Config, stack: ExitStack) -> ReadStore | None:
    """Findings and reports; None where nobody computed any. Raises StoreError."""
    if config.influxdb is not None:
        return _open_bucket(config.influxdb, config.influxdb.buckets.reports, stack)
    path = Path(config.aggregator.store.path)
    return stack.enter_context(LocalStore(path)) if path.exists() else None


@contextmanager
def _pointing_to_local() -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        raise StoreError(
            f"{error}. An exporter's token may only write; --local reads this host's own store"
        ) from error


def _open_bucket(influxdb: InfluxConfig, bucket: str, stack: ExitStack) -> InfluxStore:
    connection = Connection(influxdb)
    stack.callback(connection.close)
    return InfluxStore(connection, bucket, _OWNER)
