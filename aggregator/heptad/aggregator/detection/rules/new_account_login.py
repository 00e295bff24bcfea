"""Rule: login of an account that was created shortly before."""

from typing import ClassVar

from heptad.aggregator.detection.facts import EventFilter, Facts, list_some, often, path_of
from heptad.aggregator.detection.sequence import SequenceRule
from heptad.aggregator.summary.wording import Words, length_of
from heptad.core.config.findings import NewAccountLoginConfig
from heptad.core.event import Event


class NewAccountLogin(SequenceRule):
    name = "new_account_login"
    title = "Login of a new account"
    technique = "T1136.001"
    once = True
    filter: ClassVar[EventFilter] = {"action": ("login", "account_create"), "outcome": ("success",)}
    description = (
        "The first login of a user whose account was created within `span` before, on any "
        "host. Medium, because an intruder may have created a backdoor account."
    )
    false_positives = "An administrator creates an account, and its user logs in immediately."

    def __init__(self, config: NewAccountLoginConfig) -> None:
        super().__init__(1, config.span)

    def key_of(self, event: Event) -> str | None:
        return (event.user if event.action == "login" else event.target_user) or None

    def is_after(self, event: Event) -> bool:
        return event.action == "login"

    def describe(self, key: str, causes: Facts, after: Facts) -> tuple[str, Words]:
        path = path_of(after.hosts, after.addresses, after.users)
        created = f"the account was created on {list_some(causes.hosts)}"
        age = f"at most {length_of(after.last.time - causes.first.time)} before"
        return "medium", Words(self.title, path, f"{often(after, 'login')}; {created} {age}")
