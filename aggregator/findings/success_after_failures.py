"""Success after failures: a login from an address that failed before."""

from typing import ClassVar, Final

from aggregator.chains.facts import Facts, Wants, address_of, list_some, name_owner
from aggregator.chains.pair import Pair
from aggregator.wording import count_of, length_of, minute_of
from heptad.event import Event
from heptad.findings_config import SuccessAfterFailuresConfig

_NOT_GUESSED: Final = ("publickey", "hostbased", "gssapi")


class SuccessAfterFailures(Pair):
    """The rule with its thresholds."""

    name = "success_after_failures"
    title = "Success after failures"
    technique = "T1110"
    most = 1000  # each of them may be a break-in
    noun = ("address", "addresses")
    wants: ClassVar[Wants] = {"action": ("login",), "outcome": ("failure", "success")}
    subject_of = staticmethod(address_of)
    meaning = (
        "A login from an address from which at least `failures` failed within `span` before. High "
        "if several users were tried, or ten times as many failures went before; else medium. A "
        "login by key, host or Kerberos is not told: that was not guessed."
    )
    wrong_where = (
        "somebody forgot his password and found it again, or somebody behind the same proxy "
        "logged in while another mistyped."
    )

    def __init__(self, config: SuccessAfterFailuresConfig) -> None:
        super().__init__(config.failures, config.span)

    def is_after(self, event: Event) -> bool:
        """A success comes after failures."""
        return event.outcome == "success"

    def is_told(self, event: Event) -> bool:
        """What needs no password was not guessed."""
        return event.method not in _NOT_GUESSED

    def describe(self, subject: str, causes: Facts, after: Facts) -> tuple[str, str]:
        """Severity and sentence."""
        grave = len(causes.users) > 1 or causes.count >= 10 * self.threshold
        tried = f" as {list_some(causes.users)}" if causes.users else ""
        times, first = f" {after.count} times", "first "
        if after.count == 1:
            times = first = ""
        length = length_of(after.last[0] - causes.first[0])
        sentence = (
            f"{name_owner(subject, after)} logged in{times} as {list_some(after.users)} "
            f"on {list_some(after.hosts)} after {count_of(causes.count, 'failed login')}{tried} "
            f"within {length}, {first}at {minute_of(after.first[0])}"
        )
        return ("high" if grave else "medium"), sentence
