"""Slow brute force: failed logins from one address in many hours of a day."""

from aggregator.chains.dense import UNITS, Dense
from aggregator.chains.facts import Facts, list_some, name_owner
from aggregator.wording import count_of, length_of, minute_of
from heptad.findings_config import SlowBruteForceConfig


class SlowBruteForce(Dense):
    """The rule with its thresholds; time is kept by the hour."""

    name = "slow_brute_force"
    title = "Slow brute force"
    technique = "T1110"
    unit = 60
    meaning = (
        "Failed logins from one address in at least `hours` different hours within `span`: "
        "somebody who takes his time, so as not to be noticed. Low up to ten times so many "
        "attempts, then medium, from a hundred times on high."
    )
    wrong_where = (
        "a job with an old password tries every hour, or one address stands for many people. An "
        "attack that is fast and long is told by this rule and by `brute_force`."
    )

    def __init__(self, config: SlowBruteForceConfig) -> None:
        super().__init__(UNITS, config.hours, config.span)

    def sentence_of(self, subject: str, facts: Facts) -> str:
        """The finding in words."""
        users = f" as {list_some(facts.users)}" if facts.users else ""
        return (
            f"{name_owner(subject, facts)} failed to log in {count_of(facts.count, 'time')}{users} "
            f"on {list_some(facts.hosts)}, spread over "
            f"{length_of(facts.last[0] - facts.first[0])} from {minute_of(facts.first[0])}"
        )
