"""Thirty days of a fleet's metrics as blocks of Prometheus, one sample per five minutes.

One host in a hundred has been down for hours, and as many cannot read a log, have a full disk or do
not deliver. Counters grow randomly.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

STEP: Final = 300
"""Seconds between two samples."""
DAYS: Final = 30
_STEPS: Final = DAYS * 86_400 // STEP
_BLOCKS: Final = Path(__file__).parent / "blocks"


def write_blocks(folder: Path, hosts: int, until: int) -> None:
    """Write the blocks of ``hosts`` hosts, up to a time (s)."""
    described = "\n".join(json.dumps(one) for one in series_of(hosts))
    span = (1000 * (until - DAYS * 86_400), 1000 * until + 1, 1000 * STEP)
    command = [build(), str(folder), *map(str, span)]
    subprocess.run(command, input=described, text=True, check=True)


def build() -> str:
    """Build the program that writes blocks; the first build requires Go and takes a minute."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "heptad-tests"
    program = cache / "blocks"
    if shutil.which("go") is None:
        raise SystemExit(
            "bench.dashboards: go is not installed, which builds bench/dashboards/blocks"
        )
    cache.mkdir(parents=True, exist_ok=True)
    subprocess.run(["go", "build", "-o", str(program), "."], cwd=_BLOCKS, check=True)
    return str(program)


def series_of(hosts: int) -> Iterator[dict[str, Any]]:
    """Yield all series; see `series` in blocks/main.go."""
    for number in range(hosts):
        trouble = _TROUBLES.get(number % 100 if hosts >= 100 else number * 10, "")
        up = _series("up", number, value=1)
        if trouble == "down":
            up |= {"Change": _STEPS - 60, "Then": 0}
        yield up
        yield {
            **up,
            "Labels": {**up["Labels"], "__name__": "heptad:host_up", "host": name_of(number)},
        }
        for one in _host(number, trouble):
            yield {**one, "Until": _STEPS - 60} if trouble == "down" else one
    yield from _aggregator()


_TROUBLES: Final = {10: "down", 20: "blind", 30: "disk", 40: "delivery", 50: "guessed", 60: "gap"}
_INSTANCE: Final = "host-{:04}:9707"


def name_of(number: int) -> str:
    """Return the host's name in events."""
    return f"host-{number:04}"


def _series(name: str, number: int, *, value: float = 0, **labels: Any) -> dict[str, Any]:
    own = {"__name__": name, "job": "heptad", "instance": _INSTANCE.format(number), **labels}
    return {"Labels": own, "Value": value}


def _grow(one: dict[str, Any], by: float) -> dict[str, Any]:
    return {**one, "Grow": by, "Random": True}


def _host(n: int, trouble: str) -> Iterator[dict[str, Any]]:
    def one(name: str, value: float = 0, **labels: Any) -> dict[str, Any]:
        return _series(name, n, value=value, **labels)

    def recent(before: float, then: float) -> dict[str, Any]:
        return {"Value": before, "Change": _STEPS - 12, "Then": then}

    def login(outcome: str, method: str) -> dict[str, Any]:
        own: dict[str, Any] = {
            "program": "sshd",
            "action": "login",
            "outcome": outcome,
            "method": method,
        }
        return _series("auth_events_total", n, **own)

    auth: dict[str, Any] = {"source": "auth"}
    yield one("heptad_host_info", 1, host=name_of(n))
    yield one("heptad_build_info", 1, version="1.0.0" if n % 50 else "0.9.0")
    blind, stuck = trouble == "blind", trouble == "delivery"
    yield one("heptad_source_up", **auth) | (recent(1, 0) if blind else {"Value": 1})
    yield one("heptad_source_deaf", reason="unlinked", **auth)
    seen = one("heptad_source_last_event_timestamp_seconds", 1, **auth)
    yield {**seen, "Value": 1.7e9, "Grow": STEP}
    yield {**one("heptad_source_behind_bytes", 200, **auth), "Swing": 200}
    recorded = {"Sparse": True, "Grow": 3 + n % 7}
    yield one("heptad:lines:increase5m", result="event") | recorded
    yield one("heptad:lines:increase5m", result="ignored") | recorded
    yield one("heptad:delivered:increase5m", result="delivered") | recorded
    if n % 3 == 0:
        rare = {"Sparse": True, "Grow": 0.001}
        yield one("heptad:lines_not_understood:increase5m", program="sshd") | rare
    yield _grow(one("heptad_lines_total", result="event", **auth), 3 + n % 7)
    yield _grow(one("heptad_lines_total", result="not_understood", **auth), 0.001)
    yield _grow(one("heptad_lines_not_understood_total", program="sshd"), 0.001 * (n % 3 == 0))
    yield _grow(one("heptad_gaps_total", reason="rotated", **auth), 0.001 * (trouble == "gap"))
    yield one("heptad_delivery_up") | (recent(1, 0) if stuck else {"Value": 1})
    waiting = one("heptad_delivery_behind_events", 5)
    yield {**waiting, **({"Grow": 1} if stuck else {"Swing": 5})}
    yield _grow(one("heptad_delivery_events_total", result="delivered"), 3 + n % 7)
    for state in ("closed", "half-open", "open"):
        usual, then = float(state == "closed"), float(state == "open")
        breaker = one("heptad_delivery_breaker_state", state=state)
        yield breaker | (recent(usual, then) if stuck else {"Value": usual})
    yield {**one("heptad_delivery_clock_offset_seconds"), "Swing": 120 if n % 97 == 0 else 1}
    yield {**one("heptad_store_size_bytes", 3e7), "Swing": 1e7}
    yield one("heptad_store_max_size_bytes", 5e8)
    yield one("heptad_collector_duration_seconds", 0.01, collector="cpu") | {"Swing": 0.009}
    failed = 40 if trouble == "guessed" else 0.2 + n % 5
    for outcome, method, number in (
        ("failure", "password", failed),
        ("success", "publickey", 0.1),
        ("success", "password", 0.01),
    ):
        yield _grow(login(outcome, method), number)
        labels: dict[str, Any] = {
            "host": name_of(n),
            "program": "sshd",
            "outcome": outcome,
            "method": method,
        }
        yield one("heptad:logins:increase5m", **labels) | {"Grow": number, "Sparse": True}
    yield from _machine(n, trouble)


def _machine(n: int, trouble: str) -> Iterator[dict[str, Any]]:
    disk = {"device": "/dev/sda1", "fstype": "ext4", "mountpoint": "/"}
    free = 2e9 if trouble == "disk" else 5e10
    for name, value, swing, labels in (
        ("node_load5", 0.5, 0.4, {}),
        ("heptad:load:per_cpu", 0.5, 0.4, {"host": name_of(n)}),
        ("heptad:disk:fullest", 1 - free / 1e11, free / 1e12, {"host": name_of(n)}),
        ("node_memory_MemAvailable_bytes", 4e9, 1e9, {}),
        ("node_memory_MemTotal_bytes", 8e9, 0, {}),
        ("node_filesystem_avail_bytes", free, free / 10, disk),
        ("node_filesystem_size_bytes", 1e11, 0, disk),
        ("heptad_logged_in_users", 1, 0, {}),
    ):
        yield {**_series(name, n, value=value, **labels), "Swing": swing}
    for mode, share in (("idle", 0.8), ("user", 0.2)):
        cpu = _series("node_cpu_seconds_total", n, cpu="0", mode=mode)
        yield _grow(cpu, STEP * share)


def _aggregator() -> Iterator[dict[str, Any]]:
    def one(name: str, value: float = 0, **labels: str) -> dict[str, Any]:
        own = {"job": "heptad-aggregator", "instance": "aggregator:9708"}
        return {"Labels": {"__name__": name, **own, **labels}, "Value": value}

    yield one("up", 1)
    yield one("heptad_build_info", 1, version="1.0.0")
    yield {**one("heptad_aggregator_behind_seconds", 2), "Swing": 2}
    for severity, number in (("high", 5), ("medium", 100), ("low", 900)):
        for within in ("1h", "24h"):
            gauge = one("heptad_findings_open", number, severity=severity, within=within)
            yield {**gauge, "Swing": number / 2}
    for name, value in (("live", 990), ("silent", 10), ("skewed", 0), ("shared_names", 0)):
        yield one(f"heptad_aggregator_hosts_{name}", value)
    for window in ("5m", "1h", "1d"):
        counted = one("heptad_aggregator_windows_total", report="report_top", window=window)
        yield _grow(counted, 1)
    for part in ("brute_force", "report_top", "sweep"):
        yield {**one("heptad_aggregator_part_duration_seconds", 0.5, part=part), "Swing": 0.4}
        yield _grow(one("heptad_aggregator_revisions_total", part=part), 2)
    for name in ("late_events", "future_events"):
        yield one(f"heptad_aggregator_{name}_total")
    firing = {"alertname": "HeptadHostSilent", "alertstate": "firing", "severity": "critical"}
    for number in range(10):
        yield _series("ALERTS", 100 * number, value=1, **firing)
