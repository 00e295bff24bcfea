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
        + f"\nIn every row: `{measurement.always}`.\n"
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
A tag value is a word of a closed vocabulary or of the configuration. Everything that an attacker
can choose – user names, addresses, commands, banners, the lines themselves – is a field.

The type of a field never changes: Heptad writes rows by the declarations from which this page is
generated, and tests compare the rows of real logs with them. Integers have 64 bits. Times are in
nanoseconds since the epoch, UTC. A field or tag without a value is missing; only a string can be
empty, and an empty user name is a real value.

Write names in double quotes in InfluxQL: `user` and `key` are keywords, and `first`, `last` and
`count` are functions. Each row has the field that is named below its table, so

```
SELECT count("count") FROM "events" WHERE time > now() - 1h    -- rows
SELECT sum("count") FROM "events" WHERE time > now() - 1h      -- events: a row may count several
```
"""

_SERIES: Final = """
## How many series

A series is a measurement with its tag values. The rules and the vocabulary determine all possible
series in advance; no line of a log, whoever wrote it, adds one that is not counted here. With H
hosts, the maximum is H times the first number plus the second. (A host counts once more for each
other source that reads lines of the same programs, for each other name or machine id that it had,
and, in *heartbeat*, for each combination of those. Your own rules add their tag sets.)

"""

_SERIES_IN_PRACTICE: Final = """
Few of these series occur in practice. Nearly all possible series of *events* are of programs whose
only lines are from PAM, and a report has only as many ranks as there were different values in one
window of one host. Only someone who may write to the host's syslog can cause more, and only in a
source whose lines are not verified (`trust` is `file`); in the journal, a program can only write
lines under its own name.

The numbers in real logs of one host (counted by `tests/core/test_schema.py`; about a hundred of
those in reports belong to the whole fleet):

"""

_LIMITS: Final = """
`sqlite3 /var/lib/heptad/events.db 'SELECT count(*) FROM series'` shows how many series a host has
had; in 1.x, `SHOW SERIES CARDINALITY ON "events"` shows it for the fleet. 1.x keeps series in
memory unless `index-version = "tsi1"` is set, and rejects more than `max-series-per-database`
(1,000,000 by default). With the real numbers above, this is enough for some thousands of hosts.

## What a string may hold

A string may contain any text. Line breaks are written and returned as `\\n`, bytes that are not
UTF-8 as `\\xff`.

| server | longest string field | beyond |
| --- | --- | --- |
| 1.x | documented as 64 KiB, but 1.6.7 accepts and returns 20 MiB | – |
| 1.x Enterprise from 1.9.4, 2.x from 2.1 | 1 MiB | rejected: `input field … is too long` |
| 3.x | 64 KiB; Enterprise from 3.9 1 MiB, documented for Core too | rejected |

- A line of a file is at most `sources[].max_line_bytes` long, 16 KiB by default, and a byte that is
  not UTF-8 becomes four characters: at most 64 KiB. Messages of the journal are cut at 16,384
  characters; only one that consists almost entirely of four-byte characters is longer than 64 KiB.
  So with the default, lines fit in every version. Set `max_line_bytes` to at most 256 KiB for 2.x,
  and do not change it for 3.x.
- A rejected event is not lost: it stays in the local store, and `heptad exporter rejected` shows it
  with the server's reason.
- The stored state of the exporter and the aggregator (`position`, `value`) can be longer, and is
  then written as several fields of 60,000 characters.
- Series keys (measurement, tags, a field's name) may have 65,535 bytes; the longest in Heptad is
  shorter than 1,000. A table of 3.x may have 500 columns; the widest has fewer than 50. 3.x Core
  allows five databases; Heptad uses three.

InfluxDB's documentation:
[line protocol of 1.x](https://docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference/),
[of 3.x](https://docs.influxdata.com/influxdb3/core/reference/line-protocol/),
release notes of [2.x](https://docs.influxdata.com/influxdb/v2/reference/release-notes/influxdb/)
(2.1, "Limit update") and [3.x](https://docs.influxdata.com/influxdb3/enterprise/release-notes/)
(3.9), [limits of 3.x](https://docs.influxdata.com/influxdb3/core/admin/databases/).
"""
