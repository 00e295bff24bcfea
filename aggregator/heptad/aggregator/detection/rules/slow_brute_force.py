"""Slow brute force: failed logins from one address in many hours of a day."""

from heptad.aggregator.detection.facts import Facts, often
from heptad.aggregator.detection.threshold import UNITS, ThresholdRule
from heptad.core.config.findings import SlowBruteForceConfig


class SlowBruteForce(ThresholdRule):
    """The rule with its thresholds; time is kept by the hour."""

    name = "slow_brute_force"
    title = "Slow brute force"
    technique = "T1110"
    unit = 60
    description = (
        "Failed logins from one address in at least `hours` different hours within `span`: "
        "somebody who takes his time, so as not to be noticed. Low up to ten times so many "
        "attempts, then medium, from a hundred times on high."
    )
    false_positives = (
        "a job with an old password tries every hour, or one address stands for many people. An "
        "attack that is fast and long is told by this rule and by `brute_force`."
    )

    def __init__(self, config: SlowBruteForceConfig) -> None:
        super().__init__(UNITS, config.hours, config.span)

    def facts_of(self, key: str, facts: Facts) -> str:
        """See Telling.facts_of."""
        return often(facts, "failed login")
