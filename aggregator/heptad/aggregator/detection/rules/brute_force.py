"""Brute force: many failed logins from one address within a short time."""

from heptad.aggregator.detection.facts import Facts, often
from heptad.aggregator.detection.threshold import EVENTS, ThresholdRule
from heptad.core.config.findings import BruteForceConfig


class BruteForce(ThresholdRule):
    """The rule with its thresholds."""

    name = "brute_force"
    title = "Brute force"
    technique = "T1110"
    description = (
        "At least `attempts` failed logins from one address within `span`. Low up to ten times "
        "the threshold, medium up to a hundred times, high beyond."
    )
    false_positives = (
        "one address stands for many people (a proxy, a gateway, a bastion host) and several of "
        "them mistype, or a job with an old password tries again and again. It does not see "
        "attacks from many addresses, slow ones, and lines that tell no address."
    )

    def __init__(self, config: BruteForceConfig) -> None:
        super().__init__(EVENTS, config.attempts, config.span)

    def facts_of(self, key: str, facts: Facts) -> str:
        """See Telling.facts_of."""
        return often(facts, "failed login")
