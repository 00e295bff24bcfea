"""Rule: many failed logins from one address within a short time."""

from heptad.aggregator.detection.facts import Facts, often
from heptad.aggregator.detection.threshold import EVENTS, ThresholdRule
from heptad.core.config.findings import BruteForceConfig


class BruteForce(ThresholdRule):
    name = "brute_force"
    title = "Brute force"
    technique = "T1110"
    description = (
        "At least `attempts` failed logins from one address within `span`. Low up to 10 times "
        "the threshold, medium up to 100 times, high above."
    )
    false_positives = (
        "Several users behind one address (a proxy, a gateway, a bastion host) who mistype, or "
        "a job with an old password. The rule does not detect attacks from many addresses, "
        "slow attacks, and lines without an address."
    )

    def __init__(self, config: BruteForceConfig) -> None:
        super().__init__(EVENTS, config.attempts, config.span)

    def facts_of(self, key: str, facts: Facts) -> str:
        return often(facts, "failed login")
