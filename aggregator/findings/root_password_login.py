"""Root logged in by password."""

from typing import ClassVar, Final

from aggregator.chains.facts import Facts, Wants, list_some, origin_of
from aggregator.chains.groups import Grouped
from aggregator.wording import count_of, minute_of, shorten
from heptad.event import Event

_TYPED: Final = ("password", "keyboard-interactive")


class RootPasswordLogin(Grouped):
    """The rule."""

    name = "root_password_login"
    title = "Root login by password"
    technique = "T1078.003"
    noun = ("address", "addresses")
    wants: ClassVar[Wants] = {"action": ("login",), "outcome": ("success",)}
    meaning = (
        "Root logged in by a password or by answers to questions, through the network. Medium: a "
        "password can be guessed, and nobody knows who typed it."
    )
    wrong_where = "that is how the host is administered. Logins at its own console are not told."

    def subject_of(self, event: Event) -> str | None:
        """From where."""
        remote = event.source_ip or event.source_domain
        told = event.user == "root" and event.method in _TYPED and remote
        return origin_of(event) if told else None

    def severity_of(self, facts: Facts) -> str:
        """Always the same."""
        return "medium"

    def sentence_of(self, subject: str, facts: Facts) -> str:
        """The finding in words."""
        return (
            f"root logged in by password from {shorten(subject)} on {list_some(facts.hosts)}, "
            f"{count_of(facts.count, 'time')} from {minute_of(facts.first[0])}"
        )
