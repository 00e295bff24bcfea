"""Rule: a user became root by su."""

from typing import ClassVar

from heptad.aggregator.detection.facts import EventFilter, Facts, often, path_of
from heptad.aggregator.detection.grouping import GroupingRule
from heptad.core.event import Event


class SuToRoot(GroupingRule):
    name = "su_to_root"
    title = "Su to root"
    technique = "T1548"
    filter: ClassVar[EventFilter] = {"action": ("privilege",), "outcome": ("success", "failure")}
    description = (
        "A user became root by su, or tried to. Low. It is reported because su, unlike sudo, "
        "does not log what was done afterwards. When root runs su, it is not reported."
    )
    false_positives = "Hosts that are administered this way."

    def key_of(self, event: Event) -> str | None:
        """The user who ran su."""
        told = event.program == "su" and event.target_user == "root" and event.user != "root"
        return event.user or None if told else None

    def path_of(self, key: str, facts: Facts) -> str:
        return path_of(facts.hosts, facts.users, facts.targets)

    def facts_of(self, key: str, facts: Facts) -> str:
        denied = ", at least one was refused" if facts.reasons else ""
        return f"{often(facts, 'attempt')}{denied}"
