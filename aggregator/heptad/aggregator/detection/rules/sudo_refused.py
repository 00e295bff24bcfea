"""Rule: sudo or doas refused a user."""

from typing import ClassVar, Final

from heptad.aggregator.detection.facts import EventFilter, Facts, list_some, often, path_of
from heptad.aggregator.detection.grouping import GroupingRule
from heptad.core.event import Event

_PROGRAMS: Final = ("sudo", "doas")
_BY_POLICY: Final = {"not_in_sudoers", "command_not_allowed", "not_permitted", "access_denied"}


class SudoRefused(GroupingRule):
    name = "sudo_refused"
    title = "Sudo refused"
    technique = "T1548.003"
    filter: ClassVar[EventFilter] = {"action": ("privilege",), "outcome": ("failure",)}
    description = (
        "sudo or doas refused a user. Medium if the policy refused (not in sudoers, command "
        "not allowed, account refused), low if only the password was wrong or could not be "
        "prompted for."
    )
    false_positives = (
        "A user who mistypes or checks what they are allowed to do, or a job that runs "
        "sudo without a terminal."
    )

    def key_of(self, event: Event) -> str | None:
        return event.user or None if event.program in _PROGRAMS else None

    def severity_of(self, facts: Facts) -> str:
        """By who refused: the policy, or only the password check."""
        return "medium" if _BY_POLICY.intersection(facts.reasons) else "low"

    def path_of(self, key: str, facts: Facts) -> str:
        return path_of(facts.hosts, facts.users, facts.targets)

    def facts_of(self, key: str, facts: Facts) -> str:
        why = f": {list_some(facts.reasons).replace('_', ' ')}" if facts.reasons else ""
        return f"{often(facts, 'refusal')} by {list_some(facts.programs)}{why}"
