"""Privilege use of a window (sudo, su, pkexec, …): who became whom, for what, and the outcome."""

from typing import Final

from heptad.aggregator.reports.ranking import COUNTED, RANK, GroupTags, RankingAccumulator
from heptad.core.event import Event
from heptad.core.store.measurements import Field

MOST: Final = 20


def _group(event: Event) -> GroupTags:
    return (("host", event.host), ("program", event.program), ("outcome", event.outcome))


class PrivilegeReport:
    name: Final = "report_privilege"
    about: Final = (
        "Who ran which command as whom, and who was refused: per host, program and outcome the "
        f"{MOST} most frequent rows, and all others as one row. The counts are exact."
    )
    actions: Final = frozenset({"privilege"})
    tags: Final = {
        "host": "where",
        "program": "sudo, su, pkexec, …",
        "outcome": "`failure`: it was refused",
        "rank": RANK,
    }
    fields: Final = {
        "user": Field(str, "who acted; missing if the line does not show it reliably"),
        "target_user": Field(str, "the target user"),
        "object": Field(str, "the command"),
        "reason": Field(str, "the reason of the refusal"),
        **COUNTED,
    }

    def begin(self) -> RankingAccumulator:
        return RankingAccumulator(MOST, _group)
