"""A password was changed."""

from typing import ClassVar

from aggregator.chains.facts import Facts, Wants, list_some
from aggregator.chains.groups import Grouped
from aggregator.wording import minute_of, shorten
from heptad.event import Event


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
    wrong_where = "somebody changes his password, as he should now and then."

    def subject_of(self, event: Event) -> str | None:
        """Whose password it is."""
        return event.target_user or event.user or None

    def severity_of(self, facts: Facts) -> str:
        """By whose it is."""
        return "medium" if "root" in (facts.targets or facts.users) else "low"

    def sentence_of(self, subject: str, facts: Facts) -> str:
        """The finding in words."""
        who = f" by {list_some(facts.users)}" if facts.targets and facts.users else ""
        return (
            f"the password of {shorten(subject)} was changed on {list_some(facts.hosts)}{who}, "
            f"with {list_some(facts.programs)}, at {minute_of(facts.first[0])}"
        )
