"""A source that is read and not heard: a problem, a metric, a state that lasts, a line in the report."""

import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.aggregator.summary.text import build_summary, to_text
from heptad.aggregator.web.health import describe_health
from heptad.core.config.schema import load_config
from heptad.core.influxdb.heartbeats import Fleet, Heartbeat
from heptad.exporter.app import Exporter
from heptad.exporter.delivery.delivery_state import DeliveryState, Health, make_row
from heptad.exporter.log_record import LogRecord, Provenance
from heptad.exporter.sources import DEAF_REASONS, RecordBatch
from heptad.exporter.usable_lines import Hearing
from tests.support.clock import Clock
from tests.support.feed import NOW, Bench, line

FORGER = Provenance(trusted=True, exe="/usr/local/weird/sshd7", uid=0, transport="syslog")
SSHD = Provenance(trusted=True, exe="/usr/sbin/sshd", uid=0, transport="syslog")
WRONG = "Failed password for ann from 192.0.2.1 port 22 ssh2"


def journal(
    count: int, provenance: Provenance, tag: str = "sshd", message: str = WRONG
) -> RecordBatch:
    """A batch of entries of the journal."""
    raw = f"{tag}[7]: {message}"
    records: list[LogRecord] = [
        LogRecord(NOW + n, "gate", tag, "7", message, raw, 1, provenance) for n in range(count)
    ]
    return RecordBatch(records, b"", [])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the pipeline and of what it hears."""
    clock = Clock(step=0.001)
    monkeypatch.setattr("heptad.exporter.usable_lines.time", clock)
    monkeypatch.setattr("heptad.exporter.pipeline.time", clock)
    return clock


@pytest.fixture
def bench(clock: Clock, bench: Bench) -> Bench:
    """The empty store, started by that clock."""
    return bench


def look(bench: Bench, clock: Clock, *batches: RecordBatch | list[str]) -> str:
    """Read batches, and say which problems there are at the next look."""
    bench.feeds[0].log.extend(batches)
    bench.run()
    for _ in range(2):  # the second commits what the first found
        clock.now += 3
        bench.run()
    return "; ".join(bench.pipelines[-1].problems())


def test_all_reasons_are_there_from_the_start(bench: Bench) -> None:
    """Every reason is shown at 0 before anything was read, and so are refused lines."""
    bench.start([])
    for reason in DEAF_REASONS:
        assert bench.metric("heptad_source_deaf", "feed0", reason) == 0
    assert bench.metric("heptad_lines_untrusted_total", "sshd") == 0
    assert bench.metric("heptad_lines_untrusted_total", "pam") == 0


def test_lines_without_a_header(bench: Bench, clock: Clock) -> None:
    """Nineteen strange lines are nothing, twenty are a problem, which ends when lines are good."""
    bench.start([])
    assert look(bench, clock, [f"strange {n}" for n in range(19)]) == ""
    problem = look(bench, clock, ["strange"])
    assert "source feed0 is deaf" in problem
    assert "unknown header" in problem
    assert bench.metric("heptad_source_deaf", "feed0", "no_header") == 1
    assert bench.metric("heptad_source_up", "feed0") == 1
    assert look(bench, clock, [line("12:00:00"), line("12:00:01")]) != ""
    assert look(bench, clock, [line("12:00:02")]) == ""
    assert bench.metric("heptad_source_deaf", "feed0", "no_header") == 0


@pytest.mark.parametrize(("strange", "good", "deaf"), [(180, 20, True), (179, 21, False)])
def test_few_strange_lines_are_no_problem(
    bench: Bench, clock: Clock, strange: int, good: int, deaf: bool
) -> None:
    """A source with less than nine strange lines of ten is heard."""
    bench.start([])
    lines = [*(["strange"] * strange), *(line("12:00:00", n) for n in range(good))]
    assert bool(look(bench, clock, lines)) == deaf


def test_slow_sources_are_judged(bench: Bench, clock: Clock) -> None:
    """A source with a strange line every ten minutes is deaf after twenty of them."""
    bench.start([])
    for _ in range(19):
        assert look(bench, clock, ["strange"]) == ""
        clock.now += 600
    assert "unknown header" in look(bench, clock, ["strange"])


def test_refused_lines_of_one_program(bench: Bench, clock: Clock) -> None:
    """A program whose lines are all refused is a problem, with its path, though others are heard."""
    bench.start([])
    good = journal(500, SSHD, "su", "FAILED SU (to root) ann on pts/0")
    su = Provenance(trusted=True, exe="/usr/bin/su", uid=0)
    good.records[:] = [msgspec.structs.replace(one, provenance=su) for one in good.records]
    assert look(bench, clock, good, journal(19, FORGER)) == ""
    problem = look(bench, clock, journal(1, FORGER))
    assert "20 lines of sshd come from /usr/local/weird/sshd7, which is not trusted" in problem
    assert "trust: [{program: sshd, exe: [/usr/local/weird/sshd7]}]" in problem
    assert bench.metric("heptad_source_deaf", "feed0", "untrusted") == 1
    assert bench.metric("heptad_lines_untrusted_total", "sshd") == 20
    assert look(bench, clock, journal(3, SSHD)) == ""


def test_a_forger_beside_the_real_one(bench: Bench, clock: Clock) -> None:
    """Twenty forged lines among many of the real program are counted, and no problem."""
    bench.start([])
    assert look(bench, clock, journal(100, SSHD)) == ""
    assert (
        look(bench, clock, journal(20, Provenance(trusted=True, exe="/usr/bin/logger", uid=9)))
        == ""
    )
    assert bench.metric("heptad_lines_untrusted_total", "sshd") == 20


def test_pam_of_users_is_no_problem(bench: Bench, clock: Clock) -> None:
    """What users without rights say in PAM's form under any name deafens nobody."""
    bench.start([])
    said = "pam_unix(swaylock:auth): authentication failure; logname= uid=1000 euid=1000 tty= ruser= rhost=  user=ann"
    user = Provenance(trusted=True, exe="/usr/bin/swaylock", uid=1000)
    assert look(bench, clock, journal(40, user, "swaylock", said)) == ""
    assert look(bench, clock, journal(40, user, "whatever", said)) == ""
    assert bench.metric("heptad_lines_untrusted_total", "pam") == 40


def test_it_lasts_over_a_restart(bench: Bench, clock: Clock) -> None:
    """A restart makes nothing well: what was deaf stays so until lines show the contrary."""
    bench.start([])
    look(bench, clock, journal(20, FORGER), ["strange"] * 300)
    log = bench.feeds[0].log
    bench.start(log)
    problem = look(bench, clock)
    assert "come from /usr/local/weird/sshd7" in problem
    assert "unknown header" in problem
    assert look(bench, clock, journal(1, SSHD)) == ""
    bench.start(bench.feeds[0].log)
    assert look(bench, clock) == ""


def test_it_is_forgotten_after_a_day(bench: Bench, clock: Clock) -> None:
    """Lines that nobody writes any more are a problem for a day."""
    bench.start([])
    assert look(bench, clock, journal(20, FORGER)) != ""
    clock.now += 86_000
    assert look(bench, clock) != ""
    clock.now += 1000
    assert look(bench, clock) == ""


def test_the_source_itself_knows(bench: Bench, clock: Clock) -> None:
    """What a source says of itself is a problem, a metric and in the store, and ends with it."""
    bench.start([])
    bench.feeds[0].deaf = {"stalled": "journalctl delivers nothing"}
    assert look(bench, clock) == "source feed0 is deaf: journalctl delivers nothing"
    assert bench.metric("heptad_source_deaf", "feed0", "stalled") == 1
    assert bench.metric("heptad_source_deaf", "feed0", "no_header") == 0
    health = describe_health(bench.store, None, [], None)
    assert health["problems"] == ["source feed0 is deaf: journalctl delivers nothing"]
    bench.feeds[0].deaf = {}
    assert look(bench, clock) == ""
    assert describe_health(bench.store, None, [], None)["problems"] == []


def test_the_report_says_so_first(bench: Bench, clock: Clock) -> None:
    """The first section of the report has the deaf source, and the refused lines of the time."""
    bench.start([])
    look(bench, clock, ["strange"] * 200, journal(3, FORGER))
    until = NOW + 3600 * 10**9
    report = build_summary(bench.store, None, NOW - 10**9, until)
    first = to_text(report).split("What happened")[0]
    assert (
        "- source feed0 is deaf: nearly all of its recent lines have an unknown header format"
        in first
    )
    assert "- 3 lines of sshd come from /usr/local/weird/sshd7, which is not trusted" in first
    later = to_text(build_summary(bench.store, None, until, until + 10**9)).split("What happened")[
        0
    ]
    assert "come from" not in later
    assert "is deaf" in later


def test_a_log_of_another_kind(tmp_path: Path) -> None:
    """A whole log without a readable header is a problem also for who reads it only once."""
    log = tmp_path / "auth.log"
    log.write_text("GET / 200\n" * 1120)
    config = tmp_path / "heptad.yaml"
    config.write_text(
        f"store: {{path: {tmp_path}/events.db}}\n"
        f"sources: [{{type: file, name: auth, paths: [{log}]}}]\n"
    )
    exporter = Exporter(load_config(config), once=True, serve=False)
    exporter.run(threading.Event())
    [problem] = exporter.problems()
    assert problem.startswith(
        "source auth is deaf: nearly all of its recent lines have an unknown header format"
    )


@given(
    st.lists(st.tuples(st.floats(0, 40_000), st.integers(0, 60), st.integers(0, 60)), max_size=40)
)
def test_the_verdict_is_that_of_the_last_lines(steps: list[tuple[float, int, int]]) -> None:
    """Whatever comes when: deaf only after twenty lines, heard as soon as a tenth is good."""
    clock = Clock()
    hearing = Hearing(clock.monotonic)
    lines: list[tuple[float, int, int]] = []
    for wait, good, bad in steps:
        clock.now += wait
        hearing.hear(good + bad, bad)
        lines.append((clock.now, good, bad))
        recent = [step for step in lines if clock.now - step[0] <= 86_400]
        deaf = hearing.headless()
        if deaf:
            assert sum(good + bad for _, good, bad in lines) >= 20
            assert sum(bad for _, _, bad in lines) >= 18
        in_window = [step for step in recent if clock.now - step[0] <= 300]
        total, lost = (sum(s[1] + s[2] for s in in_window), sum(s[2] for s in in_window))
        if total >= 20 and in_window == recent:
            assert deaf == (lost >= 0.9 * total)


def test_a_fleet_knows_its_deaf_hosts(bench: Bench, clock: Clock) -> None:
    """A heartbeat says that a source of the host is deaf, and the fleet counts living such hosts."""
    bench.start([])
    pipeline = bench.pipelines[-1]
    assert not pipeline.is_deaf()
    assert look(bench, clock, ["strange"] * 20) != ""
    assert pipeline.is_deaf()
    fleet = Fleet()
    for number, host in enumerate(("web-1", "web-2", "web-3")):
        health = Health(NOW, 0.0, 0, caught_up=True, position=None, deaf=number > 0)
        row = make_row(DeliveryState(), health, host, f"{number:032}")
        told = "deaf=true" in row.body
        assert told == (number > 0)
        beat = Heartbeat((host, f"{number:032}"), row.time, 1, deaf=told)
        fleet.take(beat, 900.0 if number == 1 else 100.0)
    assert fleet.summary(950.0, NOW).deaf == 1


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"sshd": 7}', b'{"reasons": 7}', b"\xff"])
def test_kept_health_that_cannot_be_read(bench: Bench, clock: Clock, data: bytes) -> None:
    """What somebody else wrote into the store's state stops neither the start nor the report."""
    bench.start([])
    bench.store.append([], {"deaf/feed0": data, "refused/feed0": data})
    bench.start([[line("12:00:00")]])
    assert look(bench, clock) == ""
    assert len(bench.events()) == 1
    assert build_summary(bench.store, None, 0, 2**62).total == 1
