"""What is written has the tags, fields and types that are declared, whoever attacks."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docs.generate.schema_page import MEASURED
from heptad.aggregator.detection.facts import MOST_NAMES, facts_of, finding_of, merge
from heptad.aggregator.detection.finding import LISTS, Finding, Revision
from heptad.aggregator.detection.rules.root_password_login import RootPasswordLogin
from heptad.aggregator.reports import REPORTS
from heptad.aggregator.summary.wording import Words
from heptad.core.event import Event
from heptad.core.store.event_row import EVENTS, row_of_event
from heptad.core.store.line_protocol import decode_fields, decode_series, encode_line
from heptad.core.store.measurements import PART, TYPES, Field, Measurement, join_text
from heptad.core.store.point import Row, Value
from heptad.exporter.delivery.delivery_state import DeliveryState, Health, make_row
from heptad.exporter.log_record import LogRecord, Provenance
from heptad.exporter.unparsed import row_of_line
from tests.core.test_line_protocol import EVENTS as ANY_EVENTS
from tests.core.test_line_protocol import HOSTILE
from tests.support import needs
from tests.support.aggregator_world import MIDNIGHT, login
from tests.support.written import DECLARED, faults, parse_line, unforeseen, write_everything

SAMPLE = Path(__file__).parents[2] / "cli" / "heptad" / "cli" / "sample_log" / "auth.log"
PROBE = Measurement(
    "probe",
    "",
    "i",
    {},
    {
        "s": Field(str, ""),
        "i": Field(int, ""),
        "f": Field(float, ""),
        "b": Field(bool, ""),
        "t": Field(str, "", in_parts=True),
    },
)


def test_a_value_is_written_as_its_declared_type() -> None:
    """An integer is written as a float where one is declared; None is left out."""
    assert PROBE.encode({"s": "3", "i": 3, "f": 3, "b": False}) == 's="3",i=3i,f=3.0,b=false'
    assert PROBE.encode({"s": None, "f": 2.5}) == "f=2.5"
    assert PROBE.row([("host", "h")], 7, {"i": 1}) == Row("probe,host=h", 7, "i=1i")


@given(
    st.dictionaries(
        st.sampled_from(["s", "i", "f", "b"]),
        st.none() | st.text() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.booleans(),
    )
)
def test_no_field_changes_its_type(fields: dict[str, Value | None]) -> None:
    """Whatever values a row is given, it is of the declared types or it is not written."""
    try:
        body = PROBE.encode(fields)
    except (TypeError, ValueError):
        wrong = {
            name
            for name, value in fields.items()
            if value is not None
            and type(value) is not PROBE.fields[name].type
            and not (name == "f" and type(value) is int)
        }
        assert wrong or any(isinstance(v, float) and not math.isfinite(v) for v in fields.values())
        return
    if body:
        types = parse_line(f"probe {body} 1").types
        assert types == {name: TYPES[PROBE.fields[name].type] for name in decode_fields(body)}


@given(st.integers(0, 4), st.integers(-1, 1))
def test_a_long_text_is_written_in_parts(parts: int, more: int) -> None:
    """No field is longer than every InfluxDB takes, and the text comes back as it was."""
    text = "".join(map(chr, range(97, 123))) * (PART // 26 + 1)
    text = (text * 5)[: max(0, parts * PART + more)]
    fields = decode_fields(PROBE.encode({"i": 1, "t": text}))
    assert all(len(value) <= PART for value in fields.values() if isinstance(value, str))
    assert join_text("t", fields) == text
    assert join_text("s", fields) == ""


def test_what_is_not_declared_is_not_written() -> None:
    """A field without a declaration is an error, for nobody could know its type."""
    with pytest.raises(KeyError):
        PROBE.encode({"x": 1})


def test_declarations_agree_with_influxdb() -> None:
    """No name is used twice in a measurement or reserved, and 3.x's limit of columns is far."""
    for measurement in DECLARED.values():
        tags, fields = measurement.tags.keys(), measurement.fields.keys()
        assert not tags & fields
        assert not (tags | fields) & {"time", "_field", "_measurement"}
        assert measurement.always in fields
        assert len(tags) + len(fields) < 100
        assert tags, "3.x wants a tag"
    assert EVENTS.always == "count"


def test_sample_is_as_declared(tmp_path: Path) -> None:
    """Every row of the sample's events, findings and reports has what is declared and no more."""
    lines = write_everything(tmp_path, SAMPLE.read_text().splitlines())
    assert [(line.text, faults(line)) for line in lines if faults(line)] == []
    assert unforeseen(lines) == set()
    assert {line.measurement for line in lines} >= {
        "events",
        "findings",
        *(r.name for r in REPORTS),
    }


@pytest.mark.parametrize("log", MEASURED)
def test_real_logs_are_as_declared(tmp_path: Path, log: str) -> None:
    """So has every row of real logs; they have as many series as the page says."""
    path = needs.shared_data() / log
    text = path.read_text(encoding="utf-8", errors="backslashreplace").splitlines()
    lines = write_everything(tmp_path, text)
    assert [(line.text, faults(line)) for line in lines if faults(line)] == []
    assert unforeseen(lines) == set()
    series = Counter(
        name for name, _ in {(x.measurement, frozenset(x.tags.items())) for x in lines}
    )
    events = series.pop("events") + series.pop("not_understood", 0)
    assert (events, series.total()) == MEASURED[log][2:]


@given(ANY_EVENTS)
def test_an_event_is_as_declared(event: Event) -> None:
    """Whatever an event holds, its line has the declared types, and its count."""
    assert faults(parse_line(encode_line(row_of_event(event)))) == []


@given(
    st.builds(
        Health,
        now=st.integers(0, 2**62),
        offset=st.integers(-100, 100) | st.floats(-1e9, 1e9),
        behind=st.integers(0, 2**40),
        caught_up=st.booleans(),
        position=st.none() | st.text(),
    ),
    st.builds(DeliveryState, position=st.integers(0, 9), watermark=st.integers(0, 9)),
)
def test_a_heartbeat_is_as_declared(health: Health, account: DeliveryState) -> None:
    """A heartbeat has the declared types, also where a clock is off by whole seconds."""
    row = make_row(account, health, "host", "0" * 32)
    assert faults(parse_line(encode_line(row))) == []
    assert decode_series(row.series) == ("heartbeat", {"host": "host", "machine_id": "0" * 32})


@given(st.text(), st.dictionaries(st.sampled_from([*LISTS, "more", "evidence"]), st.lists(HOSTILE)))
def test_a_finding_is_as_declared(text: str, lists: dict[str, Any]) -> None:
    """Whatever names a finding holds, its row has the declared types and tags."""
    finding = Finding(
        rule="sweep", subject=text, first=1, last=2, day=0, severity="low", sentence=text, count=1
    )
    filled = {name: getattr(finding, name) for name in Finding.__struct_fields__} | lists
    for revision in (
        Revision(Finding(**filled), 0),
        Revision(Finding(**filled), 1, superseded_by=7),
        Revision(Finding(**filled), 2, withdrawn=True),
    ):
        line = parse_line(encode_line(revision.row()))
        assert faults(line) == []
        assert line.tags == {"rule": "sweep", "severity": "low"}


ORIGINS = st.builds(
    Provenance,
    path=st.none() | HOSTILE,
    unit=st.none() | HOSTILE,
    trusted=st.booleans(),
    exe=st.none() | HOSTILE,
    uid=st.none() | st.integers(0, 10**18),
    capable=st.booleans(),
    transport=st.none() | HOSTILE,
)


@given(ORIGINS, HOSTILE, HOSTILE, st.none() | HOSTILE, st.booleans())
def test_a_line_that_was_not_understood_is_as_declared(
    provenance: Provenance, message: str, raw: str, host: str | None, history: bool
) -> None:
    """Whatever a line and the journal's fields hold, its row has the declared types."""
    record = LogRecord(1, host, "sshd", "7", message, raw, 1, provenance)
    row = row_of_line(record, "host", "feed0", "sshd", history=history)
    assert faults(parse_line(encode_line(row))) == []


def test_a_finding_fits_into_every_influxdb() -> None:
    """With names of the worst kind no field of a finding is above the 64 KiB that 3.x takes."""
    world = [
        login(MIDNIGHT + n, f"192.0.2.{n}", user=f"{n:03}" + "\x01" * 5000, object="\x01" * 5000)
        for n in range(60)
    ]
    rule = RootPasswordLogin()
    facts = merge([facts_of(event) for event in world])
    finding = finding_of(rule, "x", 0, facts, ("low", Words("", "", "")))
    fields = decode_fields(Revision(finding, 0).row().body)
    assert len(json.loads(str(fields["users"]))) == MOST_NAMES
    assert max(len(value) for value in fields.values() if isinstance(value, str)) < 2**16
