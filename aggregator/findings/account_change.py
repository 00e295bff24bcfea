"""An account or a group was changed."""

from typing import ClassVar, Final

from aggregator.chains.facts import Facts, Wants, list_some
from aggregator.chains.groups import Grouped
from aggregator.wording import minute_of, shorten
from heptad.event import Event

_DONE: Final = {
    "account_create": "created",
    "account_modify": "changed",
    "account_delete": "deleted",
    "group_create": "created",
    "group_modify": "changed",
    "group_delete": "deleted",
    "member_add": "put into a group",
    "member_remove": "taken out of a group",
}
_POWERFUL: Final = frozenset({"root", "sudo", "wheel", "admin", "adm", "docker", "lxd", "shadow"})


class AccountChange(Grouped):
    """The rule."""

    name = "account_change"
    title = "Account or group changed"
    technique = "T1098"
    noun = ("account or group", "accounts or groups")
    wants: ClassVar[Wants] = {"action": tuple(_DONE), "outcome": ("success",)}
    meaning = (
        "An account or a group was created, changed or deleted, or its members were. Medium if "
        "somebody became a member of a group with power over the host "
        f"({', '.join(sorted(_POWERFUL))}), else low."
    )
    wrong_where = (
        "somebody administers the host, or a package makes its own account. Changes that are not "
        "made with the usual programs write no such lines."
    )

    def subject_of(self, event: Event) -> str | None:
        """The account, else the group."""
        return event.target_user or event.object or None

    def severity_of(self, facts: Facts) -> str:
        """By which group."""
        member = "member_add" in facts.actions
        return "medium" if member and _POWERFUL.intersection(facts.objects) else "low"

    def sentence_of(self, subject: str, facts: Facts) -> str:
        """The finding in words."""
        kind = "account" if facts.targets else "group"
        done = " and ".join(dict.fromkeys(_DONE[action] for action in facts.actions))
        who = f" by {list_some(facts.users)}" if facts.users else ""
        what = f" ({list_some(facts.objects)})" if facts.targets and facts.objects else ""
        return (
            f"the {kind} {shorten(subject)} was {done}{what} on {list_some(facts.hosts)}{who}, "
            f"with {list_some(facts.programs)}, at {minute_of(facts.first[0])}"
        )
