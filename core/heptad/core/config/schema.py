"""The configuration file: YAML with ${ENV}; all options are typed, and all errors are reported."""

import os
import re
from collections.abc import Iterator
from datetime import tzinfo
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from heptad.core.config import strict_yaml
from heptad.core.config.findings import LONGER_THAN_KEPT, FindingsConfig
from heptad.core.config.influxdb import InfluxConfig
from heptad.core.config.options import Fault, KeyPath, Section, check_sections, option
from heptad.core.config.types import Duration, Listen, Size, is_loopback
from heptad.core.config.web import load_web_config
from heptad.core.host import HOST_NAME, host_name
from heptad.core.locale_names import find_locale

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def _check_absolute(path: str) -> None:
    if not path.startswith("/"):
        raise ValueError(f"`{path}` is not an absolute path; write for example /var/log/auth.log")


def _check_source_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError("is not a source name; use at most 63 lower case letters, digits, - and _")


def _check_paths(paths: list[str]) -> None:
    if not paths:
        raise ValueError("requires at least one path")


def _check_locale(name: str) -> None:
    if find_locale(name) is None:
        raise ValueError(f"`{name}` is not a known locale; write for example fr_FR")


def _check_host(name: str) -> None:
    if name and not HOST_NAME.fullmatch(name):
        raise ValueError("is not a host name; use at most 253 letters, digits, dots, - and _")


def _check_log_host(name: str) -> None:
    if "\\" in name or not name.isprintable() or " " in name:
        raise ValueError("is not a host name; it has a backslash, a blank or a control character")


class LogConfig(Section):
    """Heptad's own log on standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], option("the least severe messages to log")
    ] = "info"
    format: Annotated[Literal["logfmt", "json"], option("the format of the messages")] = "logfmt"


class StoreConfig(Section):
    """An SQLite file, limited in size and in the age of its rows since their arrival."""

    path: Annotated[
        str,
        option(
            "the SQLite file; default: in the state directory, `events.db` for events and "
            "`reports.db` for findings and reports"
        ),
    ] = ""
    max_age: Annotated[
        Duration, option("rows are deleted this long after they arrived", Duration("1ms"))
    ] = Duration("30d")
    max_size: Annotated[
        Size, option("above this size, the rows that arrived first are deleted", Size("1MiB"))
    ] = Size("1GiB")


_SourceName = Annotated[
    str,
    option("the name of the source; becomes the tag and label `source`", check=_check_source_name),
]
_Hosts = Annotated[
    list[Annotated[str, option("", check=_check_log_host)]],
    option("host names that are accepted from the lines as the event's host (for a log relay)"),
]
_Programs = Annotated[
    list[str],
    option("read only the lines of these programs; default: all programs that have rules"),
]


class FileSourceConfig(Section, tag="file"):
    """Log files."""

    name: _SourceName
    paths: Annotated[
        list[Annotated[str, option("", check=_check_absolute)]],
        option("paths of the log files; * ? [ ] are wildcards", check=_check_paths),
    ]
    timezone: Annotated[
        tzinfo | None, option("the time zone of timestamps without one; default: this host's")
    ] = None
    locale: Annotated[
        str | None,
        option(
            "the locale of the month names in timestamps (`maj`), for example `fr_FR`",
            check=_check_locale,
        ),
    ] = None
    hosts: _Hosts = []
    programs: _Programs = []
    max_line_bytes: Annotated[
        Size, option("longer lines are skipped and counted", Size("256B"), Size("1MiB"))
    ] = Size("16KiB")
    olddir: Annotated[
        str | None, option("the directory of the rotated files, as in logrotate's `olddir`")
    ] = None
    follow_links: Annotated[
        bool, option("follow symbolic links that match a wildcard, whatever their target")
    ] = False


class JournaldSourceConfig(Section, tag="journald"):
    """The systemd journal."""

    name: _SourceName
    directory: Annotated[
        str | None, option("another journal directory, as in `journalctl --directory`")
    ] = None
    passwd: Annotated[
        str | None,
        option(
            "the passwd file of the machine that wrote the journal; default: etc/passwd below "
            "exporter.host_root, otherwise the accounts of this machine",
            check=_check_absolute,
        ),
    ] = None
    hosts: _Hosts = []
    programs: _Programs = []


SourceConfig = FileSourceConfig | JournaldSourceConfig


class TrustConfig(Section):
    """A binary or account whose journal lines are accepted for a program."""

    program: Annotated[str, option("the program whose lines they write")]
    exe: Annotated[list[str], option("paths of binaries; `*`, `?` and `/**/` are wildcards")] = []
    runs_as: Annotated[list[str], option("the accounts that they may run as")] = []


class PrivacyConfig(Section):
    """Which user names, commands and addresses are stored, and how."""

    unknown_users: Annotated[
        Literal["keep", "hash", "drop"],
        option("user names without an account, which may be mistyped passwords"),
    ] = "hash"
    commands: Annotated[
        Literal["full", "program"], option("commands that were run; program drops their arguments")
    ] = "full"
    addresses: Annotated[
        Literal["keep", "pseudonym"],
        option("addresses; pseudonym replaces them so that common networks stay common"),
    ] = "keep"


_Listen = Annotated[
    Listen,
    option(
        "listen address of /metrics and /healthz, and of the aggregator's page; `:PORT` is all "
        "addresses"
    ),
]
_WebConfigFile = Annotated[
    str,
    option("file with TLS and basic auth settings, in the format of Prometheus' --web.config.file"),
]


class ExporterConfig(Section):
    """The exporter, which runs on every host."""

    listen: _Listen = Listen("127.0.0.1:9707")
    web_config_file: _WebConfigFile = ""
    host_metrics: Annotated[
        bool, option("expose host metrics; set it to false if node_exporter runs on the host")
    ] = True
    host_root: Annotated[
        str,
        option(
            "where the root directory of the host is mounted; in a container, for example, /host",
            check=_check_absolute,
        ),
    ] = "/"


class AggregatorConfig(Section):
    """The aggregator, which reads events and writes findings and reports."""

    listen: _Listen = Listen("127.0.0.1:9708")
    web_config_file: _WebConfigFile = ""
    page: Annotated[bool, option("serve the page; false: only /metrics and /healthz")] = True
    store: StoreConfig = msgspec.field(default_factory=StoreConfig)
    poll: Annotated[
        Duration, option("how often the aggregator looks for new events", Duration("1ms"))
    ] = Duration("1s")
    max_wait: Annotated[
        Duration,
        option(
            "a report is computed at most this long after the end of its window, even if some "
            "exporters have not delivered",
            Duration("1ms"),
        ),
    ] = Duration("2m")
    late_horizon: Annotated[
        Duration,
        option("events that arrive later than this no longer change a report", Duration("1ms")),
    ] = Duration("7d")
    findings: FindingsConfig = msgspec.field(default_factory=FindingsConfig)

    def faults(self) -> Iterator[Fault]:
        """Report an unprotected page beyond loopback: it shows names, addresses and commands."""
        if not self.page or is_loopback(self.listen.host):
            return
        try:
            if self.web_config_file and load_web_config(Path(self.web_config_file)).protects:
                return
        except strict_yaml.DocumentError:
            return  # reported where that file is read
        text = (
            "the page would be readable from the network without a password; set a "
            "web_config_file with tls_server_config or basic_auth_users, listen on 127.0.0.1, or "
            "set `page: false`"
        )
        yield Fault(("listen",), text, (("web_config_file",), ("page",)))


class Config(Section):
    """The whole configuration file."""

    host: Annotated[
        str,
        option("the host name of the events; default: the name of this host", check=_check_host),
    ] = ""
    log: LogConfig = msgspec.field(default_factory=LogConfig)
    store: StoreConfig = msgspec.field(default_factory=StoreConfig)
    sources: Annotated[
        list[SourceConfig],
        option("the logs to read; default: the journal if it is readable, otherwise the auth log"),
    ] = []
    rules: Annotated[
        list[str],
        option(
            "directories with your own rule files; a file replaces the built-in one of the same "
            "program"
        ),
    ] = []
    trust: Annotated[
        list[TrustConfig],
        option(
            "additional binaries and accounts whose journal lines are accepted for a program; see "
            "[sources](sources.md)"
        ),
    ] = []
    privacy: PrivacyConfig = msgspec.field(default_factory=PrivacyConfig)
    influxdb: Annotated[
        InfluxConfig | None,
        option("the InfluxDB of the fleet; default: none, all data stays on this host"),
    ] = None
    exporter: ExporterConfig = msgspec.field(default_factory=ExporterConfig)
    aggregator: AggregatorConfig = msgspec.field(default_factory=AggregatorConfig)

    def faults(self) -> Iterator[Fault]:
        """Report values in different sections that conflict with each other."""
        yield from _check_sources(self.sources)
        yield from _check_stores(self)
        if self.exporter.listen.overlaps(self.aggregator.listen):
            text = "is the same as exporter.listen; use another port"
            yield Fault(("aggregator", "listen"), text, (("exporter", "listen"),))
        max_age = self.store.max_age
        reads = (("store", "max_age"),)
        for fault in self.aggregator.findings.faults_within(max_age):
            path, text, read = fault.within("aggregator", "findings")
            yield Fault(path, text, (*read, *reads))
        if self.aggregator.late_horizon > max_age:
            yield Fault(("aggregator", "late_horizon"), LONGER_THAN_KEPT, reads)


_VARIABLE: Final = re.compile(r"\$\$|\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}|(\$\{(?=[A-Za-z_]))")


def expand_environment(text: str) -> str:
    """Replace ``${NAME}`` and ``${NAME:-default}``; ``$$`` is a dollar sign.

    Raise LookupError if a variable is not set.
    """

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
    """Load the configuration from ``path``, or return the defaults.

    ``also`` reports faults beyond those of ``check``. Raise DocumentError with all errors.
    """

    def check_all(config: Config) -> Iterator[Fault]:
        yield from check(config)
        yield from (Fault(*told) for told in also(config)) if also else ()

    config = strict_yaml.load(path, Config, expand_environment, check_all) if path else Config()
    state = state_folder()
    config.host = config.host or host_name(Path(config.exporter.host_root))
    config.store.path = config.store.path or str(state / "events.db")
    config.aggregator.store.path = config.aggregator.store.path or str(state / "reports.db")
    baseline = config.aggregator.findings.baseline
    baseline.look_back, baseline.settle = baseline.resolve(config.store.max_age)
    return config


def state_folder() -> Path:
    """Return the state directory.

    $STATE_DIRECTORY (systemd.exec(5)), else /var/lib/heptad for root, else XDG's state directory.
    """
    given = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    if os.geteuid() == 0:
        return Path("/var/lib/heptad")
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(home) / "heptad"


def check(config: Config) -> Iterator[Fault]:
    """Report values that are valid by themselves but conflict with each other."""
    return check_sections(config)


def _check_stores(config: Config) -> Iterator[Fault]:
    stores: dict[KeyPath, StoreConfig] = {
        ("store", "path"): config.store,
        ("aggregator", "store", "path"): config.aggregator.store,
    }
    paths = {key_path: Path(store.path) for key_path, store in stores.items() if store.path}
    if len({path.resolve() for path in paths.values()}) < len(paths):
        text = "is the same as store.path; findings and reports require a file of their own"
        yield Fault(("aggregator", "store", "path"), text, (("store", "path"),))
    logs = [log for s in config.sources if isinstance(s, FileSourceConfig) for log in s.paths]
    for key_path, path in paths.items():
        # a log is not a valid SQLite file, and would be renamed as a corrupt store
        if any(log.startswith("/") and path.match(log) for log in logs):
            text = f"`{path}` is a log file that a source reads; choose another file"
            yield Fault(key_path, text)


def _check_sources(sources: list[SourceConfig]) -> Iterator[Fault]:
    for number, source in enumerate(sources):
        path = ("sources", number)
        for at, earlier in enumerate(sources[:number]):
            if earlier.name == source.name:
                text = f"two sources have the name `{source.name}`; rename one of them"
                yield Fault((*path, "name"), text, (("sources", at, "name"),))
        for at, earlier in enumerate(sources[:number]):
            if twice := _read_twice(earlier, source):
                text = (
                    f"`{earlier.name}` and `{source.name}` both read {twice}, so each line would "
                    "be counted twice; set different `programs` for each source, or remove one "
                    "of them"
                )
                reads = ((*path, "programs"), ("sources", at, "programs"))
                yield Fault(path, text, reads)


def _read_twice(one: SourceConfig, other: SourceConfig) -> str:
    if one.programs and other.programs:
        return ", ".join(sorted(set(one.programs) & set(other.programs)))
    return ", ".join(one.programs or other.programs) or "every program"
