"""Rule: failed logins from one address in many hours of a day."""

from heptad.aggregator.detection.facts import Facts, often
from heptad.aggregator.detection.threshold import UNITS, ThresholdRule
from heptad.core.config.findings import SlowBruteForceConfig


class SlowBruteForce(ThresholdRule):
    """Units are hours."""

    name = "slow_brute_force"
    title = "Slow brute force"
    technique = "T1110"
    unit = 60
    description = (
        "Failed logins from one address in at least `hours` different hours within `span`, as "
        "in a slow attack that avoids detection. Low up to 10 times this number of attempts, "
        "medium up to 100 times, high above."
    )
    false_positives = (
        "A job with an old password that tries every hour, or many users behind one address. "
        "Both this rule and `brute_force` report an attack that is fast and long."
    )

    def __init__(self, config: SlowBruteForceConfig) -> None:
        super().__init__(UNITS, config.hours, config.span)

    def facts_of(self, key: str, facts: Facts) -> str:
        return often(facts, "failed login")
