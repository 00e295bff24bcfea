"""Stamps without a year or a zone: which moment they mean, from the log alone."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.exporter.log_record import Provenance
from heptad.exporter.parsing.header import HeaderParser
from heptad.exporter.parsing.timestamps import TimestampParser
from tests.support.moments import ns

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)


def years(
    *stamps: str, now: datetime = NOW, last: datetime | None = None, year: int = 0
) -> list[int]:
    """The years in which the stamps of a log are read, one after the other."""
    clock = TimestampParser(UTC, ns(last) if last else None, ns(now), year)
    return [datetime.fromtimestamp(clock.read_bsd(s) // 10**9, UTC).year for s in stamps]


def test_the_newest_plausible_year() -> None:
    """The first stamp lies in the newest year that is not more than a day in the future."""
    assert years("Mar 15 11:00:00") == [2026]
    assert years("Mar 16 11:00:00") == [2026]
    assert years("Mar 16 13:00:00") == [2025]
    assert years("Dec 31 23:59:59") == [2025]
    assert years("Jan  1 00:00:00", now=datetime(2026, 12, 31, 12, tzinfo=UTC)) == [2027]


def test_the_turn_of_the_year() -> None:
    """December is followed by January of the next year, and a late line of December goes back."""
    assert years("Dec 31 23:59:59", "Jan  1 00:00:01", "Feb  1 00:00:00") == [2025, 2026, 2026]
    mixed = ("Jan  1 00:00:01", "Dec 31 23:59:59", "Jan  1 00:00:02", "Dec 31 23:59:58")
    assert years(*mixed) == [2026, 2025, 2026, 2025]
    assert years("Dec 31 23:59:59", *mixed) == [2025, 2026, 2025, 2026, 2025]


def test_the_29th_of_february() -> None:
    """The day lies in a year that has it, and does not pull other days there."""
    assert years("Feb 28 01:00:00", "Feb 29 01:00:00", "Mar  1 01:00:00", year=2024) == [2024] * 3
    assert years("Feb 29 01:00:00") == [2024]
    assert years("Feb 29 01:00:00", now=datetime(1903, 12, 1, tzinfo=UTC)) == [1896]
    with pytest.raises(ValueError, match="2-30"):
        years("Feb 30 01:00:00")


def test_a_log_of_years_ago() -> None:
    """With the year given, the first stamp lies in it and the others follow, for years."""
    stamps = ("Jun  1 00:00:00", "Dec  1 00:00:00", "Jun  1 00:00:00", "Jan  1 00:00:00")
    assert years(*stamps, year=2015) == [2015, 2015, 2016, 2017]


def test_never_in_the_future() -> None:
    """A step that would lead beyond now is not one of the year."""
    assert years("Mar 15 11:00:00", "Jul  1 00:00:00", "Mar 15 11:00:01") == [2026, 2025, 2026]


def test_going_on_from_a_state() -> None:
    """A restart goes on in the year of the last line, however long it took."""
    last = datetime(2023, 12, 30, tzinfo=UTC)
    assert years("Dec 31 00:00:00", "Jan  2 00:00:00", last=last) == [2023, 2024]
    assert years("Jan  2 00:00:00", "Mar  2 00:00:00", last=last) == [2024, 2024]


AGES = st.lists(st.integers(0, 330 * 86_400), min_size=1, max_size=40).map(
    lambda ages: sorted(ages, reverse=True)
)


@given(AGES, st.integers(0, 2 * 366), st.integers(0, 20))
def test_any_log_of_the_last_year(ages: list[int], day: int, cut: int) -> None:
    """Whenever it is read, a log of the last 330 days has its true years, over a restart too."""
    now = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day)
    moments = [now - timedelta(seconds=age) for age in ages]
    clock = TimestampParser(UTC, reference=ns(now))
    for number, moment in enumerate(moments):
        if number == cut:
            clock = TimestampParser(UTC, clock.last, ns(now))
        assert clock.read_bsd(f"{moment:%b} {moment.day:2} {moment:%H:%M:%S}") == ns(moment)


TRANSITIONS = [
    ("Europe/Berlin", datetime(2025, 10, 26, 1, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2025, 3, 30, 1, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2025, 4, 5, 15, tzinfo=UTC)),  # by half an hour
    ("Australia/Lord_Howe", datetime(2025, 10, 4, 15, 30, tzinfo=UTC)),
    ("America/St_Johns", datetime(2025, 11, 2, 4, 30, tzinfo=UTC)),
    ("Asia/Kolkata", datetime(2025, 6, 1, tzinfo=UTC)),
]


@pytest.mark.table
@pytest.mark.parametrize("zone, around", TRANSITIONS)
@pytest.mark.parametrize("form", ["bsd", "iso"])
@given(first=st.integers(0, 59), step=st.sampled_from([1, 7, 60, 240]), cut=st.integers(0, 9))
def test_the_clocks_change(
    zone: str, around: datetime, form: str, first: int, step: int, cut: int
) -> None:
    """Lines that come every few minutes at least have their true time through every change."""
    place = ZoneInfo(zone)
    begin = around - timedelta(minutes=70, seconds=first)
    count = min(130 * 60 // step, 400)
    if step == 1:
        begin = around - timedelta(seconds=200)
    clock = TimestampParser(place, reference=ns(NOW))
    for number in range(count):
        moment = begin + timedelta(seconds=number * step)
        if number == count * cut // 10:
            clock = TimestampParser(place, clock.last, ns(NOW))
        local = moment.astimezone(place)
        if form == "bsd":
            time = clock.read_bsd(f"{local:%b} {local.day:2} {local:%H:%M:%S}")
        else:
            time = clock.read_dated(f"{local:%Y-%m-%dT%H:%M:%S}", "", "")
        assert time == ns(moment), local


def test_an_hour_that_was_left_out() -> None:
    """A stamp in the hour that the clocks skip, from a wrong clock, is read without a jump."""
    clock = TimestampParser(ZoneInfo("Europe/Berlin"), reference=ns(NOW))
    times = [clock.read_bsd(f"Mar 30 {t}") for t in ("01:59:59", "02:30:00", "03:30:01")]
    assert times == sorted(times)
    assert times[-1] - times[0] < 2 * 3600 * 10**9


@pytest.mark.parametrize(
    "strange",
    [
        "Nov 27 11:00:01",
        "Jan  1 00:00:01",
        "2250-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "2020-11-23T11:00:00Z",
    ],
)
def test_one_wrong_clock_does_not_mislead_the_lines_after_it(strange: str) -> None:
    """A line from a clock that is off leaves the years of the others as they are."""
    header = HeaderParser(
        TimestampParser(UTC, reference=ns(datetime.fromisoformat("2026-11-23T11:00:05+00:00"))),
        Provenance(),
    )
    stamps = ["Nov 23 11:00:00", strange, "Nov 23 11:00:02", "Nov 23 11:00:03"]
    records, _ = header.parse_text("\n".join([f"{stamp} h sshd[1]: x" for stamp in stamps]))
    last = [record.time for record in records[-2:]]
    assert last == [
        ns(datetime.fromisoformat("2026-11-23T11:00:02+00:00")),
        ns(datetime.fromisoformat("2026-11-23T11:00:03+00:00")),
    ]


def test_a_strange_first_line_does_not_mislead_the_lines_after_it() -> None:
    """A log that begins with a line of 1970 is read in the present from the next line on."""
    header = HeaderParser(
        TimestampParser(UTC, reference=ns(datetime.fromisoformat("2026-11-23T11:00:05+00:00"))),
        Provenance(),
    )
    lines = ["1970-01-01T00:00:00Z h kernel: x", "Nov 23 11:00:02 h sshd[1]: x"]
    records, _ = header.parse_text("\n".join(lines))
    assert records[-1].time == ns(datetime.fromisoformat("2026-11-23T11:00:02+00:00"))


@pytest.mark.parametrize("stamp", ["2500-10-31T02:30:00", "9999-10-31T02:30:00"])
def test_no_hour_that_comes_twice_lies_beyond_what_is_kept(stamp: str) -> None:
    """A stamp too far ahead for the stores is none either where the clocks are changed."""
    clock = TimestampParser(ZoneInfo("Europe/Berlin"))
    for _ in range(2):
        with pytest.raises(ValueError, match="T02"):
            clock.read(stamp)
    assert clock.last is None
