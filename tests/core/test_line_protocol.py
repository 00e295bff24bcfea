"""Line protocol: what an attacker typed comes back as it was, and never becomes anything else."""

import math
import re

from hypothesis import given
from hypothesis import strategies as st

from heptad.core.event import ACTIONS, LATEST, METHODS, OUTCOMES, REASONS, Event
from heptad.core.store.event_row import event_of_point, event_of_row, row_of_event, series_of
from heptad.core.store.line_protocol import (
    decode_fields,
    decode_series,
    encode_fields,
    encode_series,
    point_of,
    quote,
    row_of,
)
from heptad.core.store.point import Row, Value

HOSTILE = st.one_of(
    st.text(),
    st.text('"\\,= \n\r\t\0\x1b\x7fin=i"', max_size=20),
    st.text(st.sampled_from('"\\,=\n\u2028\u0085\U0001f600')),
    st.sampled_from(
        ['\\"', 'x",user="root', "\\", "\\\\", '"', "a\nevents,host=x f=1i 1", "1i", "t"]
    ),
)
KEYS = st.from_regex(r"[a-z_][a-z0-9_]{0,20}", fullmatch=True)
VALUES: st.SearchStrategy[Value] = st.one_of(
    HOSTILE, st.integers(-(2**63), 2**63 - 1), st.booleans(), st.floats(allow_nan=False)
)

# the grammar of a field set, written a second time: keys, and strings that end at a bare quote
STRING = r'"(?:[^"\\\n]|\\[^\n])*"'
FIELD_SET = re.compile(rf"(?:[a-z_0-9]+=(?:{STRING}|-?\d+i|true|false|[-+.0-9einf]+)(?:,(?!$)|$))*")


@given(st.dictionaries(KEYS, VALUES))
def test_fields_round_trip(fields: dict[str, Value]) -> None:
    """Every field comes back with its value and its type, and none is added."""
    body = encode_fields(fields)
    decoded = decode_fields(body)
    assert decoded == fields
    assert {k: type(v) for k, v in decoded.items()} == {k: type(v) for k, v in fields.items()}
    assert FIELD_SET.fullmatch(body)
    assert "\n" not in body
    assert "\r" not in body


@given(HOSTILE, HOSTILE)
def test_a_value_stays_in_its_field(one: str, other: str) -> None:
    """No text ends its string: what follows it is read as it was written."""
    body = f"a={quote(one)},b={quote(other)},c=1i"
    assert decode_fields(body) == {"a": one, "b": other, "c": 1}


def test_fields_without_value() -> None:
    """None is left out, an empty text is not."""
    assert encode_fields({"a": None, "b": "", "c": False, "d": 0}) == 'b="",c=false,d=0i'
    assert decode_fields("") == {}
    assert decode_fields(encode_fields({"a": math.inf, "b": -0.0})) == {"a": math.inf, "b": -0.0}


TAG_TEXT = st.text(st.characters(exclude_characters="\\\n\r\t", exclude_categories=["Cs"]))


@given(st.dictionaries(KEYS, TAG_TEXT))
def test_tags_round_trip(tags: dict[str, str]) -> None:
    """Every tag with a value comes back."""
    assert decode_series(encode_series("events", tags.items())) == (
        "events",
        {key: value for key, value in tags.items() if value},
    )


@given(st.dictionaries(KEYS, HOSTILE))
def test_a_tag_stays_a_tag(tags: dict[str, str]) -> None:
    """Whatever a tag holds, the head has just these tags, on one line, ending at no blank."""
    series = encode_series("events", tags.items())
    measurement, decoded = decode_series(series)
    assert measurement == "events"
    assert decoded.keys() == {key for key, value in tags.items() if value}
    assert not re.search(r"[\n\r\t]", series)
    assert not re.search(r"(?<!\\) ", series)
    assert not series.endswith("\\")


TEXT = HOSTILE.map(lambda text: text.replace("\0", ""))
OPTIONAL = st.none() | TEXT
EVENTS = st.builds(
    Event,
    time=st.integers(0, LATEST - 1),
    host=st.from_regex(r"[a-z][a-z0-9.-]{0,20}", fullmatch=True),
    source=st.from_regex(r"[a-z][a-z0-9_-]{0,20}", fullmatch=True),
    program=st.sampled_from(["sshd", "sudo"]),
    action=st.sampled_from(sorted(ACTIONS)),
    outcome=st.sampled_from(sorted(OUTCOMES)),
    method=st.sampled_from(sorted(METHODS)),
    reason=st.sampled_from(sorted(REASONS)),
    count=st.integers(1, 10**6),
    **dict.fromkeys(("user", "target_user", "source_ip", "source_domain", "object"), OPTIONAL),
    **dict.fromkeys(("tty", "log_host", "path", "unit"), OPTIONAL),
    source_port=st.none() | st.integers(0, 65_535),
    pid=st.none() | st.integers(0, 2**31),
    trust=st.sampled_from(["file", "journal"]),
    raw=HOSTILE,
)


@given(EVENTS)
def test_events_round_trip(event: Event) -> None:
    """An event that was stored is the event that is read, by way of a point or straight."""
    row = row_of_event(event)
    assert event_of_point(point_of(row)) == event_of_row(row) == event


def test_rows_of_reports() -> None:
    """A row of tags and fields is a point again."""
    row = row_of("reports", [("host", "a b"), ("program", "")], 7, {"n": 1, "x": 0.5, "y": None})
    assert point_of(row) == ("reports", {"host": "a b"}, {"n": 1, "x": 0.5}, 7)


def test_what_a_newer_version_wrote() -> None:
    """A field or tag that this version does not know is left out, the event is read."""
    event = Event(1, "h", "s", "sshd", "login", "failure", user="ann")
    row = row_of_event(event)
    newer = Row(row.series + ",colour=red", row.time, row.body + ",size=3i", row.raw)
    assert event_of_point(point_of(newer)) == event_of_row(newer) == event


def test_heads_are_shared() -> None:
    """The same tags give the same head, with empty ones left out."""
    series = series_of("h", "s", "sshd", "login", "failure", "", "")
    assert series == "events,host=h,source=s,program=sshd,action=login,outcome=failure"
