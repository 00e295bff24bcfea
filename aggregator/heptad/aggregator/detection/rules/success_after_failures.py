"""Rule: a login from an address after failed logins from it."""

from typing import ClassVar, Final

from heptad.aggregator.detection.facts import (
    EventFilter,
    Facts,
    address_of,
    list_some,
    name_owner,
    path_of,
)
from heptad.aggregator.detection.sequence import SequenceRule
from heptad.aggregator.summary.wording import Words, length_of
from heptad.core.config.findings import SuccessAfterFailuresConfig
from heptad.core.event import Event
from heptad.core.wording import count_of

_NOT_GUESSED: Final = ("publickey", "hostbased", "gssapi")


class SuccessAfterFailures(SequenceRule):
    name = "success_after_failures"
    title = "Login after failed attempts"
    technique = "T1110"
    most = 1000  # each may be a break-in
    noun = ("address", "addresses")
    filter: ClassVar[EventFilter] = {"action": ("login",), "outcome": ("failure", "success")}
    key_of = staticmethod(address_of)
    description = (
        "A login from an address after at least `failures` failed logins from it within "
        "`span`. High if several users were tried, or after 10 times as many failures; "
        "otherwise medium. Logins by key, host or Kerberos are not reported, because these "
        "cannot be guessed."
    )
    false_positives = (
        "A user who mistyped their password, or another user behind the same proxy who did."
    )

    def __init__(self, config: SuccessAfterFailuresConfig) -> None:
        super().__init__(config.failures, config.span)

    def is_after(self, event: Event) -> bool:
        return event.outcome == "success"

    def is_reported(self, event: Event) -> bool:
        """Methods without a password cannot be guessed."""
        return event.method not in _NOT_GUESSED

    def describe(self, key: str, causes: Facts, after: Facts) -> tuple[str, Words]:
        grave = len(causes.users) > 1 or causes.count >= 10 * self.threshold
        path = path_of(after.hosts, name_owner(key, after), after.users)
        words = Words(self.title, path, _describe(causes, after))
        return ("high" if grave else "medium"), words


def _describe(causes: Facts, after: Facts) -> str:
    """Say how many failures came before the first login, if that is certain."""
    tried = f" as {list_some(causes.users)}" if causes.users not in ((), after.users) else ""
    failed, logins = count_of(causes.count, "failed login"), count_of(after.count, "login")
    logins += f" as {list_some(after.users)}" if tried else ""
    end = max(after.last.time, causes.last.time)
    within = f"within {length_of(end - min(after.first.time, causes.first.time))}"
    if causes.last.time < after.first.time:
        return f"{failed}{tried}, then {logins}, {within}"
    known = len(causes.evidence) == causes.count
    before = sum(time < after.first.time for time, _ in causes.evidence) if known else 0
    if before:
        first = count_of(before, "failed login")
        return f"{first} before the first of {logins}, {causes.count} in all{tried}, {within}"
    return f"{failed}{tried} and {logins}, {within}"
