"""A user used sudo who never did."""

from typing import ClassVar, Final

from aggregator.chains.facts import Facts, Wants, list_some
from aggregator.chains.novelty import Novelty
from aggregator.wording import length_of, minute_of
from heptad.event import Event
from heptad.findings_config import BaselineConfig, FirstSudoConfig
from heptad.units import SECOND

_PROGRAMS: Final = ("sudo", "doas")


class FirstSudo(Novelty):
    """The rule with its thresholds; the subject is the host, of which much is known already."""

    name = "first_sudo"
    title = "First sudo of a user"
    technique = "T1548.003"
    noun = ("host", "hosts")
    wants: ClassVar[Wants] = {"action": ("login", "privilege"), "outcome": ("success",)}
    meaning = (
        "A user ran something by sudo on a host on which he did not within the look-back. Low. "
        "Nothing is told of a host that is new itself, nor of one on which more than `most` users "
        "use sudo."
    )
    wrong_where = "somebody has a new task, or uses sudo more seldom than the look-back is long."

    def __init__(self, baseline: BaselineConfig, config: FirstSudoConfig) -> None:
        super().__init__(baseline, config.most)

    def subject_of(self, event: Event) -> str | None:
        """The host: by sudo or login; both show since when it is known."""
        return event.host if event.action == "login" or event.program in _PROGRAMS else None

    def key_of(self, event: Event) -> str:
        """Who used sudo; a login is history."""
        return (event.user or "") if event.action == "privilege" else ""

    def sentence_of(self, subject: str, facts: Facts) -> str:
        """The finding in words."""
        what = f": {list_some(facts.objects)}" if facts.objects else ""
        return (
            f"{list_some(facts.users)} used sudo on {subject} at {minute_of(facts.first[0])}, for "
            f"the first time in {length_of(self.history.look_back * 60 * SECOND)}{what}"
        )
