"""CPU times, interrupts, context switches, processes and boot time: /proc/stat, proc_stat(5)."""

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from heptad.exporter.collectors.procfs import Family, HostRoots, read

_CPU = Family(
    "node_cpu_seconds_total", "counter", "Time each CPU spent in each mode.", ("cpu", "mode")
)
_GUEST = Family(
    "node_cpu_guest_seconds_total",
    "counter",
    "Time each CPU spent for guests, by mode; node_cpu_seconds_total includes it.",
    ("cpu", "mode"),
)
# first word of a line of /proc/stat → family
_NUMBERS = {
    "intr": Family("node_intr_total", "counter", "Interrupts serviced since boot."),
    "ctxt": Family("node_context_switches_total", "counter", "Context switches since boot."),
    "btime": Family("node_boot_time_seconds", "gauge", "When the host booted, Unix time."),
    "processes": Family("node_forks_total", "counter", "Processes and threads created since boot."),
    "procs_running": Family("node_procs_running", "gauge", "Tasks that run or could run."),
    "procs_blocked": Family("node_procs_blocked", "gauge", "Tasks that wait for I/O."),
}
FAMILIES: tuple[Family, ...] = (_CPU, _GUEST, *_NUMBERS.values())

_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_GUEST_MODES = ("user", "nice")
_TICK = 100.0  # USER_HZ: 100 in the ABI of every architecture except Alpha, time(7)
_IDLE = _MODES.index("idle")
_HOTPLUG = 3 * _TICK

_highest: dict[HostRoots, dict[str, list[int]]] = {}


def collect(host: HostRoots) -> Iterator[Metric]:
    """Raises OSError, or ValueError for a malformed file."""
    cpus: dict[str, list[int]] = {}
    for line in read(f"{host.proc}/stat").splitlines():
        word, _, rest = line.partition(" ")
        if family := _NUMBERS.get(word):
            yield family.single(float(rest.partition(" ")[0]))
        elif word.startswith("cpu") and word != "cpu":
            cpus[str(int(word[3:]))] = [int(ticks) for ticks in rest.split()]
    rows = _never_back(host, cpus).items()
    yield _CPU.metric(
        ((cpu, mode), n / _TICK)
        for cpu, ticks in rows
        for mode, n in zip(_MODES, ticks, strict=False)
    )
    yield _GUEST.metric(
        ((cpu, mode), n / _TICK)
        for cpu, ticks in rows
        for mode, n in zip(_GUEST_MODES, ticks[len(_MODES) :], strict=False)
    )


def _never_back(host: HostRoots, cpus: dict[str, list[int]]) -> dict[str, list[int]]:
    """Return the ticks, none lower than last time.

    The kernel may decrease iowait and idle slightly (proc_stat(5)), which Prometheus would treat as
    a counter reset. A CPU that returns after hot-plug does start from zero: its idle time decreases
    by more than three seconds.
    """
    before = _highest.get(host, {})
    highest = {}
    for cpu, ticks in cpus.items():
        last = before.get(cpu, ticks)
        if len(last) != len(ticks) or last[_IDLE] - ticks[_IDLE] >= _HOTPLUG:
            last = ticks
        highest[cpu] = [max(pair) for pair in zip(last, ticks, strict=True)]
    _highest[host] = highest
    return highest
