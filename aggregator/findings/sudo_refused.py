"""Sudo or doas refused a user."""

from typing import ClassVar, Final

from aggregator.chains.facts import Facts, Wants, list_some
from aggregator.chains.groups import Grouped
from aggregator.wording import count_of, minute_of, shorten
from heptad.event import Event

_PROGRAMS: Final = ("sudo", "doas")
_BY_POLICY: Final = {"not_in_sudoers", "command_not_allowed", "not_permitted", "access_denied"}


class SudoRefused(Grouped):
    """The rule."""

    name = "sudo_refused"
    title = "Sudo refused"
    technique = "T1548.003"
    wants: ClassVar[Wants] = {"action": ("privilege",), "outcome": ("failure",)}
    meaning = (
        "sudo or doas refused a user. Medium if the policy did (not in sudoers, command not "
        "allowed, account refused), low if only the password was wrong or could not be asked for."
    )
    wrong_where = (
        "somebody mistypes, tries what he is allowed, or a job runs sudo without a terminal."
    )

    def subject_of(self, event: Event) -> str | None:
        """The user."""
        return event.user or None if event.program in _PROGRAMS else None

    def severity_of(self, facts: Facts) -> str:
        """By who refused."""
        return "medium" if _BY_POLICY.intersection(facts.reasons) else "low"

    def sentence_of(self, subject: str, facts: Facts) -> str:
        """The finding in words."""
        target = f" to act as {list_some(facts.targets)}" if facts.targets else ""
        why = f" ({list_some(facts.reasons).replace('_', ' ')})" if facts.reasons else ""
        who = f"{list_some(facts.programs)} refused {shorten(subject)}{target}"
        return (
            f"{who} on {list_some(facts.hosts)} {count_of(facts.count, 'time')}{why}, "
            f"from {minute_of(facts.first[0])}"
        )
