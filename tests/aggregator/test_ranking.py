"""The largest of many sizes."""

from hypothesis import given
from hypothesis import strategies as st

from heptad.exporter.size_index import SizeRanking

MOVES = st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from([1, -1])), max_size=200)


@given(st.dictionaries(st.sampled_from("abcde"), st.integers(1, 9)), MOVES)
def test_the_largest(sizes: dict[str, int], moves: list[tuple[str, int]]) -> None:
    """However sizes move by one, the largest is one of those that a look at all of them finds."""
    ranking = SizeRanking(sizes.items())
    for name, step in moves:
        before = sizes.get(name, 0)
        sizes[name] = max(0, before + step)
        ranking.move(name, before, sizes[name])
        if any(sizes.values()):
            assert sizes[ranking.largest()] == max(sizes.values())
