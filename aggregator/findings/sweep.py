"""Sweep: one address that tries many hosts."""

from aggregator.chains.dense import Dense, names_of
from aggregator.chains.facts import Facts, list_some, name_owner
from aggregator.wording import count_of, length_of, minute_of
from heptad.findings_config import SweepConfig


class Sweep(Dense):
    """The rule with its thresholds; time is kept by units of five minutes."""

    name = "sweep"
    title = "One address on many hosts"
    technique = "T1110"
    unit = 5
    meaning = (
        "Failed logins on at least `hosts` different hosts from one address within `span`. Low up "
        "to ten times so many attempts, then medium, from a hundred times on high."
    )
    wrong_where = (
        "an administrator or a job with an old password goes from host to host, or hosts stand "
        "side by side on the internet, where scanners try them all. It needs events of several "
        "hosts in one store."
    )

    def __init__(self, config: SweepConfig) -> None:
        super().__init__(names_of("hosts"), config.hosts, config.span)

    def sentence_of(self, subject: str, facts: Facts) -> str:
        """The finding in words."""
        users = f" as {list_some(facts.users)}" if facts.users else ""
        return (
            f"{name_owner(subject, facts)} failed to log in on {list_some(facts.hosts)}{users} "
            f"{count_of(facts.count, 'time')} within "
            f"{length_of(facts.last[0] - facts.first[0])}, from {minute_of(facts.first[0])}"
        )
