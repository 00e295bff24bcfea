"""The exporter process: creates its parts from the configuration, and starts and stops them."""

import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from heptad.core import units
from heptad.core.config.schema import (
    Config,
    FileSourceConfig,
    JournaldSourceConfig,
    SourceConfig,
)
from heptad.core.gc_tuning import tune_gc
from heptad.core.host import machine_id
from heptad.core.locale_names import find_locale
from heptad.core.store.sqlite import LocalStore
from heptad.core.telemetry.metrics import StoredMetrics
from heptad.exporter.delivery.delivery_state import find_machine_id
from heptad.exporter.handover import locations_of
from heptad.exporter.metrics import ExporterMetrics
from heptad.exporter.normalize.login_attempts import label_sets
from heptad.exporter.normalize.normalizer import Normalizer
from heptad.exporter.normalize.privacy import Privacy, make_privacy
from heptad.exporter.normalize.provenance import make_user_ids
from heptad.exporter.parsing.rulebook import Rulebook
from heptad.exporter.pipeline import Pipeline
from heptad.exporter.running_source import RunningSource
from heptad.exporter.settings import make_rulebook
from heptad.exporter.sources import Source
from heptad.exporter.sources.file.source import FileSource
from heptad.exporter.sources.journald.source import JournaldSource

if TYPE_CHECKING:
    from heptad.core.http.server import Server
    from heptad.exporter.delivery.influxdb import Delivery


class NoSources(Exception):
    """No source is configured, and the host at ``root`` has none that can be read."""

    def __init__(self, root: Path = Path("/")) -> None:
        places = (str(root / place.lstrip("/")) for place in (*JOURNALS, *AUTH_LOGS))
        super().__init__(
            f"cannot read the journal or an auth log of this host ({', '.join(places)}); run "
            "Heptad as root or as a member of the groups systemd-journal and adm, or configure "
            "a source"
        )


AUTH_LOGS: Final = ("/var/log/auth.log", "/var/log/secure", "/var/log/messages", "/var/log/syslog")
_TICK: Final = 0.1
JOURNALS: Final = ("/var/log/journal", "/run/log/journal")


class Exporter:
    """Sources, store, pipeline and HTTP port of one host; with ``once``, ``run`` reads to the end.

    ``rulebook``, ``sources``: those of the configuration, if already known. ``also`` are exposed
    on the port in addition to its own metrics. Raises DocumentError,
    NoSources, StoreError or ServerError if it cannot start.
    """

    def __init__(
        self,
        config: Config,
        *,
        once: bool = False,
        serve: bool = True,
        rulebook: Rulebook | None = None,
        sources: list[SourceConfig] | None = None,
        also: Sequence[StoredMetrics] = (),
    ) -> None:
        self.once = once
        self.rulebook = rulebook or make_rulebook(config)
        self.sources = sources or find_sources(config)
        self._also = also
        self.store = open_store(config)
        self.metrics = ExporterMetrics(
            self.store.counters(), label_sets(self.rulebook), self.store.intake
        )
        self.metrics.set("heptad_host_info", 1, config.host)
        self.server: Server | None = None
        try:
            privacy = make_privacy(config.privacy, self.store.path)
            running_sources = [
                make_running_source(source, config, self.rulebook, privacy, once=once)
                for source in self.sources
            ]
            self.pipeline = Pipeline(self.store, running_sources, self.metrics, config.host)
            self.delivery = self._make_delivery(config)
            if self.delivery is not None:
                self.pipeline.others = self.delivery.problems
            if serve:
                self.server = self._make_server(config)
        except BaseException:
            self.store.close()
            raise

    def _make_delivery(self, config: Config) -> "Delivery | None":
        if config.influxdb is None:
            return None
        from heptad.exporter.delivery.influxdb import Delivery  # noqa: PLC0415 - HTTP uses 10 MB, only for delivery

        behind, deaf = self.pipeline.is_behind, self.pipeline.is_deaf
        return Delivery(config, config.influxdb, self.store, self.metrics, behind, deaf)

    def problems(self) -> list[str]:
        """Return the current problems, one sentence each, for /healthz."""
        return self.pipeline.problems() + (self.delivery.problems() if self.delivery else [])

    def workers(self) -> dict[str, Callable[[threading.Event], None]]:
        """Return what runs in threads of its own."""
        workers: dict[str, Callable[[threading.Event], None]] = {"exporter": self.run}
        if self.delivery is not None:
            workers["forwarder"] = self.delivery.run
        return workers

    def _make_server(self, config: Config) -> "Server":
        from heptad.core.http.server import Server  # noqa: PLC0415 - not needed without a port
        from heptad.exporter.exposition import make_registry  # noqa: PLC0415 - takes a tenth of a second

        return Server(
            config.exporter.listen.address,
            make_registry(
                (self.metrics, *self._also),
                host=Path(config.exporter.host_root) if config.exporter.host_metrics else None,
            ),
            self.problems,
            web_config=config.exporter.web_config_file,
        )

    def describe(self) -> dict[str, str]:
        """Return what it reads, stores and serves, for display."""
        told = {"sources": ", ".join(map(describe_source, self.sources))}
        told["store"] = str(self.store.path)
        if self.delivery is not None:
            told["delivers"] = self.delivery.describe()
        if self.server is not None:
            told["metrics"] = f"{self.server.url}/metrics"
        return told

    def run(self, stop: threading.Event) -> None:
        """Read until ``stop`` is set, or with ``once`` until nothing is left."""
        try:
            if self.server is not None:
                self.server.start()
            tune_gc()
            # the committing thread needs Python only briefly, and should not wait 5 ms each time
            sys.setswitchinterval(0.001)
            if self.once:
                self._run_once(stop)
            elif self._await_delivery(stop):
                self.pipeline.run(stop)
        finally:
            self.close()

    def _run_once(self, stop: threading.Event) -> None:
        if self.delivery is None or self.delivery.begin(stop, once=True) is not None:
            self.pipeline.drain(stop)
        if self.delivery is not None:
            self.delivery.drain(stop)

    def _await_delivery(self, stop: threading.Event) -> bool:
        """Wait until the store may be filled; return False if ``stop`` was set before."""
        while self.delivery is not None and not self.delivery.ready.is_set():
            if stop.wait(_TICK):
                return False
        return True

    def close(self) -> None:
        """Close the store, then the port, because clients must not delay closing the store."""
        try:
            self.store.close()
        finally:
            if self.server is not None:
                self.server.close()


def find_sources(config: Config) -> list[SourceConfig]:
    """Return the sources of a configuration, or those that this host offers; raise NoSources."""
    root = Path(config.exporter.host_root)
    sources = config.sources or choose_sources(root)
    if not sources:
        raise NoSources(root)
    return sources


def open_store(config: Config) -> LocalStore:
    """Open the store of a configuration for writing; it keeps what is not delivered yet."""
    store, outbox = config.store, config.influxdb is not None
    return LocalStore(
        Path(store.path),
        write=True,
        max_age=store.max_age,
        max_size=store.max_size,
        outbox=outbox,
        machine=find_machine_id(Path(config.exporter.host_root)) if outbox else None,
    )


def choose_sources(root: Path = Path("/")) -> list[SourceConfig]:
    """Return the journal if it can be read, else the first readable auth log; empty if neither.

    Looks on the host whose root is at ``root``. Never both: many hosts write each line to both, and
    it would be counted twice.
    """
    if find_journal(root) is not None:
        return [JournaldSourceConfig(name="journal")]
    for log in AUTH_LOGS:
        path = root / log.lstrip("/")
        if os.access(path, os.R_OK) and path.is_file():
            return [FileSourceConfig(name="auth", paths=[str(path)])]
    return []


def describe_source(source: SourceConfig) -> str:
    """Describe a source in a few words."""
    if isinstance(source, FileSourceConfig):
        return " ".join(source.paths)
    return f"the journal in {source.directory}" if source.directory else "the systemd journal"


def find_journal(root: Path) -> Path | None:
    """Return the folder of the system's journal, if it can be read, not only the user's own.

    Each machine id has a folder (systemd-journald.service(8)), also a former id of this host and
    those of its containers; this host's own comes first.
    """
    own = machine_id(root)
    for folder in JOURNALS:
        found = sorted((root / folder.lstrip("/")).glob("*/system.journal"))
        for journal in sorted(found, key=lambda path: path.parent.name != own):
            if os.access(journal, os.R_OK):
                return journal.parent
    return None


def make_normalizer(
    config: SourceConfig, whole: Config, rulebook: Rulebook, privacy: Privacy | None
) -> Normalizer:
    """Create the normalizer of a source; raises DocumentError."""
    hosts, programs = frozenset(config.hosts), frozenset(config.programs) or None
    user_ids = None
    if isinstance(config, JournaldSourceConfig):
        user_ids = make_user_ids(config, Path(whole.exporter.host_root))
    return Normalizer(rulebook, whole.host, config.name, hosts, programs, privacy, user_ids)


def make_running_source(
    config: SourceConfig,
    whole: Config,
    rulebook: Rulebook,
    privacy: Privacy | None,
    *,
    once: bool,
) -> RunningSource:
    """Create a source with its normalizer."""
    normalizer = make_normalizer(config, whole, rulebook, privacy)
    source: Source
    if isinstance(config, FileSourceConfig):
        zone = config.timezone or units.local_zone()
        locale = find_locale(config.locale) if config.locale else None
        source = FileSource(
            config.name,
            config.paths,
            zone,
            config.max_line_bytes,
            locale=locale,
            programs=frozenset(normalizer.app_names()),
            olddir=config.olddir,
            follow_links=config.follow_links,
        )
    else:
        app_names = normalizer.app_names()
        root = Path(whole.exporter.host_root)
        directory: str | Callable[[], str] | None = config.directory
        if directory is None and root != Path("/"):
            # in a container, journalctl looks for the container's journal; the host's moves from
            # /run to /var when it becomes persistent
            directory = lambda: str(find_journal(root) or root / JOURNALS[0].lstrip("/"))  # noqa: E731
        source = JournaldSource(config.name, app_names, directory, follow=not once)
    return RunningSource(source, normalizer, locations_of(config))
