"""Rule: a user ran sudo for the first time."""

from typing import ClassVar, Final

from heptad.aggregator.detection.facts import EventFilter, Facts, list_some, often, path_of
from heptad.aggregator.detection.new_terms import NewTermsRule
from heptad.core.config.findings import BaselineConfig, FirstSudoConfig
from heptad.core.event import Event

_PROGRAMS: Final = ("sudo", "doas")


class FirstSudo(NewTermsRule):
    """The key is the host, so that its history covers users who are new on it."""

    name = "first_sudo"
    title = "First sudo of a user"
    technique = "T1548.003"
    noun = ("host", "hosts")
    filter: ClassVar[EventFilter] = {"action": ("login", "privilege"), "outcome": ("success",)}
    description = (
        "A user ran sudo on a host where they did not run it within the look-back. Low. Hosts "
        "that are new, and hosts on which more than `most` users run sudo, are not reported."
    )
    false_positives = (
        "A user with a new task, or one who runs sudo less often than once per look-back."
    )

    def __init__(self, baseline: BaselineConfig, config: FirstSudoConfig) -> None:
        super().__init__(baseline, config.most)

    def key_of(self, event: Event) -> str | None:
        """The host, for sudo and login; both add to its history."""
        return event.host if event.action == "login" or event.program in _PROGRAMS else None

    def term_of(self, event: Event) -> str:
        """The user of sudo; a login only adds history."""
        return (event.user or "") if event.action == "privilege" else ""

    def path_of(self, key: str, facts: Facts) -> str:
        return path_of(facts.hosts, facts.users)

    def facts_of(self, key: str, facts: Facts) -> str:
        what = f": {list_some(facts.objects)}" if facts.objects else ""
        times = often(facts, "command")
        how = f"by {list_some(facts.programs)}"
        return f"{times} {how}, none in the {self.looked_back} before{what}"
