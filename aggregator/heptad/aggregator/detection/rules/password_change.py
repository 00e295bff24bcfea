"""Rule: a password was changed."""

from typing import ClassVar

from heptad.aggregator.detection.facts import EventFilter, Facts, list_some, often, path_of
from heptad.aggregator.detection.grouping import GroupingRule
from heptad.core.event import Event


class PasswordChange(GroupingRule):
    name = "password_change"
    title = "Password changed"
    technique = "T1098"
    filter: ClassVar[EventFilter] = {"action": ("password_change",), "outcome": ("success",)}
    description = (
        "The password of an account was set, changed, locked or unlocked. Medium for root, "
        "otherwise low."
    )
    false_positives = "Routine password changes."

    def key_of(self, event: Event) -> str | None:
        """The owner of the password."""
        return event.target_user or event.user or None

    def severity_of(self, facts: Facts) -> str:
        return "medium" if "root" in (facts.targets or facts.users) else "low"

    def path_of(self, key: str, facts: Facts) -> str:
        return path_of(facts.hosts, facts.users, facts.targets)

    def facts_of(self, key: str, facts: Facts) -> str:
        return f"{often(facts, 'change')} with {list_some(facts.programs)}"
