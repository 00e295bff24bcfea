"""What counts as the same in Grafana, and what the command costs those that do not push."""

import json
import subprocess
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from heptad.cli.grafana.push import difference

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values)
def test_a_thing_is_the_same_as_itself(value: Any) -> None:
    """Also after it went over the wire, and with what somebody added to it."""
    there = json.loads(json.dumps(value))
    assert difference(value, there) == ""
    if isinstance(value, dict):
        assert difference(value, {**there, "of Grafana's own": 1}) == ""


@given(json_values, json_values)
def test_a_difference_is_found_wherever_it_is(one: Any, other: Any) -> None:
    """Two values that have the same JSON are the same, and any others are not, to any depth."""
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    numbers = isinstance(one, int | float) and one == other  # 1 and 1.0
    empty = other is None and one in ("", {}, [])
    wrapped = difference({"panels": [0, {"x": one}]}, {"panels": [0, {"x": other}]})
    if same:
        assert wrapped == ""
    elif not isinstance(one, dict | list) and not numbers and not empty:
        assert wrapped == "panels[1].x"


def test_no_other_command_waits_for_its_library() -> None:
    """requests and grafana-client are loaded by the push alone."""
    asked = "import sys, heptad.cli.main as m; m.make_parser(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "heptad.cli.commands.grafana" in loaded
    assert loaded.isdisjoint({"requests", "grafana_client"})
