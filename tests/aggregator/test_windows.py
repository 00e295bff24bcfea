"""Reports: when a window is computed, what a revision is, and what comes too late."""

from pathlib import Path
from typing import Any

import pytest

from heptad.aggregator import progress
from heptad.core.store.sqlite import LocalStore
from tests.support.aggregator_world import DAY, HOUR, MIDNIGHT, MINUTE, SECOND, World, login

NOON = MIDNIGHT + 12 * HOUR
MAX_WAIT = 2 * MINUTE


def look_at(world: World, now: int) -> None:
    """Look at a point in time."""
    world.now = now
    world.run_cycle()


def test_window_waits_for_its_end(world: World) -> None:
    """While a window is open nothing is written of it."""
    world.append([login(NOON)])
    look_at(world, NOON + 5 * MINUTE - 1)
    assert world.windows() == {}


def test_window_is_computed_when_time_has_passed_it(world: World) -> None:
    """An event after its end ends a window, a few seconds later; the longer ones stay open."""
    world.append([login(NOON)])
    look_at(world, NOON + 1 * MINUTE)
    world.append([login(NOON + 5 * MINUTE + SECOND)])
    look_at(world, NOON + 5 * MINUTE + 4 * SECOND)
    assert world.windows() == {}
    look_at(world, NOON + 5 * MINUTE + 6 * SECOND)
    assert world.windows().keys() == {("5m", NOON)}


def test_window_is_computed_after_max_wait_at_the_latest(world: World) -> None:
    """Where nothing comes any more, a window is computed `max_wait` after its end."""
    world.append([login(NOON)])
    look_at(world, NOON + SECOND)
    look_at(world, NOON + 5 * MINUTE + MAX_WAIT - 1)
    assert world.windows() == {}
    look_at(world, NOON + 5 * MINUTE + MAX_WAIT)
    assert world.windows().keys() == {("5m", NOON)}
    look_at(world, MIDNIGHT + DAY + MAX_WAIT)
    assert world.windows().keys() == {("5m", NOON), ("1h", NOON), ("1d", MIDNIGHT)}


def test_late_event_leads_to_a_revision(world: World) -> None:
    """An event after the fact adds rows of the next revision; the first ones stay as they are."""
    world.append([login(NOON)])
    world.finish()
    first = world.rows("report_attempts")
    world.append([login(NOON + MINUTE, user="late")])
    world.run_cycle()
    assert world.revision("5m", NOON) == 0, "it waits for others that may come"
    world.now += MAX_WAIT
    world.run_cycle()
    assert world.revision("5m", NOON) == 1
    rows = world.rows("report_attempts")
    assert set(first) < set(rows)
    assert {time for time, _ in rows} == {NOON, NOON + 1, MIDNIGHT, MIDNIGHT + 1}
    ((_, fields),) = world.windows()["5m", NOON].items()
    assert fields["attempts"] == 2


def test_late_events_that_keep_coming_do_not_put_it_off_for_ever(world: World) -> None:
    """A window that is never left alone is revised after ten times `max_wait`."""
    world.append([login(NOON)])
    world.finish()
    for n in range(25):
        world.append([login(NOON + MINUTE + n)])
        world.run_cycle()
        world.now += MINUTE
    assert world.revision("5m", NOON) == 1


def test_event_beyond_the_horizon_is_counted_and_left_out(world: World) -> None:
    """A report is not changed for what comes more than a week late, until asked to by hand."""
    world.append([login(NOON), login(NOON + 7 * DAY + HOUR)])
    world.finish()
    late = [login(NOON + n) for n in range(1, 4)]
    world.append([late[0], login(NOON + 7 * DAY + 2 * HOUR), *late[1:]])
    world.finish()
    assert world.counter("heptad_aggregator_late_events_total") == 3
    assert world.revision("5m", NOON) == 0
    assert world.revision("1d", NOON + 7 * DAY - 12 * HOUR) == 1
    world.backfill(NOON, NOON + MINUTE)
    assert world.revision("5m", NOON) == 1
    ((_, fields),) = world.windows()["5m", NOON].items()
    assert fields["attempts"] == 4


def test_history_is_never_late(world: World) -> None:
    """What an exporter reads at its first start may be as old as it likes."""
    world.events.append([], {"first_start": str(NOON).encode()})
    world.restart()
    world.append([login(NOON)])
    world.finish()
    world.append([login(NOON - 30 * DAY)])
    world.finish()
    assert world.counter("heptad_aggregator_late_events_total") == 0
    assert world.revision("5m", NOON - 30 * DAY) == 0


def test_backlog_is_never_late(world: World) -> None:
    """After a month's pause everything that is read in order is worked off."""
    world.append([login(NOON + day * DAY) for day in range(30)])
    world.now = NOON + 60 * DAY
    world.run_cycle(everything=True)
    assert sum(size == "1d" for size, _ in world.windows()) == 30
    assert world.counter("heptad_aggregator_late_events_total") == 0


def test_event_from_the_future_does_not_make_others_late(world: World) -> None:
    """A clock that is a year ahead on one host costs the others nothing."""
    world.append([login(NOON + 365 * DAY)])
    look_at(world, NOON)
    world.append([login(NOON + MINUTE)])
    look_at(world, NOON + 2 * MINUTE)
    look_at(world, NOON + HOUR + MAX_WAIT)
    assert ("5m", NOON) in world.windows()
    assert world.counter("heptad_aggregator_late_events_total") == 0


def test_far_future_waits_for_its_time(world: World) -> None:
    """What is stamped more than a day ahead is counted, kept out, and looked at when it is due."""
    ahead = NOON + 40 * DAY
    world.append([login(ahead + n) for n in range(5)])
    look_at(world, NOON)
    world.restart()
    look_at(world, NOON + 38 * DAY)
    assert world.counter("heptad_aggregator_future_events_total") == 5
    assert world.reports.recall("report/report_attempts") == b"{}"
    assert world.counter("heptad_aggregator_late_events_total") == 0
    look_at(world, ahead + HOUR)
    look_at(world, ahead + 2 * DAY)
    assert world.revision("5m", ahead) == 0
    assert [finding.count for finding in world.findings()] == [5]
    assert world.counter("heptad_aggregator_future_events_total") == 5


def test_many_futures_leave_little_behind(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered of wrong clocks is bounded, and the nearest of it is kept."""
    monkeypatch.setattr(progress, "MOST_AHEAD", 10)
    days = [*range(400, 1, -2), *range(3, 400, 2)]
    world.append([login(NOON + day * DAY) for day in days])
    look_at(world, NOON)
    state = [world.reports.recall(key) or b"" for key in ("progress", "report/report_attempts")]
    assert sum(map(len, state)) < 1000
    look_at(world, NOON + 40 * DAY)
    look_at(world, NOON + 41 * DAY)
    seen = {start // DAY for _, start in world.windows()}
    assert seen == {NOON // DAY + day for day in range(2, 12)}


def test_future_does_not_move_the_horizon(world: World) -> None:
    """A wrong stamp amid a backlog does not make the rest of the backlog late."""
    world.append([login(NOON - 60 * DAY), login(NOON + 60 * DAY)])
    look_at(world, NOON)
    world.append([login(NOON - 59 * DAY)])
    look_at(world, NOON + HOUR)
    look_at(world, NOON + 2 * HOUR)
    assert ("1d", MIDNIGHT - 59 * DAY) in world.windows()


@pytest.mark.long
def test_state_written_grows_with_the_events_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice as many days in a backlog cost about twice as much state, not four times."""
    written = 0
    append = LocalStore.append

    def weigh(store: LocalStore, rows: Any, state: Any = None, *rest: Any) -> None:
        nonlocal written
        written += sum(map(len, (state or {}).values()))
        append(store, rows, state, *rest)

    monkeypatch.setattr(LocalStore, "append", weigh)
    cost = {}
    for number in (100, 200):
        folder = tmp_path / str(number)
        folder.mkdir()
        with World(folder) as world:
            world.append([login(NOON - day * DAY) for day in range(number)])
            written = 0
            look_at(world, NOON + HOUR)
            look_at(world, NOON + 2 * DAY)
            cost[number] = written
            assert sum(size == "1d" for size, _ in world.windows()) == number
    assert cost[200] < 3 * cost[100]


def test_range_by_hand_ends_where_time_does(world: World) -> None:
    """Events of 1970 and of 2200 do not make every window in between due."""
    world.append([login(HOUR), login(NOON), login(200 * 365 * DAY)])
    look_at(world, NOON + 2 * DAY)
    world.backfill(-(2**63), 2**63)
    assert {start // DAY for _, start in world.windows()} == {0, NOON // DAY}


def test_pruned_events_do_not_undo_what_was_reported(world: World) -> None:
    """A window that has lost events keeps its last revision."""
    world.append([login(NOON), login(NOON + SECOND)])
    world.finish()
    before = world.windows()
    world.events.close()
    for name in ("", "-wal", "-shm"):
        world.path.with_name(world.path.name + name).unlink(missing_ok=True)
    world.read.close()
    world.reports.close()
    with World(world.path.parent) as other:
        other.name = "begun anew"
        other.restart()
        other.append([login(NOON + 2 * SECOND)])
        other.finish()
        assert other.windows() == before


def test_host_named_like_nothing_else_keeps_its_rows(world: World) -> None:
    """Names with separators in them do not look like a change at every look."""
    world.append([login(NOON, host="a,b=c d\\e", method="")])
    world.finish()
    rows = world.rows("report_attempts")
    world.backfill(NOON, NOON + MINUTE)
    assert world.rows("report_attempts") == rows
