"""Account, group and password changes of a window: who changed what of whom."""

from typing import Final

from heptad.aggregator.reports.ranking import ANSWERS, COUNTED, RANK, GroupTags, RankingAccumulator
from heptad.core.event import Event
from heptad.core.store.measurements import Field

MOST: Final = 50
ACTIONS: Final = frozenset(
    {
        "account_create",
        "account_modify",
        "account_delete",
        "group_create",
        "group_modify",
        "group_delete",
        "member_add",
        "member_remove",
        "password_change",
        "password_expiry",
        "lockout",
    }
)


def _group(event: Event) -> GroupTags:
    # the program is an answer and no tag: PAM changes passwords under the name of any
    return (("host", event.host), ("action", event.action), ("outcome", event.outcome))


class AccountsReport:
    """The report ``report_accounts``."""

    name: Final = "report_accounts"
    about: Final = (
        f"Changes of accounts, groups and passwords: per host, action and outcome the {MOST} most "
        "frequent, and all others as one row. The counts are exact. Few programs tell who made the "
        "change: sudo's event beside it often does."
    )
    actions: Final = ACTIONS
    tags: Final = {
        "host": "where",
        "action": ", ".join(f"`{action}`" for action in sorted(ACTIONS)),
        "outcome": "how it ended",
        "rank": RANK,
    }
    fields: Final = {
        "program": Field(str, "the program that made the change"),
        "user": Field(
            str, "who made the change, where that is told; of a lockout: who was locked out"
        ),
        "target_user": Field(str, "whose account"),
        "object": Field(str, "the group, or what was changed"),
        "reason": Field(str, "why it ended so"),
        **COUNTED,
    }

    def begin(self) -> RankingAccumulator:
        """An empty window."""
        return RankingAccumulator(MOST, _group, ("program", *ANSWERS))
