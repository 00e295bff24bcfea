"""Rule: failed logins as one user from many addresses."""

from heptad.aggregator.detection.facts import Facts, number_of, often, path_of
from heptad.aggregator.detection.threshold import ThresholdRule, names_of
from heptad.core.config.findings import DistributedConfig
from heptad.core.event import Event


class Distributed(ThresholdRule):
    """Units are five minutes."""

    name = "distributed"
    title = "One user from many addresses"
    technique = "T1110"
    unit = 5
    noun = ("user", "users")
    description = (
        "Failed logins as one user from at least `addresses` different addresses within "
        "`span`. Names without an account do not count. Low for root, which every scanner "
        "tries; medium for other users, because the attacker knows the name."
    )
    false_positives = (
        "Many hosts that use one account for a job after its password was changed. The rule "
        "does not detect attempts that change their address over several days."
    )

    def __init__(self, config: DistributedConfig) -> None:
        super().__init__(names_of("addresses"), config.addresses, config.span)

    def key_of(self, event: Event) -> str | None:
        """The user, if the account exists and the address is known."""
        known = event.reason != "invalid_user" and event.source_ip is not None
        return event.user or None if known else None

    def severity_of(self, facts: Facts) -> str:
        return "low" if facts.users == ("root",) else "medium"

    def path_of(self, key: str, facts: Facts) -> str:
        return path_of(facts.hosts, facts.addresses, facts.users)

    def facts_of(self, key: str, facts: Facts) -> str:
        names = number_of(facts.addresses, "address", "addresses")
        return f"{often(facts, 'failed login')}, from {names}"
