"""Rule: an account or a group was changed."""

from typing import ClassVar, Final

from heptad.aggregator.detection.facts import EventFilter, Facts, list_some, often, path_of
from heptad.aggregator.detection.grouping import GroupingRule
from heptad.core.event import Event
from heptad.core.wording import list_names

_DONE: Final = {
    "account_create": "account created",
    "account_modify": "account changed",
    "account_delete": "account deleted",
    "group_create": "group created",
    "group_modify": "group changed",
    "group_delete": "group deleted",
    "member_add": "member added to a group",
    "member_remove": "member removed from a group",
}
_POWERFUL: Final = frozenset({"root", "sudo", "wheel", "admin", "adm", "docker", "lxd", "shadow"})


class AccountChange(GroupingRule):
    name = "account_change"
    title = "Account or group changed"
    technique = "T1098"
    noun = ("account or group", "accounts or groups")
    filter: ClassVar[EventFilter] = {"action": tuple(_DONE), "outcome": ("success",)}
    description = (
        "An account, a group or its members were changed. Medium if a user was added to a "
        f"privileged group ({', '.join(sorted(_POWERFUL))}), otherwise low."
    )
    false_positives = (
        "Routine administration, or a package that creates its own account. Changes made "
        "without the usual programs are not logged."
    )

    def key_of(self, event: Event) -> str | None:
        """The account, else the group."""
        return event.target_user or event.object or None

    def severity_of(self, facts: Facts) -> str:
        member = "member_add" in facts.actions
        return "medium" if member and _POWERFUL.intersection(facts.objects) else "low"

    def title_of(self, facts: Facts) -> str:
        done = [_DONE[action] for action in facts.actions]
        return list_names(done, most=2).capitalize()

    def path_of(self, key: str, facts: Facts) -> str:
        return path_of(facts.hosts, facts.users, facts.targets or (key,))

    def facts_of(self, key: str, facts: Facts) -> str:
        what = f": {list_some(facts.objects)}" if facts.targets and facts.objects else ""
        return f"{often(facts, 'change')} with {list_some(facts.programs)}{what}"
