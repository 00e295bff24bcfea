"""A user logged in on a host that is new for him."""

from typing import ClassVar

from aggregator.chains.facts import Facts, Wants, list_some
from aggregator.chains.novelty import Novelty
from aggregator.wording import length_of, minute_of, shorten
from heptad.event import Event
from heptad.findings_config import BaselineConfig, NewHostConfig
from heptad.units import SECOND


class NewHost(Novelty):
    """The rule with its thresholds."""

    name = "new_host"
    title = "First login on a host"
    technique = "T1021.004"
    wants: ClassVar[Wants] = {"action": ("login",), "outcome": ("success",)}
    meaning = (
        "A user logged in on a host on which he did not within the look-back. Low. Nothing is "
        "told of a user who is new himself, nor of one who uses more than `most` hosts."
    )
    wrong_where = "a host is new, or somebody has a new task. It needs events of several hosts."

    def __init__(self, baseline: BaselineConfig, config: NewHostConfig) -> None:
        super().__init__(baseline, config.most)

    def subject_of(self, event: Event) -> str | None:
        """The user."""
        return event.user or None

    def key_of(self, event: Event) -> str:
        """The host."""
        return event.host

    def sentence_of(self, subject: str, facts: Facts) -> str:
        """The finding in words."""
        origin = f" from {list_some(facts.addresses)}" if facts.addresses else ""
        return (
            f"{shorten(subject)} logged in on {list_some(facts.hosts)}{origin} at "
            f"{minute_of(facts.first[0])}, for the first time in "
            f"{length_of(self.history.look_back * 60 * SECOND)}"
        )
