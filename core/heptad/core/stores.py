"""Open the stores of a configuration for reading."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from heptad.core.config.influxdb import InfluxConfig
from heptad.core.config.schema import Config
from heptad.core.influxdb.client import InfluxConnection, NoSecret, Unreachable
from heptad.core.influxdb.query import NotAllowed
from heptad.core.influxdb.store import InfluxStore
from heptad.core.store.api import EventStore, StoreError
from heptad.core.store.sqlite import LocalStore
from heptad.core.validation import Intake

_OWNER = "reader"


def open_events(config: Config, stack: ExitStack, intake: Intake) -> EventStore:
    """Open the events, those of the fleet if InfluxDB is configured; raise StoreError.

    If this host may not read InfluxDB, errors within ``stack`` name the remedy.
    """
    if config.influxdb is not None:
        stack.enter_context(_pointing_to_local())
        return _open_bucket(config.influxdb, config.influxdb.buckets.events, stack, intake)
    return _open_file(Path(config.store.path), stack, intake)


def open_reports(config: Config, stack: ExitStack, intake: Intake) -> EventStore | None:
    """Open the findings and reports; None if they do not exist yet. Raise StoreError."""
    if config.influxdb is not None:
        return _open_bucket(config.influxdb, config.influxdb.buckets.reports, stack, intake)
    path = Path(config.aggregator.store.path)
    return _open_file(path, stack, intake) if path.exists() else None


@contextmanager
def _pointing_to_local() -> Iterator[None]:
    try:
        yield
    except NoSecret:
        raise
    except (NotAllowed, Unreachable) as error:
        why = "An exporter's token may only write. " if isinstance(error, NotAllowed) else ""
        raise StoreError(f"{error}. {why}Use --local to read the store of this host") from error


def _open_file(path: Path, stack: ExitStack, intake: Intake) -> LocalStore:
    store = stack.enter_context(LocalStore(path))
    store.intake = intake
    return store


def _open_bucket(
    influxdb: InfluxConfig, bucket: str, stack: ExitStack, intake: Intake
) -> InfluxStore:
    connection = InfluxConnection(influxdb)
    stack.callback(connection.close)
    return InfluxStore(connection, bucket, _OWNER, intake=intake)
