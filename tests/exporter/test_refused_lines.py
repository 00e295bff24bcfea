"""Lines that were refused for their provenance: kept, and applied when the setting is corrected."""

import shutil
import threading
from pathlib import Path

import pytest

from heptad.aggregator.summary.text import build_summary
from heptad.cli.main import main
from heptad.core.config.schema import load_config
from heptad.core.event import Event
from heptad.core.store.event_row import UNPARSED, event_of_point
from heptad.core.store.sqlite import LocalStore, counter_key
from heptad.exporter.log_record import LogRecord, Provenance
from heptad.exporter.metrics import ExporterMetrics
from heptad.exporter.normalize.login_attempts import label_sets
from heptad.exporter.normalize.normalizer import Normalizer
from heptad.exporter.normalize.privacy import make_privacy
from heptad.exporter.pipeline import Pipeline, RunningSource
from heptad.exporter.settings import make_rulebook
from heptad.exporter.sources import RecordBatch
from tests.support.aggregator_world import HOUR, MIDNIGHT, SECOND
from tests.support.feed import Feed

ALWAYS = "2000-01-01T00:00:00Z"
MOVED = Provenance(trusted=True, exe="/opt/openssh/sshd", uid=0, transport="syslog")


class Gate:
    """A host whose sshd and sudo are where no rule expects them, by the journal's fields."""

    def __init__(self, folder: Path, privacy: str = "{}") -> None:
        self.store, self.config = folder / "events.db", folder / "heptad.yaml"
        self._privacy = privacy
        self.configure("")
        with LocalStore(self.store, write=True) as store:
            store.append([], {"first_start": b"0"})

    def configure(self, trust: str) -> None:
        """Write the configuration with what is trusted."""
        self.config.write_text(
            f"host: gate\nstore: {{path: {self.store}}}\nprivacy: {self._privacy}\n"
            f"sources: [{{type: journald, name: journal, directory: /nowhere}}]\n"
            f"trust: [{trust}]\naggregator: {{store: {{path: {self.store}.reports}}}}\n"
        )

    def read(self, *messages: str, provenance: Provenance = MOVED, at: int = 0) -> None:
        """Let the pipeline take these messages of sshd's."""
        config = load_config(self.config)
        records: list[LogRecord] = [
            LogRecord(
                MIDNIGHT + (at + n) * SECOND,
                "gate",
                "sshd",
                "7",
                text,
                f"sshd[7]: {text}",
                1,
                provenance,
            )
            for n, text in enumerate(messages)
        ]
        rulebook = make_rulebook(config)
        with LocalStore(self.store, write=True) as store:
            privacy = make_privacy(config.privacy, self.store)
            feed = Feed([RecordBatch(records, b"", [])], "journal")
            running = RunningSource(feed, Normalizer(rulebook, "gate", "journal", privacy=privacy))
            metrics = ExporterMetrics(store.counters(), label_sets(rulebook))
            now = MIDNIGHT + self.day * 24 * HOUR
            pipeline = Pipeline(store, [running], metrics, "gate", lambda: now)
            pipeline.restore()
            feed.restore(None)
            while pipeline.step(threading.Event()):
                pass
            pipeline.close(threading.Event())

    day = 0

    def apply(self, *more: str) -> int:
        """Run the command; its status."""
        return main(["rules", "apply", "--since", ALWAYS, "--config", str(self.config), *more])

    def events(self) -> list[Event]:
        """What is stored."""
        with LocalStore(self.store) as store:
            return [event_of_point(point) for point in store.read("events", 0, 2**62)]

    def left(self) -> int:
        """How many lines are left over."""
        with LocalStore(self.store) as store:
            return len(list(store.read(UNPARSED, 0, 2**62)))


TRUSTED = "{program: sshd, exe: [/opt/openssh/sshd]}"
FAILED = counter_key(
    "auth_events_total", program="sshd", action="login", outcome="failure", method="password"
)


def test_a_corrected_setting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Refused lines become events once, when their path is trusted, and those of others never."""
    gate = Gate(tmp_path)
    gate.read(*(f"Failed password for ann from 192.0.2.{n} port 22 ssh2" for n in range(1, 6)))
    forger = Provenance(trusted=True, exe="/usr/bin/logger", uid=1000)
    gate.read("Failed password for eve from 192.0.2.99 port 22 ssh2", provenance=forger, at=10)
    assert (gate.events(), gate.left()) == ([], 6)
    assert gate.apply() == 0
    assert (gate.events(), gate.left()) == ([], 6)
    gate.configure(TRUSTED)
    assert gate.apply("--dry-run") == 0
    assert (gate.events(), gate.left()) == ([], 6)
    for _ in range(2):
        assert gate.apply() == 0
        assert [event.source_ip for event in gate.events()] == [f"192.0.2.{n}" for n in range(1, 6)]
        assert gate.left() == 1
    assert "still rejected for their provenance" in capsys.readouterr().out
    with LocalStore(gate.store) as store:
        assert store.counters()[FAILED] == 5
        unheard = build_summary(store, None, 0, 2**62).unheard
    assert len(unheard) == 1
    assert unheard[0].startswith("1 lines of sshd come from /usr/bin/logger, run by user id 1000")


@pytest.mark.parametrize("choice", ["hash", "drop"])
def test_privacy_of_refused_lines(tmp_path: Path, choice: str) -> None:
    """A typed password in a refused line is nowhere in the store, before and after it is applied."""
    gate = Gate(tmp_path, f"{{unknown_users: {choice}}}")
    said = (
        "Invalid user hunter2secret from 192.0.2.7 port 22",
        "Failed password for invalid user hunter2secret from 192.0.2.7 port 22 ssh2",
        "Failed password for ann from 192.0.2.7 port 22 ssh2",
    )
    gate.read(*said)
    assert gate.left() == 3
    assert b"hunter2secret" not in gate.store.read_bytes()
    gate.configure(TRUSTED)
    assert gate.apply() == 0
    assert gate.left() == 0
    assert b"hunter2secret" not in gate.store.read_bytes()
    late = [(event.action, event.user, event.raw) for event in gate.events()]
    (tmp_path / "direct").mkdir()
    direct = Gate(tmp_path / "direct", f"{{unknown_users: {choice}}}")
    assert late[2] == ("login", "ann", f"sshd[7]: {said[2]}")
    assert [raw for _, _, raw in late[:2]] == ["", ""]
    shutil.copy(f"{gate.store}.key", f"{direct.store}.key") if choice == "hash" else None
    direct.configure(TRUSTED)
    direct.read(*said)
    assert [(e.action, e.user or "", e.raw) for e in direct.events()] == [
        (action, user or "", raw) for action, user, raw in late
    ]


@pytest.mark.parametrize("privacy", ["{commands: program}", "{addresses: pseudonym}"])
def test_refused_lines_that_cannot_be_masked(tmp_path: Path, privacy: str) -> None:
    """Where more than names is masked, refused lines are counted and shown, and not kept."""
    gate = Gate(tmp_path, privacy)
    gate.read("Failed password for ann from 192.0.2.7 port 22 ssh2")
    assert gate.left() == (1 if "commands" in privacy else 0)
    with LocalStore(gate.store) as store:
        assert len(build_summary(store, None, 0, 2**62).unheard) == 1


def test_the_bound_of_refused_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many lines of a program are kept in a day, over restarts; the rest is only counted."""
    monkeypatch.setattr("heptad.exporter.rejected_lines.MOST_A_DAY", 5)
    gate = Gate(tmp_path)
    for day, left in ((0, 3), (0, 5), (0, 5), (1, 8)):
        gate.day = day
        gate.read(*["Failed password for ann from 192.0.2.1 port 22 ssh2"] * 3, at=gate.left() * 9)
        assert gate.left() == left
    with LocalStore(gate.store) as store:
        assert store.counters()[counter_key("heptad_lines_untrusted_total", program="sshd")] == 12
