"""Brute force: many failed logins from one address within a short time."""

from aggregator.chains.dense import EVENTS, Dense
from aggregator.chains.facts import Facts, list_some, name_owner
from aggregator.wording import count_of, length_of, minute_of
from heptad.findings_config import BruteForceConfig


class BruteForce(Dense):
    """The rule with its thresholds."""

    name = "brute_force"
    title = "Brute force"
    technique = "T1110"
    meaning = (
        "At least `attempts` failed logins from one address within `span`. Low up to ten times "
        "the threshold, medium up to a hundred times, high beyond."
    )
    wrong_where = (
        "one address stands for many people (a proxy, a gateway, a bastion host) and several of "
        "them mistype, or a job with an old password tries again and again. It does not see "
        "attacks from many addresses, slow ones, and lines that tell no address."
    )

    def __init__(self, config: BruteForceConfig) -> None:
        super().__init__(EVENTS, config.attempts, config.span)

    def sentence_of(self, subject: str, facts: Facts) -> str:
        """The finding in words."""
        users = f" as {list_some(facts.users)}" if facts.users else ""
        return (
            f"{name_owner(subject, facts)} failed to log in {count_of(facts.count, 'time')}{users} "
            f"on {list_some(facts.hosts)} within {length_of(facts.last[0] - facts.first[0])}, "
            f"from {minute_of(facts.first[0])}"
        )
