"""Account, group and password changes of a window: who changed what, and whose."""

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
    # the program is a field, not a tag: PAM logs password changes under the name of any program
    return (("host", event.host), ("action", event.action), ("outcome", event.outcome))


class AccountsReport:
    name: Final = "report_accounts"
    about: Final = (
        f"Changes of accounts, groups and passwords: per host, action and outcome the {MOST} "
        "most frequent, and all others as one row. The counts are exact. Few programs log who "
        "made the change; the event of sudo at the same time often shows it."
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
        "user": Field(str, "who made the change, if known; for a lockout: who was locked out"),
        "target_user": Field(str, "the target account"),
        "object": Field(str, "the group, or the changed object"),
        "reason": Field(str, "the reason of the outcome"),
        **COUNTED,
    }

    def begin(self) -> RankingAccumulator:
        return RankingAccumulator(MOST, _group, ("program", *ANSWERS))
