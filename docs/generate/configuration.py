"""Generate docs/configuration.md: all options with their values, default and meaning."""

from collections.abc import Iterator
from datetime import tzinfo
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.inspect import (
    BoolType,
    CustomType,
    Field,
    FloatType,
    IntType,
    ListType,
    LiteralType,
    Metadata,
    StructType,
    Type,
)

from docs.generate.markdown import WRITTEN, table
from heptad.core.config.error_collector import options_of
from heptad.core.config.options import BOUNDS, type_info
from heptad.core.config.schema import Config
from heptad.core.config.types import Duration, Listen, Size

_KINDS: Final = {Duration: "duration", Size: "size", Listen: "address", tzinfo: "time zone"}


class Option(NamedTuple):
    key: str
    values: str
    default: str
    meaning: str


def find_options() -> Iterator[Option]:
    """Yield all options of the configuration, in the order of their declaration."""
    yield from _options([type_info(Config)], "")


def _options(types: list[Type], prefix: str) -> Iterator[Option]:
    """Yield the options of a structure, or of several that the key `type` distinguishes."""
    structs = [info for info in types if isinstance(info, StructType)]
    tags = [str(info.tag) for info in structs]
    if len(structs) > 1:
        yield Option(f"{prefix}type", _words(tags), "(required)", "the kind of the source")
    fields = {field.encode_name: field for info in structs for field in info.fields}
    for name, field in fields.items():
        having = [str(info.tag) for info in structs if field in info.fields]
        note = "" if len(having) == len(structs) else f"{', '.join(having)}: "
        yield from _option(field, f"{prefix}{name}", note)


def _option(field: Field, key: str, note: str) -> Iterator[Option]:
    extra: dict[str, Any] = {}
    if isinstance(info := field.type, Metadata):
        extra = info.extra or {}
        sentence = (info.extra_json_schema or {})["description"]
        yield Option(key, _describe_values(field.type, extra), _default(field), note + sentence)
    types = options_of([field.type])
    for each in types:
        if isinstance(each, ListType):
            types, key = options_of([each.item_type]), f"{key}[]"
    yield from _options(types, f"{key}.")


def _words(words: list[Any]) -> str:
    return ", ".join(f"`{word}`" for word in dict.fromkeys(map(str, words)))


def _describe_values(info: Type, extra: dict[str, Any]) -> str:
    names = [_name_kind(each) for each in options_of([info])]
    limits = f" {extra[BOUNDS]}" if extra.get(BOUNDS) else ""
    return ", ".join(filter(None, names)) + limits


def _name_kind(info: Type) -> str:
    if isinstance(info, LiteralType):
        return _words(list(info.values))
    if isinstance(info, CustomType):
        return _KINDS[info.cls]
    if isinstance(info, ListType):
        return "list"
    if isinstance(info, BoolType):
        return "`true`, `false`"
    if isinstance(info, IntType | FloatType):
        return "number"
    return {"StrType": "text", "StructType": "mapping"}.get(type(info).__name__, "")


def _default(field: Field) -> str:
    default: Any = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    if field.required:
        return "(required)"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`" if default not in ("", [], None) else ""


def configuration_page() -> str:
    return (
        f"# Configuration\n\n{WRITTEN}\n"
        "One YAML file configures the exporter and the aggregator. Every option has a default, "
        "unless it is marked as required.\n\n"
        "Commands read the file of `--config`, otherwise the first of these:\n\n"
        "1. the file that the environment variable `HEPTAD_CONFIG` names; it must exist. If the "
        "variable is empty, no file is read.\n"
        "2. `/etc/heptad/heptad.yaml`, if it exists\n"
        "3. `~/.config/heptad/heptad.yaml`, if it exists\n\n"
        "The first lines of `heptad up` and the first log line of the exporter and the aggregator "
        "name the file that was read.\n\n"
        "| written as | examples |\n| --- | --- |\n"
        "| duration | `90s`, `5m`, `1h30m`, `30d` (`ms`, `s`, `m`, `h`, `d`, `w`) |\n"
        "| size | `64KiB`, `500MiB`, `1GB`, or a number of bytes; `KiB` is 1024, `KB` 1000 |\n"
        "| address | `127.0.0.1:9707`, `[::1]:9707`; `:9707` and `[::]:9707` are all addresses, "
        "IPv4 and IPv6, `0.0.0.0:9707` all IPv4 addresses |\n"
        "| time zone | `Europe/Berlin`, `UTC`, `'+02:00'` |\n\n"
        "`${NAME}` and `${NAME:-default}` are replaced by a variable of the environment; write "
        "`$$` for a dollar. Inside `{ }` and `[ ]`, YAML requires quotes around `${NAME}` "
        "and `:9707`.\n\n"
        "Heptad refuses a file with an unknown key, a wrong type, a value out of bounds or options "
        "that contradict each other, for example two sources that read the same program. It "
        "reports all errors at once, each with its line and a fix:\n\n"
        "```\nheptad check-config heptad.yaml\n```\n\n"
        "On SIGHUP, the exporter and the aggregator read the file again; see "
        "[operating](operating.md).\n\n"
        "## Options\n\n"
        + table(
            ("key", "values", "default", "meaning"),
            (option._replace(key=f"`{option.key}`") for option in find_options()),
        )
        + "\n## Example\n\n```yaml\n"
        + EXAMPLE
        + "```\n"
    )


EXAMPLE: Final = """\
sources:
  - name: auth
    type: file
    paths: [/var/log/auth.log]
    timezone: Europe/Berlin
    programs: [sshd, sudo, su]
  - name: journal
    type: journald
    programs: [systemd-logind, cron]
store:
  path: /var/lib/heptad/events.db
  max_age: 90d
exporter:
  listen: 127.0.0.1:9707
aggregator:
  findings:
    brute_force: {attempts: 10, span: 5m}
"""
