"""Rule: one address tries many users."""

from heptad.aggregator.detection.facts import MOST_NAMES, Facts, number_of, often
from heptad.aggregator.detection.threshold import ThresholdRule, names_of
from heptad.core.config.findings import SprayingConfig


class Spraying(ThresholdRule):
    """Units are five minutes."""

    name = "spraying"
    title = "One address on many users"
    technique = "T1110.003"
    unit = 5
    description = (
        "Failed logins as at least `users` different users from one address within `span`. "
        f"Medium if more than {MOST_NAMES} names were tried, otherwise low."
    )
    false_positives = (
        "Many users behind one address. The rule does not distinguish a few passwords on many "
        "accounts from a list of names and passwords."
    )

    def __init__(self, config: SprayingConfig) -> None:
        super().__init__(names_of("users"), config.users, config.span)

    def severity_of(self, facts: Facts) -> str:
        return "medium" if len(facts.users) > MOST_NAMES else "low"

    def facts_of(self, key: str, facts: Facts) -> str:
        names = number_of(facts.users, "user")
        return f"{often(facts, 'failed login')}, as {names}"
