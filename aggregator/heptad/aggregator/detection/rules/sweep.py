"""Sweep: one address that tries many hosts."""

from heptad.aggregator.detection.facts import Facts, number_of, often
from heptad.aggregator.detection.threshold import ThresholdRule, names_of
from heptad.core.config.findings import SweepConfig


class Sweep(ThresholdRule):
    """The rule with its thresholds; time is kept by units of five minutes."""

    name = "sweep"
    title = "One address on many hosts"
    technique = "T1110"
    unit = 5
    description = (
        "Failed logins on at least `hosts` different hosts from one address within `span`. Low up "
        "to ten times so many attempts, then medium, from a hundred times on high."
    )
    false_positives = (
        "an administrator or a job with an old password goes from host to host, or hosts stand "
        "side by side on the internet, where scanners try them all. It needs events of several "
        "hosts in one store."
    )

    def __init__(self, config: SweepConfig) -> None:
        super().__init__(names_of("hosts"), config.hosts, config.span)

    def facts_of(self, key: str, facts: Facts) -> str:
        """See Telling.facts_of."""
        names = number_of(facts.hosts, "host")
        return f"{often(facts, 'failed login')}, on {names}"
