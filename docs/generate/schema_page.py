"""Generate docs/influxdb-schema.md: all measurements, and the maximum number of series."""

from collections.abc import Mapping, Sequence
from typing import Final

from docs.generate.markdown import WRITTEN, table
from docs.generate.series import count_series
from heptad.cli.influxdb_admin.buckets import BUCKETS
from heptad.core.store.measurements import TYPES, Measurement
from heptad.exporter.parsing.rulebook import load_rulebook

MEASURED: Final[Mapping[str, tuple[str, int, int, int]]] = {
    "elastic-examples-auth.log": ("three weeks of a cloud host's auth.log", 7121, 39, 321),
    "loghub-openssh-2k.log": ("sshd under attack", 2000, 16, 107),
    "loghub-linux-2k.log": ("an old host's syslog", 2000, 11, 30),
}
"""Log → its description, its lines, and its series of events and of findings and reports."""


def schema_page() -> str:
    return (
        f"# What is written to InfluxDB\n\n{WRITTEN}\n{_INTRODUCTION}"
        + "".join(_bucket_section(bucket, known) for bucket, known in BUCKETS.items())
        + _series_section()
        + _LIMITS
    )


def _bucket_section(bucket: str, measurements: Sequence[Measurement]) -> str:
    return f"\n## Bucket {bucket}\n" + "".join(map(_measurement_section, measurements))


def _measurement_section(measurement: Measurement) -> str:
    rows = [(f"`{name}`", "tag", description) for name, description in measurement.tags.items()]
    rows += [
        (f"`{name}`, `{name}_1`, …" if f.in_parts else f"`{name}`", TYPES[f.type], f.description)
        for name, f in measurement.fields.items()
    ]
    return (
        f"\n### {measurement.name}\n\n{measurement.about}\n\n"
        + table(("name", "type", "meaning"), rows)
        + f"\nAlways there: `{measurement.always}`.\n"
    )


def _series_section() -> str:
    counts = count_series(load_rulebook())
    rows = []
    for bucket, measurements in BUCKETS.items():
        of_bucket = [counts[measurement.name] for measurement in measurements]
        rows += [(m.name, *map(_number, counts[m.name])) for m in measurements]
        host, fleet = (sum(column) for column in zip(*of_bucket, strict=True))
        rows.append((f"**all of {bucket}**", f"**{_number(host)}**", f"**{_number(fleet)}**"))
    measured = (
        (f"{log} ({about})", *map(_number, numbers)) for log, (about, *numbers) in MEASURED.items()
    )
    return (
        _SERIES
        + table(("measurement", "at most, for each host", "at most, for the fleet"), rows)
        + _SERIES_IN_PRACTICE
        + table(("log", "lines", "series in events", "series in reports"), measured)
    )


def _number(number: int) -> str:
    return f"{number:,}"


_INTRODUCTION: Final = """\
Three buckets (1.x, 3.x: databases); [influxdb.md](influxdb.md) shows who writes and reads which.
A tag is a word of a closed vocabulary or of the configuration. Whatever an outsider can
choose – user names, addresses, commands, banners, the lines themselves – is a field.

A field has one type for ever: rows are written by the declarations from which this page is made,
and tests compare with them what is written of real logs. Integers have 64 bits. Times are in
nanoseconds since the epoch, UTC. A field or tag without a value is missing; only a string can be
empty, and an empty user name is a real value.

Put names into double quotes in InfluxQL: `user` and `key` are keywords of it, `first`, `last` and
`count` functions. Each row has the field that is named below its table, so

```
SELECT count("count") FROM "events" WHERE time > now() - 1h    -- rows
SELECT sum("count") FROM "events" WHERE time > now() - 1h      -- events: a row may tell several
```
"""

_SERIES: Final = """
## How many series

A series is a measurement with its tag values. All that there can be are known beforehand, from the
rules and the vocabulary; no line of a log, whoever wrote it, adds one that is not counted here.
With H hosts there are at most H times the first number, and the second. (A host counts once more
for each other source that reads the same programs' lines, each other name or machine id that it
had, and, in *heartbeat*, for each combination of those. Own rules add their tag sets.)

"""

_SERIES_IN_PRACTICE: Final = """
Few of these ever occur: nearly all of *events* are programs that only PAM speaks for, and a report
has as many ranks as there were different answers in one window of one host. More than that takes
someone who may write to the host's syslog, and a source that believes it (`trust` is `file`); in
the journal a program speaks for itself alone.

What real logs of one host have (counted by `tests/core/test_schema.py`; in reports about a hundred
of them are the fleet's):

"""

_LIMITS: Final = """
`sqlite3 /var/lib/heptad/events.db 'SELECT count(*) FROM series'` says how many a host has had, as
does `SHOW SERIES CARDINALITY ON "events"` in 1.x for the fleet. 1.x keeps series in memory unless
`index-version = "tsi1"`, and refuses more than `max-series-per-database` (1,000,000 by default):
at the real numbers that is some thousands of hosts.

## What a string may hold

Any text; line breaks are written as `\\n` and come back as such, bytes that are not UTF-8 as
`\\xff`.

| server | longest string field | beyond |
| --- | --- | --- |
| 1.x | said to be 64 KiB, but 1.6.7 accepts and returns 20 MiB | – |
| 1.x Enterprise from 1.9.4, 2.x from 2.1 | 1 MiB | refused: `input field … is too long` |
| 3.x | 64 KiB; Enterprise from 3.9 1 MiB, documented for Core too | refused |

- A line of a file is at most `sources[].max_line_bytes` long, 16 KiB by default, and a byte that is
  not UTF-8 becomes four characters: at most 64 KiB. Messages of the journal are cut at 16,384
  characters; only one of nearly all four-byte characters is longer than 64 KiB. So by default
  lines fit everywhere. Set `max_line_bytes` to no more than 256 KiB for 2.x, and leave it as it is
  for 3.x.
- An event that is refused is not lost: it stays in the local store, and `heptad exporter rejected`
  shows it with the server's reason.
- What the two parts remember for themselves (`position`, `value`) is longer at times, and written
  as several fields of 60,000 characters.
- Series keys (measurement, tags, a field's name) may have 65,535 bytes; the longest here has less
  than 1,000. A table of 3.x may have 500 columns; the widest here has fewer than 50. 3.x Core
  allows five databases; Heptad takes three.

InfluxDB's documentation:
[line protocol of 1.x](https://docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference/),
[of 3.x](https://docs.influxdata.com/influxdb3/core/reference/line-protocol/),
release notes of [2.x](https://docs.influxdata.com/influxdb/v2/reference/release-notes/influxdb/)
(2.1, "Limit update") and [3.x](https://docs.influxdata.com/influxdb3/enterprise/release-notes/)
(3.9), [limits of 3.x](https://docs.influxdata.com/influxdb3/core/admin/databases/).
"""
