"""Rule: a user logged in on a host for the first time."""

from typing import ClassVar

from heptad.aggregator.detection.facts import EventFilter, Facts, often, path_of
from heptad.aggregator.detection.new_terms import NewTermsRule
from heptad.core.config.findings import BaselineConfig, NewHostConfig
from heptad.core.event import Event


class NewHost(NewTermsRule):
    name = "new_host"
    title = "First login on a host"
    technique = "T1021.004"
    filter: ClassVar[EventFilter] = {"action": ("login",), "outcome": ("success",)}
    description = (
        "A user logged in on a host where they did not log in within the look-back. Low. New "
        "users, and users of more than `most` hosts, are not reported."
    )
    false_positives = (
        "A new host, or a user with a new task. The rule requires events of several hosts."
    )

    def __init__(self, baseline: BaselineConfig, config: NewHostConfig) -> None:
        super().__init__(baseline, config.most)

    def key_of(self, event: Event) -> str | None:
        return event.user or None

    def term_of(self, event: Event) -> str:
        return event.host

    def path_of(self, key: str, facts: Facts) -> str:
        return path_of(facts.hosts, facts.addresses, facts.users)

    def facts_of(self, key: str, facts: Facts) -> str:
        return f"{often(facts, 'login')}, none there in the {self.looked_back} before"
