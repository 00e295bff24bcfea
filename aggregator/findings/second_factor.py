"""The second factor was not asked for."""

from typing import ClassVar, Final

from aggregator.chains.facts import Facts, Wants, list_some
from aggregator.chains.groups import Grouped
from aggregator.wording import count_of, minute_of, shorten
from heptad.event import Event

_SKIPPED: Final = "factor_skipped"
_UNAVAILABLE: Final = "factor_unavailable"
_TOLD: Final = (_SKIPPED, _UNAVAILABLE, "factor_exempt")


class SecondFactor(Grouped):
    """The rule."""

    name = "second_factor"
    title = "Second factor skipped"
    technique = "T1556.006"
    wants: ClassVar[Wants] = {"action": ("authentication",)}
    meaning = (
        "A login needed a second factor (Duo, RADIUS, a code, a key), and it was not asked for. "
        "High if the module let the user in because its service did not answer, medium if the "
        "service did not answer and the log does not show whether the login went on, low if the "
        "policy exempts the user. The subject is the user, or the host if no user is named."
    )
    wrong_where = (
        "the service has an outage, or new users are exempt until they are enrolled. An attacker "
        "who has a password can cause the outage: check the login itself."
    )

    def subject_of(self, event: Event) -> str | None:
        """The user, or the host if the line names no user."""
        return (event.user or event.host) if event.reason in _TOLD else None

    def severity_of(self, facts: Facts) -> str:
        """By what is certain."""
        if _SKIPPED in facts.reasons:
            return "high"
        return "medium" if _UNAVAILABLE in facts.reasons else "low"

    def sentence_of(self, subject: str, facts: Facts) -> str:
        """The finding in words."""
        if _SKIPPED in facts.reasons:
            what = "was skipped, its service did not answer"
        elif _UNAVAILABLE in facts.reasons:
            what = "could not be asked for"
        else:
            what = "was not required by the policy"
        return (
            f"the second factor of {shorten(subject)} {what}, on {list_some(facts.hosts)} "
            f"{count_of(facts.count, 'time')} from {minute_of(facts.first[0])}"
        )
