"""heptad rules apply: what a mended rule understands becomes events, each line once."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from heptad.cli.main import main
from heptad.core.config.schema import load_config
from heptad.core.event import Event
from heptad.core.store.api import StoreError
from heptad.core.store.event_row import UNPARSED, event_of_point
from heptad.core.store.line_protocol import encode_series, point_of
from heptad.core.store.point import Row
from heptad.core.store.sqlite import LocalStore, counter_key
from heptad.exporter.app import Exporter
from heptad.exporter.log_record import LogRecord, Provenance
from heptad.exporter.normalize.normalizer import Normalizer
from heptad.exporter.parsing.header import HeaderParser
from heptad.exporter.parsing.timestamps import TimestampParser
from heptad.exporter.unparsed import Reprocessor, record_of_point, row_of_line
from tests.support.aggregator_world import HOUR, MIDNIGHT, SECOND, World, login
from tests.support.rulebook import RULEBOOK

RULES = """
program: gatekeeper
rules:
  - name: refused
    pattern: 'refused (?P<user>.*) from %{peer}'
    action: login
    outcome: failure
    method: password
    reason: bad_credential
    examples: [{message: refused ann from 192.0.2.7, facts: {user: ann, source_ip: 192.0.2.7}}]
"""
MENDED = """
  - name: let_in
    pattern: 'let in (?P<user>.*) from %{peer}'
    action: login
    outcome: success
    method: password
    examples: [{message: let in ann from 192.0.2.7, facts: {user: ann, source_ip: 192.0.2.7}}]
  - name: alive
    pattern: 'still alive'
    ignore: true
    examples: [{message: still alive}]
"""
COUNTED = counter_key(
    "auth_events_total", program="gatekeeper", action="login", outcome="success", method="password"
)
ALWAYS = "2000-01-01T00:00:00Z"


class Host:
    """A host whose gatekeeper says what its rule file does not know yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log, self.store = folder / "auth.log", folder / "events.db"
        self.rules, self.config = folder / "rules", folder / "heptad.yaml"
        self.rules.mkdir()
        (self.rules / "gatekeeper.yaml").write_text(RULES)
        self.config.write_text(
            f"host: gate\nstore: {{path: {self.store}}}\nrules: [{self.rules}]\n"
            f"sources: [{{type: file, name: auth, paths: [{self.log}]}}]\n"
            f"aggregator: {{store: {{path: {folder}/reports.db}}}}\n"
        )
        # as if the first start had been long ago: the lines are news
        with LocalStore(self.store, write=True) as store:
            store.append([], {"first_start": b"0"})

    def read(self, *messages: str) -> None:
        """Let the exporter read lines with these messages, a second apart."""
        with self.log.open("a") as file:
            for number, message in enumerate(messages):
                stamp = f"2026-03-01T12:{number // 60:02}:{number % 60:02}Z"
                file.write(f"{stamp} gate gatekeeper[{number + 1}]: {message}\n")
        Exporter(load_config(self.config), once=True, serve=False).run(threading.Event())

    def mend(self) -> None:
        """Add the missing rules."""
        (self.rules / "gatekeeper.yaml").write_text(RULES + MENDED)

    def apply(self, *more: str, since: str = ALWAYS) -> int:
        """Run the command; its status."""
        return main(["rules", "apply", "--since", since, "--config", str(self.config), *more])

    def events(self) -> list[Event]:
        """What is stored."""
        with LocalStore(self.store) as store:
            return [event_of_point(point) for point in store.read("events", 0, 2**62)]

    def left(self) -> list[str]:
        """The lines that are left over."""
        with LocalStore(self.store) as store:
            return [str(p.fields["raw"]) for p in store.read(UNPARSED, 0, 2**62)]

    def counter(self, key: tuple[str, str] = COUNTED) -> float:
        """A counter's value."""
        with LocalStore(self.store) as store:
            return store.counters().get(key, 0)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host without a log yet."""
    return Host(tmp_path)


SAID = ("refused eve from 192.0.2.9", "let in ann from 192.0.2.7", "still alive", "what else")


def test_a_mended_rule(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines that a new rule understands become events as if it had been there; the others stay."""
    host.read(*SAID)
    assert [event.outcome for event in host.events()] == ["failure"]
    assert [line.partition(": ")[2] for line in host.left()] == list(SAID[1:])
    host.mend()
    assert host.apply() == 0
    told = capsys.readouterr().out
    assert "RESULT" in told
    assert [line.split(maxsplit=2) for line in told.splitlines()[1:]] == [
        ["gatekeeper", "1", "events"],
        ["gatekeeper", "1", "understood, but ignored"],
        ["gatekeeper", "1", "still not understood"],
    ]
    late = host.events()[1]
    assert (late.user, late.source_ip, late.pid, late.host) == ("ann", "192.0.2.7", 2, "gate")
    assert late.source == "auth"
    assert late.path == str(host.log)
    assert late.raw.endswith("let in ann from 192.0.2.7")
    assert [line.partition(": ")[2] for line in host.left()] == ["what else"]
    assert host.counter() == 1


def test_the_same_as_if_the_rule_had_been_there(host: Host, tmp_path: Path) -> None:
    """Events and counters are those of a host whose rules knew the lines at once."""
    (tmp_path / "other").mkdir()
    other = Host(tmp_path / "other")
    for one in (host, other):
        if one is other:
            one.mend()
        one.read(*SAID, "message repeated 3 times: [ let in bob from 192.0.2.8]")
    host.mend()
    host.apply()

    def shown(one: Host) -> list[tuple[object, ...]]:
        return [(e.time, e.labels, e.user, e.source_ip, e.count, e.raw) for e in one.events()]

    assert shown(host) == shown(other)
    assert host.counter() == other.counter() == 2  # a folded success counts once


def test_again_doubles_nothing(host: Host) -> None:
    """Applied a second time, and read on by the exporter, every event is there once."""
    host.read(*SAID)
    host.mend()
    host.apply()
    host.apply()
    host.read()
    assert len(host.events()) == 2
    assert host.counter() == 1


def test_a_dry_run(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """--dry-run tells the same and changes nothing, also beside a running exporter."""
    host.read(*SAID)
    host.mend()
    with LocalStore(host.store, write=True):
        assert host.apply("--dry-run") == 0
    assert "RESULT (DRY RUN)" in capsys.readouterr().out
    assert len(host.events()) == 1
    assert len(host.left()) == 3
    assert host.counter() == 0


def test_since(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """Only lines since --since are taken; where there are none, it says so; nonsense is wrong use."""
    host.read(*(f"let in u{n} from 192.0.2.7" for n in range(10)))
    host.mend()
    assert host.apply(since="2026-03-01T13:00:00Z") == 0
    assert "no lines since" in capsys.readouterr().err
    assert host.apply(since="2026-03-01T12:00:06Z") == 0
    assert [event.user for event in host.events()] == ["u6", "u7", "u8", "u9"]
    assert host.apply(since="yesterday") == 2


def test_beside_a_running_exporter(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """While the exporter writes the store the command fails, and says what to stop."""
    host.read(*SAID)
    host.mend()
    with LocalStore(host.store, write=True):
        assert host.apply() == 1
    told = capsys.readouterr().err
    assert "is using this store" in told
    assert "stop the exporter first: stop its service" in told
    assert len(host.left()) == 3


@pytest.mark.parametrize("after", [False, True])
def test_cut_off_anywhere(host: Host, monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    """Cut off before or after any commit and run again, each line became one event, counted once."""
    monkeypatch.setattr("heptad.exporter.unparsed._CHUNK", 7)
    host.read(*(f"let in u{n} from 192.0.2.7" for n in range(50)))
    host.mend()
    append: Callable[..., None] = LocalStore.append
    runs = 0
    while host.left():
        runs += 1
        with monkeypatch.context() as patch:
            left = 2

            def cut(store: LocalStore, rows: Sequence[Row], *rest: object, **more: object) -> None:
                nonlocal left
                left -= 1
                if left == 0 and not after:
                    raise StoreError("killed")
                append(store, rows, *rest, **more)
                if left == 0:
                    raise StoreError("killed")

            patch.setattr(LocalStore, "append", cut)
            host.apply()
    assert runs > 3
    assert [event.user for event in host.events()] == [f"u{n}" for n in range(50)]
    assert host.counter() == 50


def test_history_stays_uncounted(host: Host) -> None:
    """A line from before the first start, read on the way to it, becomes an event that is history."""
    with LocalStore(host.store, write=True) as store:
        store.append([], {"first_start": str(2**62).encode()})
    host.read(*SAID)
    host.mend()
    host.apply()
    assert len(host.events()) == 2
    assert host.counter() == 0
    assert host.counter(counter_key("heptad_history_events_total", source="auth")) == 2


def test_who_reads_events_sees_events(host: Host) -> None:
    """Lines left over are no events to any reader; what becomes one arrives after what was there."""
    host.read(*SAID)
    with LocalStore(host.store) as store:
        [arrival] = store.arrived("events", "", 100)
        assert arrival.points == 1
        newest = store.newest_position()
        assert len(store.since_arrival(0, 100)[0]) == 1
    host.mend()
    host.apply()
    with LocalStore(host.store) as store:
        [late] = store.arrived("events", arrival.position, 100)
        assert late.points == 1
        events, _ = store.since_arrival(newest, 100)
    assert [event.user for event in events] == ["ann"]


def test_privacy_holds(host: Host) -> None:
    """Events of stored lines are masked as those that are read."""
    (host.rules / "gatekeeper.yaml").write_text(RULES)
    host.read("nobody here hunter2 from 192.0.2.7")
    assert len(host.left()) == 1
    extra = MENDED.replace("let in (?P", "nobody here (?P").replace("let in ann", "nobody here ann")
    extra = extra.replace("    method: password", "    method: password\n    reason: invalid_user")
    (host.rules / "gatekeeper.yaml").write_text(RULES + extra)
    host.apply()
    [event] = host.events()
    assert event.user is not None
    assert event.user.startswith("~")
    assert host.left() == []
    assert event.raw == ""


JOURNAL = Provenance(None, "ssh.service", True, "/usr/sbin/sshd", 0, True, "syslog")


@pytest.mark.parametrize(
    "record",
    [
        LogRecord(7, "gate", "sshd", "5", "new text", "sshd[5]: new text", 1, JOURNAL),
        LogRecord(7, None, "sshd", None, 'a "b" \\ \n c', 'sshd: a "b" \\ \n c', 1, JOURNAL),
        LogRecord(7, "", "sshd", "", "", "sshd: ", 1, Provenance(path="/log")),
        LogRecord(
            7,
            "web",
            "sshd",
            "5",
            "x",
            "… message repeated 3 times: [ x]",
            3,
            Provenance(path="/log"),
        ),
        LogRecord(
            7,
            "web",
            "su",
            "5",
            "pam_unix(su): x",
            "su(pam_unix)[5]: x",
            1,
            Provenance(path="/l,o=g"),
        ),
    ],
)
def test_a_stored_line_is_the_record_it_was(record: LogRecord) -> None:
    """What a rule is told of a stored line is what it would have been told when it was read."""
    row = row_of_line(record, "gate", "journal", "sshd", history=False)
    point = point_of(row)
    assert record_of_point(point) == record
    assert point.tags == {"host": "gate", "source": "journal", "program": "sshd"}
    assert row.series == encode_series(UNPARSED, point.tags.items())


def test_the_journal_goes_on_vouching(tmp_path: Path) -> None:
    """A stored line of the journal is believed only where its program wrote it, as when it is read."""
    records = [
        LogRecord(10**18 + n, "gate", "sshd", "5", "Failed password for ann from 192.0.2.1 port 22 ssh2",
         "sshd[5]: …", 1, Provenance(None, None, True, exe, 0, True, "syslog"))
        for n, exe in enumerate(("/usr/sbin/sshd", "/home/eve/sshd"))
    ]  # fmt: skip
    rows = [row_of_line(record, "gate", "journal", "sshd", history=False) for record in records]
    path = tmp_path / "events.db"
    with LocalStore(path, write=True) as store, LocalStore(path) as reader:
        store.append(rows)
        Reprocessor(RULEBOOK, None, store).run(reader, 0, int)
        [event] = map(event_of_point, store.read("events", 0, 2**62))
        assert event.trust == "journal"
        assert len(list(store.read(UNPARSED, 0, 2**62))) == 1


def test_a_relay(tmp_path: Path) -> None:
    """An event of a stored line has the host that the line had; one not listed stays log_host."""
    header = HeaderParser(TimestampParser(), Provenance(path="/log"))
    text = "2026-03-01T12:00:00Z {} sshd[7]: Failed password for ann from 192.0.2.1 port 22 ssh2"
    relay = Normalizer(RULEBOOK, "relay", "auth", frozenset({"web"}))
    path = tmp_path / "events.db"
    with LocalStore(path, write=True) as store, LocalStore(path) as reader:
        for name in ("web", "evil"):
            record = header.parse(text.format(name))
            assert record is not None
            host = relay.host_of(record.host)
            store.append([row_of_line(record, host, "auth", "sshd", history=False)])
        Reprocessor(RULEBOOK, None, store).run(reader, 0, int)
        events = [event_of_point(point) for point in store.read("events", 0, 2**62)]
    assert {(event.host, event.log_host) for event in events} == {("web", None), ("relay", "evil")}


def test_what_may_not_be_kept_is_not_left_over(host: Host) -> None:
    """A line that may tell a name of no account is counted, and neither sampled nor stored."""
    host.read("so much for invalid user hunter2", "what else")
    assert [line.partition(": ")[2] for line in host.left()] == ["what else"]
    key = counter_key("heptad_lines_not_understood_total", program="gatekeeper")
    assert host.counter(key) == 2


def test_the_aggregator_finds_what_comes_late(tmp_path: Path) -> None:
    """An attack whose lines were not understood is a finding once a mended rule was applied."""
    with World(tmp_path) as world:
        world.append([login(MIDNIGHT + HOUR, "192.0.2.7")])
        message = "Failed password for ann from 192.0.2.9 port 22 ssh2"
        records: list[LogRecord] = [
            LogRecord(
                MIDNIGHT + n * SECOND, "gate", "sshd", str(n), message, message, 1, Provenance()
            )
            for n in range(9)
        ]
        world.events.append(
            [row_of_line(one, "gate", "auth", "sshd", history=False) for one in records]
        )
        world.finish()
        assert world.findings() == []
        Reprocessor(RULEBOOK, None, world.events).run(world.read, 0, int)
        world.finish()
        assert [finding.subject for finding in world.findings()] == ["192.0.2.9"]
