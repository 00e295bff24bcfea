"""A real InfluxDB sees the types and series that are declared."""

from collections import Counter
from collections.abc import Iterator

import pytest

from heptad.cli.influxdb_admin.buckets import BUCKETS
from heptad.core.store.line_protocol import encode_line
from heptad.core.store.measurements import TYPES
from heptad.exporter.delivery.delivery_state import DeliveryState, Health, make_row
from tests.core.test_schema import SAMPLE
from tests.support.influxdb import Influxd, running
from tests.support.written import DECLARED, Line, parse_line, write_everything

HOSTILE = [
    r'sshd[1]: Failed password for invalid user "\" from 192.0.2.1 port 22 ssh2',
    "sshd[2]: Failed password for invalid user a,host=x\\ y from 192.0.2.1 port 22 ssh2",
    "sshd[3]: Failed password for invalid user  from 192.0.2.1 port 22 ssh2",
    'sudo[4]: x\x00\x1b\u2028\U0001f600 : TTY=t ; PWD=/ ; USER=root ; COMMAND=/bin/sh -c "\\',
    'sshd[5]: what nobody understands" 1\\',
]


@pytest.fixture(scope="module")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    """A server with the three databases."""
    with running(Influxd(tmp_path_factory.mktemp("influxd"))) as server:
        server.create(*BUCKETS)
        yield server


@pytest.fixture(scope="module")
def written(influxd: Influxd, tmp_path_factory: pytest.TempPathFactory) -> list[Line]:
    """What is written of the sample and of hostile lines, and two heartbeats; it is in there."""
    hostile = [f"2026-03-01T11:00:00Z gate {text}" for text in HOSTILE]
    log = SAMPLE.read_text().splitlines()
    lines = write_everything(tmp_path_factory.mktemp("stores"), log, hostile)
    for offset in (0, 0.25):  # in that order: the first value of a field gives it its type
        health = Health(10**18, offset, 0, caught_up=True, position="text")
        row = make_row(DeliveryState(watermark=5, oldest=4, newest=5), health, "host", "0" * 32)
        lines.append(parse_line(encode_line(row)))
    for bucket, measurements in BUCKETS.items():
        names = {measurement.name for measurement in measurements}
        influxd.write(bucket, [line.text for line in lines if line.measurement in names])
    return lines


def test_fields_have_the_declared_types(influxd: Influxd, written: list[Line]) -> None:
    """InfluxDB takes every line, and every field for what it is declared to be."""
    known = {line.measurement for line in written}
    for bucket in BUCKETS:
        for series in influxd.query("SHOW FIELD KEYS", bucket):
            known.discard(series["name"])
            declared = DECLARED[series["name"]].fields
            for name, kind in series["values"]:
                assert kind == TYPES[declared[name].type], (series["name"], name)
    assert known == set()


def test_every_row_can_be_counted(influxd: Influxd, written: list[Line]) -> None:
    """Counting the field that is always there counts all rows: none was merged with another."""
    expected = Counter(line.measurement for line in written)
    for bucket, measurements in BUCKETS.items():
        for measurement in measurements:
            found = influxd.count(bucket, measurement.name, measurement.always)
            assert found == expected[measurement.name], measurement.name


def test_series_are_those_that_are_counted(influxd: Influxd, written: list[Line]) -> None:
    """InfluxDB has as many series as there are different tag sets: no text became one."""
    for bucket, measurements in BUCKETS.items():
        names = {measurement.name for measurement in measurements}
        expected = {(n, tuple(tags.items())) for n, tags, *_ in written if n in names}
        found = influxd.rows("SHOW SERIES", bucket)
        assert len(found) == len(expected)


def test_the_longest_line_that_can_be_configured_comes_back(influxd: Influxd) -> None:
    """1.x takes a string of 4 MiB: a line of 1 MiB, each byte of which is written as four."""
    text = r"\\xff" * 2**20
    influxd.write("events", [f'long raw="{text}" 1'])
    assert influxd.rows('SELECT raw FROM "long"', "events")[0]["raw"] == r"\xff" * 2**20
