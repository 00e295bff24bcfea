"""Login of a new account: it was created shortly before."""

from typing import ClassVar

from aggregator.chains.facts import Facts, Wants, list_some
from aggregator.chains.pair import Pair
from aggregator.wording import length_of, minute_of, shorten
from heptad.event import Event
from heptad.findings_config import NewAccountLoginConfig


class NewAccountLogin(Pair):
    """The rule with its thresholds."""

    name = "new_account_login"
    title = "Login of a new account"
    technique = "T1136.001"
    once = True
    wants: ClassVar[Wants] = {"action": ("login", "account_create"), "outcome": ("success",)}
    meaning = (
        "The first login as a user whose account was created within `span` before, on any host. "
        "Medium: whoever broke in makes himself a door."
    )
    wrong_where = "an administrator sets up an account, and its user tries it at once."

    def __init__(self, config: NewAccountLoginConfig) -> None:
        super().__init__(1, config.span)

    def subject_of(self, event: Event) -> str | None:
        """The user."""
        return (event.user if event.action == "login" else event.target_user) or None

    def is_after(self, event: Event) -> bool:
        """A login comes after the creation."""
        return event.action == "login"

    def describe(self, subject: str, causes: Facts, after: Facts) -> tuple[str, str]:
        """Severity and sentence."""
        origin = f" from {list_some(after.addresses)}" if after.addresses else ""
        sentence = (
            f"{shorten(subject)} logged in on {list_some(after.hosts)}{origin} at "
            f"{minute_of(after.first[0])}, "
            f"{length_of(after.first[0] - causes.first[0])} after the account was created on "
            f"{list_some(causes.hosts)}"
        )
        return "medium", sentence
