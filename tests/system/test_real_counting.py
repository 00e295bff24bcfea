"""A real sshd is driven by a real ssh client: the counts are the design's, at every LogLevel."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from heptad.core.event import Event
from heptad.exporter.normalize.text import normalize_text
from tests.support import needs
from tests.support.real import rsyslog
from tests.support.real.sandbox import Sandbox
from tests.support.real.scenarios import SCENARIOS, Scenario, add_accounts
from tests.support.real.sshd import Client, SshServer

AT_ONCE = 6


def address(scenario: Scenario) -> str:
    """The source address that only this scenario uses (RFC 5737)."""
    return f"203.0.113.{SCENARIOS.index(scenario) + 1}"


def play(sandbox: Sandbox, level: str, scenario: Scenario) -> None:
    """Run a scenario against an sshd of its own, to the last line of the connection."""
    with SshServer(sandbox, scenario.options, level=level) as server:
        scenario.act(Client(server, address(scenario)), scenario.user)
        server.wait_idle()


@dataclass(frozen=True)
class Run:
    """What all scenarios, played side by side, left in auth.log."""

    level: str
    lines: list[str]

    def of(self, scenario: Scenario) -> list[str]:
        """The lines of the processes that named the scenario's address or account."""
        own = re.compile(rf"{re.escape(address(scenario))}(?![.\d])|user {scenario.user} by PAM")
        pids = {process(line) for line in self.lines if own.search(line)}
        return [line for line in self.lines if process(line) in pids]


def process(line: str) -> str:
    """The process id in a line's header."""
    found = re.search(r"\[(\d+)\]:", line)
    return found[1] if found else ""


def need_sandbox() -> None:
    """Go on only where the scenarios can be played."""
    needs.mount_namespace()
    needs.program("ip", "logger", "newusers", "nsenter", "rsyslogd", "setpriv", "ssh", "ssh-add")
    needs.program("ssh-agent", "ssh-keygen", "sshd", "sshpass", "usermod")


@pytest.fixture(scope="module", params=["INFO", "VERBOSE"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """All scenarios, once for each LogLevel."""
    need_sandbox()
    with Sandbox() as sandbox:
        add_accounts(sandbox)
        rsyslog.start(sandbox)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda one: play(sandbox, request.param, one), SCENARIOS))
        yield Run(request.param, rsyslog.lines(sandbox))


def count(events: list[Event]) -> tuple[int, int]:
    """How many logins succeeded and failed."""
    logins = [event for event in events if event.action == "login"]
    return (
        sum(event.count for event in logins if event.outcome == "success"),
        sum(event.count for event in logins if event.outcome == "failure"),
    )


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.user)
def test_counts_of_one_connection(run: Run, scenario: Scenario) -> None:
    """A client counts as the answers it gave, whatever sshd logs of its offers."""
    lines = run.of(scenario)
    logins = [event for event in normalize_text("\n".join(lines)) if event.action == "login"]
    expected = (scenario.success, scenario.failures(run.level))
    assert count(logins) == expected, "\n".join(lines)
    for event in logins:
        assert event.user == scenario.user
        assert event.source_ip in (address(scenario), None)


def test_counts_of_all_connections_at_once(run: Run) -> None:
    """Lines of many connections between each other count as they do one by one."""
    failures = sum(one.failures(run.level) for one in SCENARIOS)
    expected = (sum(one.success for one in SCENARIOS), failures)
    assert count(normalize_text("\n".join(run.lines))) == expected


@pytest.mark.parametrize("template", rsyslog.Template)
def test_counts_repeated_messages(template: rsyslog.Template) -> None:
    """What rsyslog folds into "message repeated 2 times" counts in full, in each of its formats."""
    need_sandbox()
    with Sandbox() as sandbox:
        sandbox.add_users("ann", password="right")
        rsyslog.start(sandbox, template, reduce_repeated=True)
        with SshServer(sandbox) as server:
            Client(server, "203.0.113.1").password("ann", "wrong", "wrong", "wrong", "right")
            server.wait_idle()
        lines = rsyslog.lines(sandbox)
    assert "message repeated 2 times" in "".join(lines)
    assert count(normalize_text("\n".join(lines))) == (1, 3), "\n".join(lines)
