"""Which of the held points are offered when: none waits for others that are never taken."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heptad.core.store.field_conflict import Conflict, HeldPoints, Shard
from heptad.core.store.outbox import Outbox
from heptad.core.store.point import Row
from heptad.core.store.sqlite import LocalStore
from heptad.core.validation import Intake
from heptad.exporter.delivery.held import Offers
from heptad.exporter.metrics import ExporterMetrics
from heptad.exporter.normalize.login_attempts import label_sets
from tests.support.effort import tries
from tests.support.rulebook import RULEBOOK

HOUR = 3600 * 10**9
CONFLICT = Conflict("events", "count", "integer", "float")
METRICS = ExporterMetrics({}, label_sets(RULEBOOK), Intake())


class Sink:
    """Says of everything that it is held in one shard."""

    def gather(self, groups: list[tuple[Conflict, int, int]]) -> list[HeldPoints]:
        """One group."""
        points = sum(number for _, _, number in groups)
        return [HeldPoints(CONFLICT, Shard(), groups[0][1], points)]


@settings(max_examples=tries(30), deadline=None)
@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=12),
    st.sets(st.integers(0, 11)),
    st.integers(1, 9),
)
def test_every_hour_has_its_turn(
    tmp_path_factory: pytest.TempPathFactory, hours: list[int], freed: set[int], lines: int
) -> None:
    """However small a chunk is: points of the hours that the server takes again are all taken."""
    path = tmp_path_factory.mktemp("held") / "events.db"
    rows = [
        Row("events,host=a", hour * HOUR + n, "count=1i", "x" * 1000)
        for hour, number in enumerate(hours)
        for n in range(number)
    ]
    with LocalStore(path, write=True, outbox=True) as store:
        store.append(rows)
        outbox = Outbox(path)
        chunk = outbox.take(0, 1000, 2**20, 0)
        newly_held = zip(chunk.ids, chunk.times, strict=True)
        outbox.keep({}, newly_held=[(number, time, 0, CONFLICT) for number, time in newly_held])
        offers = Offers(Sink(), METRICS)  # type: ignore[arg-type]
        offers.refresh(outbox)
        for _ in range(200):
            chunk = offers.take(outbox, lines, 1500 * lines, 0)
            taken = [
                number
                for number, time in zip(chunk.ids, chunk.times, strict=True)
                if time // HOUR in freed
            ]
            outbox.keep({}, release=taken)
            offers.go_on(chunk, len(taken))
        left = sum(number for _, _, number in outbox.held_groups(1000))
        outbox.close()
    assert left == sum(number for hour, number in enumerate(hours) if hour not in freed)
