"""Rule: root logged in by password."""

from typing import ClassVar, Final

from heptad.aggregator.detection.facts import EventFilter, Facts, often, origin_of, path_of
from heptad.aggregator.detection.grouping import GroupingRule
from heptad.core.event import Event

_TYPED: Final = ("password", "keyboard-interactive")


class RootPasswordLogin(GroupingRule):
    name = "root_password_login"
    title = "Root login by password"
    technique = "T1078.003"
    noun = ("address", "addresses")
    filter: ClassVar[EventFilter] = {"action": ("login",), "outcome": ("success",)}
    description = (
        "Root logged in over the network by password or keyboard-interactive. Medium, because "
        "a password can be guessed, and does not show who used it."
    )
    false_positives = (
        "Hosts that are administered this way. Logins at the host's own console are not reported."
    )

    def key_of(self, event: Event) -> str | None:
        remote = event.source_ip or event.source_domain
        told = event.user == "root" and event.method in _TYPED and remote
        return origin_of(event) if told else None

    def severity_of(self, facts: Facts) -> str:
        return "medium"

    def path_of(self, key: str, facts: Facts) -> str:
        return path_of(facts.hosts, facts.addresses, facts.users)

    def facts_of(self, key: str, facts: Facts) -> str:
        return often(facts, "login")
