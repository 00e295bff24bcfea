"""What is recorded for the dashboards, by the shipped rules and a real promtool."""

import json
import subprocess
from pathlib import Path
from typing import Final

import pytest

from provisioning.alerts import FILES
from provisioning.alerts.rule import load_settings, render
from tests.support import needs

_RULES: Final = render(FILES["fleet.yml"], load_settings())
_LOGIN: Final = (
    'auth_events_total{job="heptad", instance="a:9707", program="sshd", action="login",'
    ' method="password", outcome="failure"}'
)
_INFO: Final = 'heptad_host_info{job="heptad", instance="a:9707", host="web-1"}'
_UP: Final = 'up{job="heptad", instance="a:9707"}'
_NODE: Final = 'job="node", instance="a:9707"'


def check(
    folder: Path, series: dict[str, str], expr: str, at: str, expected: dict[str, float]
) -> None:
    """The recorded series have these values at this time."""
    needs.program("promtool")
    (folder / "fleet.yml").write_text(_RULES)
    samples = [{"labels": labels, "value": value} for labels, value in expected.items()]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": expr, "eval_time": at, "exp_samples": samples}],
    }
    content = {"rule_files": ["fleet.yml"], "evaluation_interval": "5m", "tests": [test]}
    (folder / "test.yml").write_text(json.dumps(content))
    command = ["promtool", "test", "rules", str(folder / "test.yml")]
    tested = subprocess.run(command, check=False, capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_recorded_logins_add_up_exactly(tmp_path: Path) -> None:
    """Three that failed within two hours are three, also with half an hour of no scrape between."""
    failed = "0x20 1x9 _x29 3x120"
    total = "sum by (host) (sum_over_time(heptad:logins:increase5m[2h]))"
    check(tmp_path, {_INFO: "1x200", _LOGIN: failed}, total, "2h", {'{host="web-1"}': 3})


def test_a_counter_that_begins_again_counts_nothing(tmp_path: Path) -> None:
    """A store that was set aside begins at zero: that is no login, and none the other way."""
    total = "sum(sum_over_time(heptad:logins:increase5m[2h]))"
    series = {_INFO: "1x200", _LOGIN: "7x40 0x40 2x60"}
    check(tmp_path, series, total, "2h", {"{}": 2})


def test_a_dead_host_keeps_its_name(tmp_path: Path) -> None:
    """Two days after its exporter was last scraped it is still down under its name."""
    series = {_INFO: "1x60 stale", _UP: "1x60 0x2900"}
    name = 'heptad:host_up{job="heptad", instance="a:9707", host="web-1"}'
    check(tmp_path, series, "heptad:host_up", "48h", {name: 0})


@pytest.mark.parametrize("names", [("web-1", "a-1"), ("a-1", "web-1")])
@pytest.mark.parametrize(("at", "up"), [("130m", 1), ("335m", 0), ("400m", 0), ("20h", 0)])
def test_a_host_has_its_new_name(tmp_path: Path, names: tuple[str, str], at: str, up: int) -> None:
    """A host that was renamed has that name at once, and keeps it when it is down after that."""
    old, new = (_INFO.replace("web-1", name) for name in names)
    series = {old: "1x100 stale", new: "_x101 1x200 stale", _UP: "1x301 0x900"}
    name = f'heptad:host_up{{job="heptad", instance="a:9707", host="{names[1]}"}}'
    check(tmp_path, series, "heptad:host_up", at, {name: up})


def test_a_host_that_two_jobs_measure_is_recorded_once(tmp_path: Path) -> None:
    """node_exporter beside Heptad, with the same instance, doubles and halves nothing."""
    series = {_INFO: "1x60"}
    for job in ("heptad", "node"):
        own = f'job="{job}", instance="a:9707"'
        series |= {
            f"node_load5{{{own}}}": "3x60",
            f'node_cpu_seconds_total{{{own}, cpu="0", mode="idle"}}': "0x60",
            f'node_cpu_seconds_total{{{own}, cpu="1", mode="idle"}}': "0x60",
            f'node_filesystem_avail_bytes{{{own}, fstype="ext4", mountpoint="/"}}': "25x60",
            f'node_filesystem_size_bytes{{{own}, fstype="ext4", mountpoint="/"}}': "100x60",
        }
    labels = '{job="heptad", instance="a:9707", host="web-1"}'
    for name, value in (("heptad:load:per_cpu", 1.5), ("heptad:disk:fullest", 0.75)):
        check(tmp_path, series, name, "30m", {f"{name}{labels}": value})
