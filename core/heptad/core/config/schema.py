"""The configuration file: YAML with ${ENV}, every key known and typed, every error told.

The docstring of each structure and the comment-like ``KEYS`` table are what
docs/configuration.md is made of.
"""

import ipaddress
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from heptad.core import units
from heptad.core.config import findings as findings_config
from heptad.core.config import influxdb as influxdb_config
from heptad.core.config import strict_yaml
from heptad.core.config.findings import FindingsConfig
from heptad.core.config.influxdb import InfluxConfig
from heptad.core.config.web import load_web_config
from heptad.core.host import HOST_NAME, host_name
from heptad.core.locale_names import find_locale

KeyPath = tuple[str | int, ...]


class LogConfig(msgspec.Struct, forbid_unknown_fields=True):
    """Heptad's own log on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["logfmt", "json"] = "logfmt"


class StoreConfig(msgspec.Struct, forbid_unknown_fields=True):
    """An SQLite file, bounded by the age since arrival and by size."""

    path: str = ""
    max_age: str = "30d"
    max_size: units.Size = "1GiB"


class FileSourceConfig(msgspec.Struct, forbid_unknown_fields=True, tag="file"):
    """Log files."""

    name: str
    paths: list[str]
    timezone: str | None = None
    locale: str | None = None
    hosts: list[str] = []
    programs: list[str] = []
    max_line_bytes: units.Size = "16KiB"
    olddir: str | None = None
    follow_links: bool = False


class JournaldSourceConfig(msgspec.Struct, forbid_unknown_fields=True, tag="journald"):
    """The systemd journal."""

    name: str
    directory: str | None = None
    passwd: str | None = None
    hosts: list[str] = []
    programs: list[str] = []


class TrustConfig(msgspec.Struct, forbid_unknown_fields=True):
    """Where else the journal may show a program's own lines to come from."""

    program: str
    exe: list[str] = []
    runs_as: list[str] = []


SourceConfig = FileSourceConfig | JournaldSourceConfig


class PrivacyConfig(msgspec.Struct, forbid_unknown_fields=True):
    """What of people's names, commands and addresses is kept."""

    unknown_users: Literal["keep", "hash", "drop"] = "hash"
    commands: Literal["full", "program"] = "full"
    addresses: Literal["keep", "pseudonym"] = "keep"


class ExporterConfig(msgspec.Struct, forbid_unknown_fields=True):
    """What runs on every host."""

    listen: str = "127.0.0.1:9707"
    web_config_file: str = ""
    host_metrics: bool = True
    host_root: str = "/"


class AggregatorConfig(msgspec.Struct, forbid_unknown_fields=True):
    """What reads events and writes findings and reports."""

    listen: str = "127.0.0.1:9708"
    web_config_file: str = ""
    page: bool = True
    store: StoreConfig = msgspec.field(default_factory=StoreConfig)
    poll: str = "1s"
    max_wait: str = "2m"
    late_horizon: str = "7d"
    findings: FindingsConfig = msgspec.field(default_factory=FindingsConfig)


class Config(msgspec.Struct, forbid_unknown_fields=True):
    """The whole file."""

    host: str = ""
    log: LogConfig = msgspec.field(default_factory=LogConfig)
    store: StoreConfig = msgspec.field(default_factory=StoreConfig)
    sources: list[SourceConfig] = []
    rules: list[str] = []
    trust: list[TrustConfig] = []
    privacy: PrivacyConfig = msgspec.field(default_factory=PrivacyConfig)
    influxdb: InfluxConfig | None = None
    exporter: ExporterConfig = msgspec.field(default_factory=ExporterConfig)
    aggregator: AggregatorConfig = msgspec.field(default_factory=AggregatorConfig)


KEYS: Final[dict[str, str]] = {
    "host": "the host name of the events; default: the name of this host",
    "log.level": "debug, info, warning or error",
    "log.format": "logfmt or json",
    "store.path": "the SQLite file of the events; default: events.db in the state directory",
    "store.max_age": "events are deleted this long after they arrived",
    "store.max_size": "above this size, the events that arrived first are deleted",
    "sources": "the logs to read; default: the journal if it is readable, otherwise the auth log",
    "sources[].type": "file or journald",
    "sources[].name": "the name of the source; becomes the tag and label `source`",
    "sources[].paths": "file: paths of the log files; * ? [ ] are wildcards",
    "sources[].timezone": "file: the time zone of timestamps without one; default: this host's",
    "sources[].hosts": (
        "host names that are accepted from the lines as the event's host (for a log relay)"
    ),
    "sources[].programs": (
        "read only the lines of these programs; default: all programs that have rules"
    ),
    "sources[].locale": (
        "file: the locale of the month names in timestamps (`maj`), for example `fr_FR`"
    ),
    "sources[].max_line_bytes": "file: longer lines are skipped and counted",
    "sources[].olddir": "file: the directory of the rotated files, as in logrotate's `olddir`",
    "sources[].follow_links": (
        "file: follow symbolic links that match a wildcard, whatever their target"
    ),
    "sources[].directory": "journald: another journal directory, as in `journalctl --directory`",
    "sources[].passwd": "journald: the passwd file of the machine that wrote the journal; "
    "default: etc/passwd below exporter.host_root, otherwise the accounts "
    "of this machine",
    "rules": (
        "directories with your own rule files; a file replaces the built-in one of the same program"
    ),
    "trust": "additional binaries and accounts whose journal lines are accepted for a program: "
    "`program`, `exe` (paths; `*`, `?` and `/**/` are wildcards), `runs_as` "
    "(accounts); see sources.md",
    "privacy.unknown_users": (
        "user names without an account, which may be mistyped passwords: keep, hash or drop"
    ),
    "privacy.commands": "commands that were run: full, or program to drop their arguments",
    "privacy.addresses": (
        "addresses: keep, or pseudonym to replace them so that common networks stay common"
    ),
    "influxdb": "the InfluxDB of the fleet; default: none, all data stays on this host",
    **{f"influxdb.{key}": text for key, text in influxdb_config.KEYS.items()},
    "exporter.listen": "listen address of /metrics and /healthz",
    "exporter.web_config_file": (
        "file with TLS and basic auth settings, in the format of Prometheus' --web.config.file"
    ),
    "exporter.host_metrics": (
        "expose host metrics; set it to false if node_exporter runs on the host"
    ),
    "exporter.host_root": (
        "where the root directory of the host is mounted; in a container, for example, /host"
    ),
    "aggregator.listen": (
        "listen address of the page and of the aggregator's /metrics and /healthz"
    ),
    "aggregator.web_config_file": (
        "file with TLS and basic auth settings, in the format of Prometheus' --web.config.file"
    ),
    "aggregator.page": "serve the page; false: only /metrics and /healthz",
    "aggregator.store.path": (
        "the SQLite file of findings and reports; default: reports.db in the state directory"
    ),
    "aggregator.store.max_age": "findings and reports are deleted after this time",
    "aggregator.store.max_size": "above this size, the oldest are deleted",
    "aggregator.poll": "how often the aggregator looks for new events",
    "aggregator.max_wait": (
        "a report is computed at most this long after the end of its window, even if some "
        "exporters have not delivered"
    ),
    "aggregator.late_horizon": "events that arrive later than this no longer change a report",
    **{f"aggregator.findings.{key}": text for key, text in findings_config.KEYS.items()},
}

_VARIABLE: Final = re.compile(r"\$\$|\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}|(\$\{(?=[A-Za-z_]))")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def expand_environment(text: str) -> str:
    """Replace ``${NAME}`` and ``${NAME:-default}``; ``$$`` is a dollar. LookupError if unset."""

    def replace(found: re.Match[str]) -> str:
        name, default = found[1], found[2]
        if found[3]:
            raise LookupError(
                "`${` starts a variable that is not closed; write `$$` for a dollar sign"
            )
        if name is None:
            return "$"
        value = os.environ.get(name) or default
        if value is None:
            raise LookupError(
                f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}"
            )
        return value

    return _VARIABLE.sub(replace, text)


def load_config(path: Path | None, also: strict_yaml.Check[Config] | None = None) -> Config:
    """The configuration in ``path``, or the defaults; DocumentError with everything wrong.

    ``also`` tells faults beyond those of ``check``.
    """

    def check_all(config: Config) -> Iterator[tuple[KeyPath, str]]:
        yield from check(config)
        yield from also(config) if also else ()

    config = strict_yaml.load(path, Config, expand_environment, check_all) if path else Config()
    state = state_folder()
    config.host = config.host or host_name(Path(config.exporter.host_root))
    config.store.path = config.store.path or str(state / "events.db")
    config.aggregator.store.path = config.aggregator.store.path or str(state / "reports.db")
    baseline = config.aggregator.findings.baseline
    look_back, settle = findings_config.look_back_of(baseline, _seconds(config.store.max_age))
    baseline.look_back = baseline.look_back or f"{look_back:.0f}s"
    baseline.settle = baseline.settle or f"{settle:.0f}s"
    return config


def state_folder() -> Path:
    """$STATE_DIRECTORY (systemd.exec(5)), else /var/lib/heptad for root, else in XDG's state."""
    given = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    if os.geteuid() == 0:
        return Path("/var/lib/heptad")
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(home) / "heptad"


def check(config: Config) -> Iterator[tuple[KeyPath, str]]:
    """What the types do not say: each fault with its place."""
    yield from _check_units(config)
    yield from _check_sources(config.sources)
    yield from _check_stores(config)
    for key_path, address in (("exporter", config.exporter), ("aggregator", config.aggregator)):
        try:
            parse_listen(address.listen)
        except ValueError as error:
            yield (key_path, "listen"), str(error)
    if not Path(config.exporter.host_root).is_absolute():
        yield ("exporter", "host_root"), "must be an absolute path, for example /host"
    if config.host and not HOST_NAME.fullmatch(config.host):
        yield ("host",), "is not a host name; use at most 253 letters, digits, dots, - and _"
    listen = config.exporter.listen
    if listen == config.aggregator.listen and not listen.endswith(":0"):  # any port that is free
        yield ("aggregator", "listen"), "is the same as exporter.listen; use another port"
    yield from _check_aggregator(config)
    yield from _check_page(config.aggregator)
    if config.influxdb is not None:
        for fault_place, fault in influxdb_config.check_influxdb(config.influxdb):
            yield ("influxdb", *fault_place), fault


def _check_page(config: AggregatorConfig) -> Iterator[tuple[KeyPath, str]]:
    """The page shows names, addresses and commands: beyond loopback not to whoever asks."""
    try:
        host, _ = parse_listen(config.listen)
        if not config.page or is_loopback(host):
            return
        if config.web_config_file and load_web_config(Path(config.web_config_file)).protects:
            return
    except (ValueError, strict_yaml.DocumentError):
        return  # told by check, and by whoever reads that file
    text = (
        "the page would be readable from the network without a password; set a web_config_file "
        "with tls_server_config or basic_auth_users, listen on 127.0.0.1, or set `page: false`"
    )
    yield ("aggregator", "listen"), text


def _check_stores(config: Config) -> Iterator[tuple[KeyPath, str]]:
    stores = {
        ("store", "path"): config.store,
        ("aggregator", "store", "path"): config.aggregator.store,
    }
    paths = {key_path: Path(store.path) for key_path, store in stores.items() if store.path}
    if len({path.resolve() for path in paths.values()}) < len(paths):
        yield (
            ("aggregator", "store", "path"),
            ("is the same as store.path; findings and reports require a file of their own"),
        )
    logs = [log for s in config.sources if isinstance(s, FileSourceConfig) for log in s.paths]
    for key_path, path in paths.items():
        # it would be no sound store, and be set aside
        if any(log.startswith("/") and path.match(log) for log in logs):
            yield key_path, f"`{path}` is a log file that a source reads; choose another file"


def _check_aggregator(config: Config) -> Iterator[tuple[KeyPath, str]]:
    max_age = _seconds(config.store.max_age)
    for key_path, fault in findings_config.check_findings(config.aggregator.findings, max_age):
        yield ("aggregator", "findings", *key_path), fault
    horizon = _seconds(config.aggregator.late_horizon)
    if horizon is not None and max_age is not None and horizon > max_age:
        text = "must not be longer than store.max_age, because older events may have been deleted"
        yield ("aggregator", "late_horizon"), text


def _seconds(duration: str) -> float | None:
    """The duration, or None where ``_check_units`` tells that it is none."""
    try:
        return units.parse_duration(duration)
    except ValueError:
        return None


def _check_units(config: Config) -> Iterator[tuple[KeyPath, str]]:
    aggregator = config.aggregator
    durations = {
        ("store", "max_age"): config.store.max_age,
        ("aggregator", "store", "max_age"): aggregator.store.max_age,
        ("aggregator", "poll"): aggregator.poll,
        ("aggregator", "max_wait"): aggregator.max_wait,
        ("aggregator", "late_horizon"): aggregator.late_horizon,
    }
    for key_path, text in durations.items():
        try:
            if units.parse_duration(text) <= 0:
                yield key_path, "must be greater than 0"
        except ValueError as error:
            yield key_path, str(error)
    sizes = {
        ("store", "max_size"): config.store.max_size,
        ("aggregator", "store", "max_size"): aggregator.store.max_size,
    }
    for key_path, size in sizes.items():
        try:
            if units.parse_size(size) < 2**20:
                yield key_path, "must be at least 1MiB"
        except ValueError as error:
            yield key_path, str(error)


def _check_sources(sources: list[SourceConfig]) -> Iterator[tuple[KeyPath, str]]:
    for number, source in enumerate(sources):
        key_path = ("sources", number)
        if not _NAME.fullmatch(source.name):
            yield (
                (*key_path, "name"),
                ("is not a source name; use at most 63 lower case letters, digits, - and _"),
            )
        if isinstance(source, FileSourceConfig):
            yield from _check_file_source(key_path, source)
        elif source.passwd is not None and not source.passwd.startswith("/"):
            yield (*key_path, "passwd"), f"`{source.passwd}` is not an absolute path"
        for earlier in sources[:number]:
            if earlier.name == source.name:
                yield (
                    (*key_path, "name"),
                    (f"two sources have the name `{source.name}`; rename one of them"),
                )
        for earlier in sources[:number]:
            if twice := _read_twice(earlier, source):
                fault = (
                    f"`{earlier.name}` and `{source.name}` both read {twice}, so each line "
                    "would be counted twice; set different `programs` for each source, or "
                    "remove one of them"
                )
                yield key_path, fault
                break


def _check_file_source(
    key_path: KeyPath, source: FileSourceConfig
) -> Iterator[tuple[KeyPath, str]]:
    if not source.paths:
        yield (*key_path, "paths"), "requires at least one path"
    for index, path in enumerate(source.paths):
        if not path.startswith("/"):
            yield (*key_path, "paths", index), f"`{path}` is not an absolute path"
    try:
        if not 256 <= units.parse_size(source.max_line_bytes) <= 2**20:
            yield (*key_path, "max_line_bytes"), "must be between 256B and 1MiB"
    except ValueError as error:
        yield (*key_path, "max_line_bytes"), str(error)
    if source.timezone is not None:
        try:
            units.parse_zone(source.timezone)
        except ValueError as error:
            yield (*key_path, "timezone"), str(error)
    if source.locale is not None and find_locale(source.locale) is None:
        fault = f"`{source.locale}` is not a known locale; write for example fr_FR"
        yield (*key_path, "locale"), fault


def _read_twice(one: SourceConfig, other: SourceConfig) -> str:
    if one.programs and other.programs:
        return ", ".join(sorted(set(one.programs) & set(other.programs)))
    return ", ".join(one.programs or other.programs) or "every program"


def parse_listen(text: str) -> tuple[str, int]:
    """(address, port) of ``127.0.0.1:9707`` or ``[::1]:9707``; ValueError with the remedy."""
    host, _, port = text.rpartition(":")
    number = int(port) if re.fullmatch("[0-9]{1,5}", port) else 65_536
    if not host or number > 65_535:
        raise ValueError(f"`{text}` is not an address; write HOST:PORT, for example 127.0.0.1:9707")
    return host.strip("[]"), number


def is_loopback(host: str) -> bool:
    """Whether only this host reaches what listens at ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
