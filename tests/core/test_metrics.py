"""The exporter's metrics: known from the start, kept over a restart, and what Prometheus expects."""

import subprocess
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from heptad.core.event import ACTIONS, METHODS, OUTCOMES, REASONS, Event
from heptad.core.store.event_row import row_of_event
from heptad.core.store.sqlite import LocalStore, counter_key
from heptad.exporter.metrics import COUNTERS, GAUGES, CounterDelta, ExporterMetrics
from heptad.exporter.normalize.login_attempts import label_sets
from tests.support import needs
from tests.support.feed import Bench, line
from tests.support.rulebook import RULEBOOK

KNOWN = label_sets(RULEBOOK)


def expose(metrics: ExporterMetrics) -> str:
    """What /metrics shows of them."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(metrics)
    return generate_latest(registry).decode()


def samples(metrics: ExporterMetrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample: name and labels to its value."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(expose(metrics))
        for sample in family.samples
    }


def test_known_label_sets_are_zero() -> None:
    """Every label set that rules can give is there at zero before the first event."""
    found = samples(ExporterMetrics({}, KNOWN))
    names = ("program", "action", "outcome", "method")
    for labels in KNOWN:
        key = tuple(sorted(zip(names, labels, strict=True)))
        assert found["auth_events_total", key] == 0
    for wanted in (
        ("sshd", "login", "success", "publickey"),
        ("sshd", "login", "failure", "password"),
        ("sshd", "login", "failure", "none"),
        ("sshd", "offer", "failure", "publickey"),
        ("sudo", "privilege", "success", ""),
        ("su", "privilege", "failure", ""),
    ):
        assert wanted in KNOWN


def test_label_sets_are_words_of_the_vocabulary() -> None:
    """Cardinality is bounded by design: no label set has a word that is not listed."""
    programs = {program.name for program in RULEBOOK.programs.values()}
    for program, action, outcome, method in KNOWN:
        assert program in programs
        assert (action in ACTIONS, outcome in OUTCOMES, method in METHODS) == (True,) * 3
    assert len(KNOWN) < 500


def test_every_metric_is_explained() -> None:
    """Each family has its help and its type, and counters end in _total."""
    text = expose(ExporterMetrics({}, KNOWN))
    for name, (_, description) in {**COUNTERS, **GAUGES}.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        assert f"# TYPE {name} {kind}\n" in text
        assert f"# HELP {name} {description}\n" in text


def test_promtool(tmp_path: Path) -> None:
    """promtool check metrics has nothing to say."""
    needs.program("promtool")
    bench = Bench(tmp_path / "events.db")
    bench.start([[line("12:00:00")]])
    bench.run()
    text = expose(bench.metrics)
    bench.stop()
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, text=True, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_counters_survive_a_restart(tmp_path: Path) -> None:
    """Counters are read from the store and go on; those of another version are left alone."""
    wrong = counter_key(
        "auth_events_total", program="sshd", action="login", outcome="failure", method="password"
    )
    unknown = counter_key("of_a_newer_version_total", colour="red")
    for expected in (2, 4):
        with LocalStore(tmp_path / "events.db", write=True) as store:
            metrics = ExporterMetrics(store.counters(), KNOWN)
            store.append([], {}, {wrong: 2, unknown: 1})
            metrics.add({wrong: 2, unknown: 1})
            found = samples(metrics)
            labels = {"program": "sshd", "action": "login", "outcome": "failure"}
            key = tuple(sorted({**labels, "method": "password"}.items()))
            assert found["auth_events_total", key] == expected
            assert metrics.totals() == {wrong: expected}
            assert "newer_version" not in expose(metrics)


def test_nothing_moves_before_the_commit() -> None:
    """A tally is of one batch: the metrics move when it was committed and added."""
    metrics = ExporterMetrics({}, [])
    tally = CounterDelta("auth", -1)
    tally.line("event", 3)
    assert metrics.totals() == {}
    counters = tally.counters()
    metrics.add(counters)
    metrics.add(counters)
    key = counter_key("heptad_lines_total", source="auth", result="event")
    assert metrics.totals() == {key: 6}


JUDGED = st.tuples(
    st.sampled_from(sorted(ACTIONS)),
    st.sampled_from(sorted(OUTCOMES)),
    st.sampled_from(sorted(METHODS)),
    st.sampled_from(sorted(REASONS)),
)
EVENTS = st.lists(
    st.tuples(st.integers(0, 20), st.sampled_from(["sshd", "su"]), JUDGED, st.integers(1, 9))
)


@given(EVENTS, st.integers(0, 20))
def test_events_or_history(
    events: list[tuple[int, str, tuple[str, str, str, str], int]], first_start: int
) -> None:
    """Each event is either counted, as often as it came, or history; the reason is no label."""
    tally = CounterDelta("auth", first_start)
    made = [
        Event(at, "h", "auth", program, *classification, count)
        for at, program, classification, count in events
    ]
    tally.events(made, list(map(row_of_event, made)))
    counters = tally.counters()
    history = counter_key("heptad_history_events_total", source="auth")
    assert counters.pop(history, 0) == len([e for e in events if e[0] < first_start])
    counted = {key: number for key, number in counters.items() if key[0] == "auth_events_total"}
    assert sum(counted.values()) == sum(e[3] for e in events if e[0] >= first_start)
    assert all("reason" not in labels for _, labels in counted)


@given(st.text(max_size=50))
def test_hostile_label_values(text: str) -> None:
    """A value that is no plain word, as a path in a source's name, leaves the format whole."""
    metrics = ExporterMetrics({counter_key("heptad_read_bytes_total", source=text): 5}, [])
    metrics.set("heptad_source_up", 1, text)
    found = [s for f in text_string_to_metric_families(expose(metrics)) for s in f.samples]
    up = [s for s in found if s.name in ("heptad_source_up", "heptad_read_bytes_total")]
    assert [s.labels["source"] for s in up] == [text, text]
