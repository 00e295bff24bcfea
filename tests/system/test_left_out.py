"""What `make check` leaves out, and why."""

import pytest

from tests.support import left_out, needs
from tests.support.influxdb import Influxd


def asks_at_once() -> None:
    """Needs a program."""
    needs.program("sshd")


def asks_further_down() -> None:
    """Needs what another function needs, which it only names in a closure."""
    list(map(lambda _: asks_at_once(), range(1)))  # noqa: C417


def makes_a_server() -> None:
    """Needs what a class needs."""
    Influxd.__init__.__get__(object)


def asks_for_a_built_server() -> None:
    """Needs what is built once, by a function that is cached."""
    needs.influxdb_2()


def asks_for_data() -> None:
    """Needs files, which are no daemon."""
    needs.shared_data()


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (asks_at_once, True),
        (asks_further_down, True),
        (makes_a_server, True),
        (asks_for_a_built_server, True),
        (asks_for_data, False),
        (left_out.describe, False),
    ],
)
def test_what_a_test_reaches_decides(function: object, expected: bool) -> None:
    """A need is found behind functions, closures and classes, and nothing else is one."""
    assert left_out.reaches(function) is expected


def test_a_check_lists_what_it_leaves_out(pytestconfig: pytest.Config) -> None:
    """Tests of a real server and long ones are on the list with their file, others are not."""
    left = pytestconfig.stash[left_out.LEFT_OUT]
    told = "\n".join(left_out.describe(left))
    if pytestconfig.args == ["tests"]:  # a run of the whole suite
        assert "tests/system/test_torture_influxdb.py" in told
        assert "tests/system/test_real_counting.py" in told
        assert "tests/system/test_torture.py" in told
    assert "tests/system/test_left_out.py" not in told
    assert f"{sum(left.values())} tests need" in told
