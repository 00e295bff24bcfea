"""Rule: a login continued without its second factor."""

from typing import ClassVar, Final

from heptad.aggregator.detection.facts import EventFilter, Facts, often, path_of
from heptad.aggregator.detection.grouping import GroupingRule
from heptad.core.event import Event

_SKIPPED: Final = "factor_skipped"
_UNAVAILABLE: Final = "factor_unavailable"
_EXEMPT: Final = "factor_exempt"
_TITLES: Final = {
    _SKIPPED: "Second factor skipped",
    _UNAVAILABLE: "Second factor unavailable",
    _EXEMPT: "Second factor not required",
}
_WHY: Final = {
    _SKIPPED: "its service did not answer, and the login continued",
    _UNAVAILABLE: "it was not available",
    _EXEMPT: "the policy did not require it",
}


class SecondFactor(GroupingRule):
    name = "second_factor"
    title = "Second factor skipped"
    technique = "T1556.006"
    filter: ClassVar[EventFilter] = {"action": ("authentication",)}
    description = (
        "A login that requires a second factor (Duo, RADIUS, a code, a key) continued without "
        "one, or may have. High if the module let the user in because its service did not "
        "answer, medium if the service did not answer and the log does not show whether the "
        "login continued, low if the policy exempts the user. The subject is the user, or the "
        "host if no user is named."
    )
    false_positives = (
        "An outage of the service, or new users who are exempt until they are enrolled. An "
        "attacker who has a password can cause the outage, so check the login itself."
    )

    def key_of(self, event: Event) -> str | None:
        """The user, or the host if the line names no user."""
        return (event.user or event.host) if event.reason in _TITLES else None

    def severity_of(self, facts: Facts) -> str:
        """By what is certain."""
        if _SKIPPED in facts.reasons:
            return "high"
        return "medium" if _UNAVAILABLE in facts.reasons else "low"

    def title_of(self, facts: Facts) -> str:
        """Use the most severe reason."""
        return next(_TITLES[reason] for reason in _TITLES if reason in facts.reasons)

    def path_of(self, key: str, facts: Facts) -> str:
        return path_of(facts.hosts, facts.addresses, facts.users)

    def facts_of(self, key: str, facts: Facts) -> str:
        why = "; ".join(text for reason, text in _WHY.items() if reason in facts.reasons)
        return f"{often(facts, 'time')}: {why}"
