"""Each alert is about what its labels say, and about what is new: judged by promtool."""

import re
from pathlib import Path
from typing import Final

import pytest

from provisioning.alerts.rule import expression
from tests.provisioning.alert_cases import CASES
from tests.provisioning.alert_cases.case import Case
from tests.provisioning.test_alerts import ALERTS, SETTINGS, check

FIRING: Final = {case.alert: case for case in CASES if case.labels is not None}
"""Alert → a case in which it fires."""
MATCHER: Final = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
OF_NOTHING: Final = {"HeptadNotScraped", "HeptadSourceSilent"}
"""Fire because there is no such series, or it stands still."""


def matched(name: str) -> dict[str, str]:
    """The labels by which an alert picks series → a value that it must not pick."""
    found = MATCHER.findall(expression(ALERTS[name], SETTINGS))
    return {
        label: words.split("|")[0] if how.startswith("!") else "other"
        for label, how, words in found
    }


def relabelled(case: Case, label: str, value: str) -> Case:
    """The case with another value of a label wherever it stands; nothing may fire then."""
    series = {
        re.sub(rf'\b{label}="[^"]*"', f'{label}="{value}"', name): values
        for name, values in case.series.items()
    }
    return case._replace(series=series, labels=None)


@pytest.mark.parametrize("name", sorted(FIRING.keys() - OF_NOTHING))
def test_other_labels_do_not_fire(name: str, tmp_path: Path) -> None:
    """What happens to another job, of another rule, by another method and so on is not meant."""
    case = FIRING[name]
    cases = [relabelled(case, label, value) for label, value in matched(name).items()]
    assert all(one.series.keys() != case.series.keys() for one in cases)
    if cases:
        check(tmp_path, cases)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, case in FIRING.items()
        if name not in OF_NOTHING and any("_total{" in series for series in case.series)
    ],
)
def test_what_was_counted_long_ago_does_not_fire(name: str, tmp_path: Path) -> None:
    """A counter that stands still, wherever it stands, is no news."""
    case = FIRING[name]
    series = {
        name: "7x2500" if "_total{" in name else values for name, values in case.series.items()
    }
    check(tmp_path, [case._replace(series=series, labels=None)])
