"""The rows that the normalizer makes of remembered parts are those of its events."""

import gc
import weakref
from datetime import UTC
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from heptad.cli import sample
from heptad.core.config.schema import PrivacyConfig
from heptad.core.store.event_row import event_of_row, row_of_event
from heptad.exporter.log_record import LogRecord, Provenance, RepeatCount
from heptad.exporter.normalize.normalizer import Normalizer
from heptad.exporter.normalize.privacy import KEY_BYTES, Privacy
from heptad.exporter.parsing.header import HeaderParser
from heptad.exporter.parsing.rulebook import load_rulebook
from heptad.exporter.parsing.timestamps import TimestampParser
from tests.support.rulebook import RULEBOOK

PRIVACY = [
    None,
    PrivacyConfig(),
    PrivacyConfig(unknown_users="drop", commands="program", addresses="pseudonym"),
]
HOSTILE = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20),
    st.text('"\\,= \n\r\t=i1', min_size=1, max_size=20),
    st.sampled_from(['x",user="root', "\\", '"', "a\\nb", "bob"]),
)
PIDS = st.one_of(st.none(), st.from_regex("[0-9]{1,9}", fullmatch=True))
MESSAGES = st.one_of(
    st.builds("Failed password for {} from 192.0.2.1 port 22 ssh2".format, HOSTILE),
    st.builds("Failed password for invalid user {} from ::1 port 1 ssh2".format, HOSTILE),
    st.builds("Accepted publickey for bob from {} port 022 ssh2".format, HOSTILE),
    st.builds("Invalid user {} from 192.0.2.1 port 65536".format, HOSTILE),
    st.builds("Connection closed by 192.0.2.1 port {} [preauth]".format, HOSTILE),
    st.builds(
        "pam_unix(sshd:session): session opened for user {}(uid=0) by (uid=0)".format, HOSTILE
    ),
    st.just("Server listening on 0.0.0.0 port 22."),
)
RECORDS = st.builds(
    LogRecord,
    st.integers(0, 10**18),
    st.one_of(st.none(), HOSTILE, st.just("gate")),
    st.just("sshd"),
    PIDS,
    MESSAGES,
    st.just("raw"),
    st.one_of(st.just(1), st.builds(RepeatCount, st.integers(1, 200))),
    st.sampled_from(
        [
            Provenance(path='/var/log/"a'),
            Provenance(unit="ssh.service", trusted=True, exe="/usr/sbin/sshd", uid=0),
        ]
    ),
)


def make_normalizer(privacy: PrivacyConfig | None, hosts: frozenset[str]) -> Normalizer:
    """A normalizer of all programs; ``hosts`` are names that it believes."""
    masked = None if privacy is None else Privacy(privacy, bytes(KEY_BYTES))
    return Normalizer(RULEBOOK, "host", "source", hosts, privacy=masked)


def check(normalizer: Normalizer, records: list[LogRecord]) -> int:
    """Compare rows and events, also those of the same lines once more; their number."""
    number = 0
    for _ in range(2):
        events, rows, _ = normalizer.normalize(records)
        assert rows == [row_of_event(event) for event in events]
        assert [event_of_row(row) for row in rows] == events
        number += len(rows)
    return number


@given(st.lists(RECORDS, max_size=6), st.sampled_from(PRIVACY))
@example(
    [LogRecord(1, "h", "sshd", "007", "Server listening on :: port 22.", "", 1, Provenance())], None
)
def test_hostile_lines(records: list[LogRecord], privacy: PrivacyConfig | None) -> None:
    """Whatever a line holds, its row is that of its event, and returns it."""
    check(make_normalizer(privacy, frozenset({"gate"})), records)


@pytest.mark.parametrize("privacy", PRIVACY)
def test_lines_of_logs(privacy: PrivacyConfig | None) -> None:
    """So it is with a log of hours, in which messages recur."""
    log = Path(sample.__file__).parent / "sample_log" / "auth.log"
    header = HeaderParser(TimestampParser(UTC, reference=2 * 10**18), Provenance(path=str(log)))
    records, _ = header.parse_text(log.read_text("utf-8"))
    assert check(make_normalizer(privacy, frozenset()), records) > 100


@pytest.mark.parametrize("privacy", PRIVACY)
def test_examples_of_rules(privacy: PrivacyConfig | None) -> None:
    """So it is with the examples of every rule."""
    number = 0
    for program in RULEBOOK.programs.values():
        normalizer = make_normalizer(privacy, frozenset())
        messages = [e.message for rule in program.rules for e in rule.rule.examples]
        records = [
            LogRecord(at, "web", program.name, "12", message, message, 1, Provenance())
            for at, message in enumerate(messages)
        ]
        number += check(normalizer, records)
    assert number > 1000


def test_rules_are_freed() -> None:
    """A normalizer that is gone, as after a reload, leaves nothing of its rules in memory."""
    rulebook = load_rulebook()
    normalizer = Normalizer(rulebook, "host", "source")
    message = "Failed password for ann from 192.0.2.1 port 22 ssh2"
    check(normalizer, [LogRecord(1, None, "sshd", "1", message, message, 1, Provenance())])
    program = weakref.ref(rulebook.programs["sshd"])
    del rulebook, normalizer
    gc.collect()
    assert program() is None
