"""Whatever happens to a log between two system calls of one look: nothing lost, nothing doubled."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rotations import OPERATIONS, Strikes, World

KINDS: Final = {"stat", "lstat", "fstat", "listdir", "open", "pread"}
FEW: Final = {"stat", "fstat", "pread"}
"""What is called where nothing happens but that lines are written."""
STEPS: Final = 16


def strike(world: World, name: str, *, call: int, stride: int, down: bool) -> Strikes:
    """Begin an operation before a call, and do its further steps before each ``stride``-th one."""
    steps = OPERATIONS[name](world)
    if down:
        world.source.close()
    world.was_up = not down
    strikes = Strikes({call + n * stride: lambda: next(steps, None) for n in range(STEPS)})
    with strikes:
        if down:
            world.source = world.make_source()
        world.read()
    for _ in steps:
        with strikes:
            world.read()
    return strikes


def strike_every_call(tmp_path: Path, begin: Callable[[World], object], **how: object) -> None:
    """Strike before the first call, then before the second, until there is none any more."""
    kinds, struck = set[str](), set[str]()
    call = 1
    while True:
        folder = tmp_path / str(call)
        folder.mkdir()
        with World(folder) as world:
            begin(world)
            try:
                strikes = strike(world, call=call, **how)  # type: ignore[arg-type]
                world.settle()
            except AssertionError as error:
                raise AssertionError(f"{how} before call {call}: {error}") from error
        kinds.update(strikes.kinds)
        struck.update(strikes.struck)
        if not strikes.struck:
            break
        call += 1 if how["stride"] == 1 else 3
    if how["stride"] == 1:
        assert struck >= (FEW if how["name"] == "append" else KINDS)
        # folders nearby are listed only where the operation is over and a file is gone
        assert kinds - struck <= {"scandir"}


@pytest.mark.parametrize("down", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("stride", [1, 1000], ids=["at_once", "slowly"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_struck_before_every_call(tmp_path: Path, name: str, stride: int, down: bool) -> None:
    """Begun before each call of a look, an operation is handled as if it came before or after."""

    def begin(world: World) -> None:
        list(world.append(20))
        world.read()
        list(world.append(4))

    strike_every_call(tmp_path, begin, name=name, stride=stride, down=down)


@pytest.mark.parametrize("down", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("name", ["rename", "copytruncate", "compress", "link"])
def test_a_log_that_was_empty(tmp_path: Path, name: str, down: bool) -> None:
    """A log that was empty when it was seen last is known by its inode alone, and not doubled."""
    strike_every_call(
        tmp_path, lambda world: list(world.append(50)), name=name, stride=1, down=down
    )


VERSIONS: Final = {
    "replace", "delete_first_line", "delete_last_line", "restore", "rewrite", "copy_back",
    "mount_over",
}  # fmt: skip
"""What puts another version of the log at its path."""
STRIKES: Final = st.tuples(
    st.sampled_from(sorted(OPERATIONS)),
    st.integers(1, 250),
    st.sampled_from([1, 2, 3, 7, 20, 60, 1000]),
    st.sampled_from([0, 0, 3, 25]),
    st.booleans(),
)


def has_one_version(strikes: list[tuple[str, int, int, int, bool]]) -> bool:
    """Whether at most one of the operations replaces the log by another version of itself."""
    return sum(name in VERSIONS for name, *_ in strikes) <= 1


@given(st.lists(STRIKES, min_size=1, max_size=4).filter(has_one_version))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_struck_again_and_again(strikes: list[tuple[str, int, int, int, bool]]) -> None:
    """Several operations, each begun before any call, with lines that are not read yet or none."""
    with tempfile.TemporaryDirectory() as folder, World(Path(folder)) as world:
        list(world.append(20))
        world.read()
        for name, call, stride, unread, down in strikes:
            if unread:
                list(world.append(unread))
            strike(world, name, call=call, stride=stride, down=down)
            # a file that has no name any more is read to its end before a stop
            world.read()
        world.settle()
