"""Rule: one address tries many hosts."""

from heptad.aggregator.detection.facts import Facts, number_of, often
from heptad.aggregator.detection.threshold import ThresholdRule, names_of
from heptad.core.config.findings import SweepConfig


class Sweep(ThresholdRule):
    """Units are five minutes."""

    name = "sweep"
    title = "One address on many hosts"
    technique = "T1110"
    unit = 5
    description = (
        "Failed logins on at least `hosts` different hosts from one address within `span`. Low "
        "up to 10 times this number of attempts, medium up to 100 times, high above."
    )
    false_positives = (
        "An administrator or a job with an old password that goes from host to host, or hosts "
        "with adjacent public addresses, which scanners try one after another. The rule "
        "requires events of several hosts in one store."
    )

    def __init__(self, config: SweepConfig) -> None:
        super().__init__(names_of("hosts"), config.hosts, config.span)

    def facts_of(self, key: str, facts: Facts) -> str:
        names = number_of(facts.hosts, "host")
        return f"{often(facts, 'failed login')}, on {names}"
