"""A password was changed."""

from typing import ClassVar

from heptad.aggregator.detection.facts import Facts, Wants, list_some, often, path_of
from heptad.aggregator.detection.grouping import Grouped
from heptad.core.event import Event


class PasswordChange(Grouped):
    """The rule."""

    name = "password_change"
    title = "Password changed"
    technique = "T1098"
    wants: ClassVar[Wants] = {"action": ("password_change",), "outcome": ("success",)}
    meaning = (
        "The password of an account was set, changed, locked or unlocked. Medium for root, "
        "else low."
    )
    wrong_where = "routine password changes."

    def subject_of(self, event: Event) -> str | None:
        """Whose password it is."""
        return event.target_user or event.user or None

    def severity_of(self, facts: Facts) -> str:
        """By whose it is."""
        return "medium" if "root" in (facts.targets or facts.users) else "low"

    def path_of(self, subject: str, facts: Facts) -> str:
        """See Telling.path_of."""
        return path_of(facts.hosts, facts.users, facts.targets)

    def facts_of(self, subject: str, facts: Facts) -> str:
        """See Telling.facts_of."""
        return f"{often(facts, 'change')} with {list_some(facts.programs)}"
