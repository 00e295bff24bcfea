"""Privilege use of a window (sudo, su, pkexec, …): who became whom, for what, refused or not."""

from typing import Final

from heptad.aggregator.reports.ranking import COUNTED, RANK, GroupTags, RankingAccumulator
from heptad.core.event import Event
from heptad.core.store.measurements import Field

MOST: Final = 20


def _group(event: Event) -> GroupTags:
    return (("host", event.host), ("program", event.program), ("outcome", event.outcome))


class PrivilegeReport:
    """The report ``report_privilege``."""

    name: Final = "report_privilege"
    about: Final = (
        f"Who ran what as whom, and who was refused: per host, program and outcome the {MOST} most "
        "frequent answers, and all others as one row. The counts are exact."
    )
    actions: Final = frozenset({"privilege"})
    tags: Final = {
        "host": "where",
        "program": "sudo, su, pkexec, …",
        "outcome": "`failure`: it was refused",
        "rank": RANK,
    }
    fields: Final = {
        "user": Field(str, "who acted; missing where the line does not tell it for certain"),
        "target_user": Field(str, "as whom"),
        "object": Field(str, "what: the command"),
        "reason": Field(str, "why it was refused"),
        **COUNTED,
    }

    def begin(self) -> RankingAccumulator:
        """An empty window."""
        return RankingAccumulator(MOST, _group)
