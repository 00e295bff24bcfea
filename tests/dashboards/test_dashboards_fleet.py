"""What the dashboards say of a fleet that no test has at hand, told by promtool."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.support import needs
from tests.support.grafana import BOARDS, QUERIES, put_in, values_of

RANGE: Final = "6h"
FLEET: Final = {
    # web-1 is up; web-2 went down eight hours ago, web-3 one hour ago
    'up{job="heptad", instance="web-1"}': "1x600",
    'up{job="heptad", instance="web-2"}': "1x119 0x480",
    'up{job="heptad", instance="web-3"}': "1x539 0x60",
    'up{job="web", instance="shop"}': "0x600",
    'heptad_source_up{job="heptad", instance="web-1", source="auth"}': "1x600",
    'heptad_source_up{job="heptad", instance="web-2", source="auth"}': "1x119 stale",
    'heptad_source_up{job="heptad", instance="web-3", source="auth"}': "1x539 stale",
    'heptad_host_info{job="heptad", instance="web-1", host="one"}': "1x600",
    'heptad_host_info{job="heptad", instance="web-2", host="two"}': "1x119 stale",
    'heptad_host_info{job="heptad", instance="web-3", host="three"}': "1x539 stale",
    'heptad_build_info{job="heptad", instance="web-1"}': "1x600",
    'heptad_build_info{job="heptad", instance="web-2"}': "1x119 stale",
    'heptad_build_info{job="heptad", instance="web-3"}': "1x539 stale",
}
TWICE: Final = {
    'heptad_host_info{job="heptad", instance="web-1", host="one"}': "1x600",
    **{
        f'{name}{"" if name[-1] == "{" else ", "}job="{job}", instance="web-1"}}': values
        for job in ("heptad", "node")
        for name, values in {
            "node_load5{": "3x600",
            'node_cpu_seconds_total{cpu="0", mode="idle"': "0+30x600",
            'node_cpu_seconds_total{cpu="1", mode="idle"': "0+30x600",
            'node_cpu_seconds_total{cpu="0", mode="user"': "0+30x600",
            'node_cpu_seconds_total{cpu="1", mode="user"': "0+30x600",
            "node_memory_MemFree_bytes{": "500x600",
            'node_disk_read_bytes_total{device="sda"': "0+600x600",
            'node_network_receive_bytes_total{device="eth0"': "0+600x600",
            "node_vmstat_pswpin{": "0+60x600",
        }.items()
    },
}
"""A host that Heptad and node_exporter measure, under one name: two CPUs, of which half is used."""


def query(board: str, panel: str, ref: str = "A") -> str:
    """A query of a panel with what is preset."""
    (found,) = (
        one.text
        for one in QUERIES
        if (one.board, one.panel, one.target["refId"]) == (board, panel, ref)
    )
    return put_in(
        found,
        values_of(BOARDS[board], {"node": "one"})
        | {"__range": RANGE, "__rate_interval": "5m", "__interval": "5m"},
    )


def check(
    folder: Path, text: str, expected: Mapping[str, float], scraped: Mapping[str, str] = FLEET
) -> None:
    """After ten hours of what was scraped the query gives these labels and values."""
    needs.program("promtool")
    samples = [{"labels": labels, "value": value} for labels, value in expected.items()]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in scraped.items()],
        "promql_expr_test": [{"expr": text, "eval_time": "10h", "exp_samples": samples}],
    }
    file = folder / "test.yml"
    file.write_text(json.dumps({"evaluation_interval": "1m", "tests": [test]}))
    command = ["promtool", "test", "rules", str(file)]
    tested = subprocess.run(command, check=False, capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize(
    ("board", "panel"),
    [("now", "Hosts silent"), ("hosts", "Hosts down"), ("itself", "Not scraped")],
)
def test_what_is_down_for_longer_than_the_range_is_down(
    tmp_path: Path, board: str, panel: str
) -> None:
    """Whoever looks in the morning sees what went down in the evening, and no other job."""
    check(tmp_path, query(board, panel), {"{}": 2})


def test_a_host_that_is_down_for_long_stays_in_the_table(tmp_path: Path) -> None:
    """With a problem, so that it stands at the top."""
    hosts = "Hosts, the worst first"
    up = {"web-1": 1, "web-2": 0, "web-3": 0}
    named = {f'{{instance="{name}"}}': value for name, value in up.items()}
    problems = {n: 100_000 * (1 - v) for n, v in named.items()}
    check(tmp_path, query("hosts", hosts, "problem"), problems)


@pytest.mark.parametrize("names", [("one", "another"), ("another", "one")])
def test_a_host_that_was_renamed_has_its_new_name(tmp_path: Path, names: tuple[str, str]) -> None:
    """Prometheus knows the old name for weeks; the table of hosts shows the one of now."""
    old, new = (f'heptad_host_info{{job="heptad", instance="web-1", host="{n}"}}' for n in names)
    scraped = {old: "1x539 stale", new: "_x540 1x60", 'up{job="heptad", instance="web-1"}': "1x600"}
    text = query("hosts", "Hosts, the worst first", "name")
    check(tmp_path, text, {f'{{instance="web-1", host="{names[1]}"}}': 1}, scraped)


@pytest.mark.parametrize(
    ("board", "panel", "ref", "expected"),
    [
        ("hosts", "Hosts, the worst first", "load", {'{instance="web-1"}': 1.5}),
        ("host", "CPU used", "A", {"{}": 0.5}),
        ("host", "CPU by mode", "A", {'{mode="user"}': 0.5}),
        ("host", "Memory", "C", {"{}": 500}),
        ("host", "Disk throughput", "A", {'{device="sda"}': 10}),
        ("host", "Network throughput", "A", {'{device="eth0"}': 10}),
        ("host", "Swapping, and processes ended for memory", "A", {"{}": 1}),
    ],
)
def test_what_two_jobs_measure_is_shown_once(
    tmp_path: Path, board: str, panel: str, ref: str, expected: dict[str, float]
) -> None:
    """node_exporter beside Heptad, with the same `instance`, doubles and halves nothing."""
    text = query(board, panel, ref)
    check(tmp_path, text, expected, TWICE)


@pytest.mark.parametrize(
    ("board", "panel"),
    [(query.board, query.panel) for query in QUERIES if query.kind == "stat" and query.is_promql],
)
def test_nothing_scraped_is_no_answer(tmp_path: Path, board: str, panel: str) -> None:
    """A wrong Prometheus, another job or an emptied list of targets is no zero, but nothing."""
    check(tmp_path, query(board, panel), {}, {'up{job="web", instance="shop"}': "1x600"})


@pytest.mark.parametrize(("board", "panel"), [("now", "Hosts silent"), ("now", "Blind spots")])
def test_a_zero_is_shown_where_it_is_known(tmp_path: Path, board: str, panel: str) -> None:
    """Of one host that is up and reads its log."""
    one = {name: values for name, values in FLEET.items() if "web-1" in name}
    check(tmp_path, query(board, panel), {"{}": 0}, one)


def test_a_host_that_is_chosen_narrows_what_is_counted(tmp_path: Path) -> None:
    """Two hosts are down, of which one is chosen."""
    text = query("hosts", "Hosts down").replace('host=~".+"', 'host=~"two"')
    check(tmp_path, text, {"{}": 1})


def test_each_problem_is_named_with_its_instance(tmp_path: Path) -> None:
    """Two are down, and a third cannot read its log; the healthy one is not listed."""
    scraped = {**FLEET, 'heptad_source_up{job="heptad", instance="web-1", source="auth"}': "0x600"}
    down = "cannot be scraped: check that the host is up and its service runs"
    unread = "a source cannot be read: check its permissions and path"
    expected = {f'{{instance="web-{n}", problem="{down}"}}': 1.0 for n in (2, 3)}
    expected[f'{{instance="web-1", problem="{unread}", source="auth"}}'] = 1
    check(tmp_path, query("itself", "What is wrong"), expected, scraped)
