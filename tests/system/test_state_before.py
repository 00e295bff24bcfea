"""State that an earlier Heptad wrote: today's code opens it and goes on with it."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from heptad.core.store.sqlite import LocalStore, counter_key
from tests.support.influxd_2 import ORGANIZATION, TOKEN, Influxd2
from tests.support.influxdb import Influxd, running
from tests.support.state_before import (
    BUCKETS,
    HOST,
    START,
    at,
    lines_of,
    make_folder,
    run,
    unpack,
    write_config,
)

KEPT: Final = Path(__file__).parents[1] / "data" / "state-0.1.0"
ACTIONS: Final = (
    ("Failed password", "login"),
    ("Accepted", "login"),
    ("closed by authenticating user", "disconnect"),
    ("closed by invalid user", "login"),  # it named a user and was asked nothing: an attempt
    ("Invalid user", "invalid_user"),
    ("session opened", "session_open"),
    ("session closed", "session_close"),
)
FAILURES: Final = counter_key(
    "auth_events_total", action="login", method="password", outcome="failure", program="sshd"
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in which a kept store finds its log where it was."""
    with make_folder() as folder:
        (folder / "auth.log").write_bytes(unpack(KEPT / "auth.log.gz", folder))
        yield folder


def restore(folder: Path, kept: str, name: str) -> None:
    """Put a store and its key where Heptad looks for them."""
    for ending in ("", ".key"):
        packed = KEPT / f"{kept}{ending}.gz"
        if packed.exists():
            (folder / f"{name}{ending}").write_bytes(unpack(packed, folder))
            (folder / f"{name}{ending}").chmod(0o600)


def go_on(folder: Path) -> list[str]:
    """The log grows: the unfinished line ends, what was open closes, and the attack goes on."""
    more = [
        "sshd[9001]: Connection closed by invalid user oracle 203.0.113.5 port 4022 [preauth]",
        "sshd[9002]: pam_unix(sshd:session): session closed for user bob",
    ]
    lines = [*(f"{at(61).isoformat()} {HOST} {line}" for line in more), *lines_of(62, 80)]
    with (folder / "auth.log").open("a") as log:
        log.write("ot from 203.0.113.99 port 4 ssh2\n")
        log.writelines(f"{line}\n" for line in lines)
    return lines


def events_of(told: str) -> list[dict[str, Any]]:
    """Events as `heptad events --format jsonl` prints them, by the precision of their stamps."""
    events = [json.loads(line) for line in told.splitlines()]
    for event in events:
        event["time"] = event["time"][:19]
        if event.get("user", "").startswith("~"):
            event["user"] = "~"  # a hash with the key of its store
    return events


def check_events(folder: Path, events: list[dict[str, Any]]) -> None:
    """What was there is there as it was, and each line of the log told what it tells once."""
    before = events_of(unpack(KEPT / "events.jsonl.gz", folder).decode())
    last = before[-1]["time"]
    assert [e for e in events if e["time"] < last] == [e for e in before if e["time"] < last]
    told = Counter((event["pid"], event["action"]) for event in events)
    assert told == Counter(map(tell, understood_lines(folder)))


def understood_lines(folder: Path) -> list[str]:
    """The lines of the log that a rule knows."""
    lines = (folder / "auth.log").read_text().splitlines()
    return [line for line in lines if "no rule knows" not in line]


def tell(line: str) -> tuple[int, str]:
    """The process that wrote a line, and the action of the event that it is."""
    pid, message = re.fullmatch(r".* sshd\[(\d+)\]: (.*)", line).groups()  # type: ignore[union-attr]
    return int(pid), next(action for words, action in ACTIONS if words in message)


def check_findings(told: str) -> None:
    """The attack is one finding over both runs, beside those that are over."""
    attacks = [
        finding
        for finding in json.loads(told)["findings"]
        if finding["rule"] == "brute_force" and finding["subject"] == "203.0.113.99"
    ]
    assert [finding["count"] for finding in attacks] == [2 * (59 + 18) + 1]


def report(folder: Path, minutes: float | None) -> str:
    """The report as JSON, over all that was read."""
    now = None if minutes is None else at(minutes)
    return run(folder, now, "report", "--since", START.isoformat(), "--format", "json")


def test_goes_on_with_the_stores_of_a_host(folder: Path) -> None:
    """Stores of 0.1.0 open; events, counters, findings, open connections and places go on."""
    restore(folder, "events.db", "events.db")
    restore(folder, "reports.db", "reports.db")
    write_config(folder)
    with LocalStore(folder / "events.db") as store:
        before = store.counters()
    go_on(folder)
    run(folder, at(82), "exporter", "--once")
    run(folder, at(82), "aggregator", "--once")
    told = run(folder, at(82), "events", "--since", START.isoformat(), "--format", "jsonl")
    check_events(folder, events_of(told))
    check_findings(report(folder, 82))
    with LocalStore(folder / "events.db") as store:
        after = store.counters()
    grown = {key: value - before.get(key, 0) for key, value in after.items()}
    assert grown[FAILURES] == 2 * 18 + 1


@pytest.mark.parametrize("kind", [Influxd, Influxd2])
def test_goes_on_with_the_buckets_of_a_fleet(folder: Path, kind: type[Influxd]) -> None:
    """Buckets of 0.1.0 are read and written on: nothing arrives twice, nothing is missing."""
    restore(folder, "outbox.db", "events.db")
    with running(kind(folder / "influxd")) as server:
        server.create(*BUCKETS)
        for bucket in BUCKETS:
            server.write(
                bucket,
                unpack(KEPT / f"{bucket}.lp.gz", folder).decode().splitlines(),
            )
        server_keys = {"version": 2, "org": ORGANIZATION, "token": TOKEN}
        write_config(folder, server.url, **(server_keys if kind is Influxd2 else {"version": 1}))
        go_on(folder)
        run(folder, None, "exporter", "--once")
        run(folder, None, "aggregator", "--once")
        told = run(folder, None, "events", "--since", START.isoformat(), "--format", "jsonl")
        check_events(folder, events_of(told))
        check_findings(report(folder, None))
