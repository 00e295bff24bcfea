"""Whatever happens to a log between two system calls of one look: nothing lost, nothing doubled."""

import errno
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import pytest
from hypothesis import example, given, seed, settings
from hypothesis import strategies as st

from tests.support.effort import BRIEF, PART, tries
from tests.support.rotations import OPERATIONS, Strikes, World

KINDS: Final = {"stat", "lstat", "fstat", "listdir", "open", "pread"}
FEW: Final = {"stat", "fstat", "pread"}
"""What is called where the open file stays at the path."""
STAYS: Final = {"append", "move_behind_link"}
STEPS: Final = 16
EVERY: Final = PART if BRIEF else 1
"""Every so many calls are struck."""


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
    step = EVERY if how["stride"] == 1 else 3 * EVERY
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
        call += step
    if step == 1:
        assert struck >= (FEW if how["name"] in STAYS else KINDS)
        # folders nearby are listed only where the operation is over and a file is gone, and what
        # is compressed is read only once it is whole
        missed = {kind for kind in kinds - struck if not kind.startswith("BufferedReader.")}
        assert missed <= {"scandir"}


@pytest.mark.table
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


def fail() -> None:
    """What a file server says that was started anew."""
    raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))


@pytest.mark.table
@pytest.mark.parametrize("down", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("name", ["append", "rename", "copytruncate", "compress", "link"])
def test_a_call_that_fails_for_a_moment(tmp_path: Path, name: str, down: bool) -> None:
    """Whichever call of the look after a rotation fails, the next look finds every line."""
    call, struck = 1, True
    while struck:
        folder = tmp_path / str(call)
        folder.mkdir()
        with World(folder) as world:
            list(world.append(20))
            world.read()
            list(world.append(4))
            if down:
                world.source.close()
                world.was_up = False
            list(OPERATIONS[name](world))
            with Strikes({call: fail}) as strikes:
                if down:
                    world.source = world.make_source()
                world.read()
            world.settle()
        struck = bool(strikes.struck)
        call += 2


@pytest.mark.table
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
ROTATIONS: Final = OPERATIONS.keys() - VERSIONS - {"unlink"}
"""After these no file holds what another one does."""
HOLES: Final = [
    ("copytruncate_with_hole", 1, 1000, 0, False),
    ("copy_back", 1, 1000, 0, False),
    ("copytruncate_with_hole", 1, 1000, 25, True),
]
"""Files of which nothing but NUL bytes is known at their beginning, one of them gone."""
EXAMPLES: Final = int(os.environ.get("ROTATION_EXAMPLES") or tries(100))
SEED: Final = int(os.environ.get("ROTATION_SEED") or 1)


def strikes_of(names: Iterable[str]) -> st.SearchStrategy[tuple[str, int, int, int, bool]]:
    """The arguments of a ``strike`` with one of these operations, and lines that are not read."""
    return st.tuples(
        st.sampled_from(sorted(names)),
        st.integers(1, 250),
        st.sampled_from([1, 2, 3, 7, 20, 60, 1000]),
        st.sampled_from([0, 0, 3, 25]),
        st.booleans(),
    )


def strike_again_and_again(strikes: list[tuple[str, int, int, int, bool]], alike: int) -> None:
    """Several operations, each begun before any call, with lines that are not read yet or none."""
    with tempfile.TemporaryDirectory() as folder, World(Path(folder), alike) as world:
        list(world.append(20))
        world.read()
        for name, call, stride, unread, down in strikes:
            if unread:
                list(world.append(unread))
            strike(world, name, call=call, stride=stride, down=down)
            # a file that has no name any more is read to its end before a stop
            world.read()
        world.settle()


@pytest.mark.parametrize("_", [()], ids=[f"ROTATION_SEED={SEED}"])
@seed(SEED)
@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(strikes=st.lists(strikes_of(OPERATIONS), min_size=1, max_size=8))
@example(strikes=HOLES)
def test_struck_again_and_again(strikes: list[tuple[str, int, int, int, bool]], _: object) -> None:
    """However often a log is rotated, replaced and restored, no line is lost or doubled."""
    strike_again_and_again(strikes, alike=1)


@pytest.mark.parametrize("_", [()], ids=[f"ROTATION_SEED={SEED}"])
@seed(SEED)
@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(strikes=st.lists(strikes_of(ROTATIONS), min_size=1, max_size=8))
def test_lines_that_say_the_same(strikes: list[tuple[str, int, int, int, bool]], _: object) -> None:
    """Of lines that say the same in the same second, each is read, in whichever file it is."""
    strike_again_and_again(strikes, alike=6)
