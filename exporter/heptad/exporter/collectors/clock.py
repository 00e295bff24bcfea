"""The clock: time, zone, clock sources, and how the kernel disciplines it (adjtimex(2))."""

import ctypes
import errno
import os
import struct
import time
from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from heptad.exporter.collectors.procfs import Family, HostRoots, kind_of, names, read_attribute

_TIME = Family("node_time_seconds", "gauge", "The host's clock, Unix time.")
_ZONE = Family(
    "node_time_zone_offset_seconds",
    "gauge",
    "Offset of the host's time zone from UTC, east is positive.",
    ("time_zone",),
)
_AVAILABLE = Family(
    "node_time_clocksource_available_info",
    "gauge",
    "Always 1; a clock source that the kernel could use.",
    ("device", "clocksource"),
)
_CURRENT = Family(
    "node_time_clocksource_current_info",
    "gauge",
    "Always 1; the clock source that the kernel uses.",
    ("device", "clocksource"),
)

_MICRO = 1e-6
_PPM = 1 / (1e6 * 65536)  # "scaled ppm", adjtimex(2)
_NANO = 0x2000  # STA_NANO: offset and jitter are in ns instead of µs
_UNSYNCHRONISED = 5  # TIME_ERROR
_PRECISE = ("offset", "jitter")

# struct timex of 64-bit Linux, <linux/timex.h>: modes … tai, without the padding at its end
_TIMEX = struct.Struct("@I4qi8qi5qi")
_TIMEX_SIZE = 208
_FIELDS = (
    *("modes", "offset", "freq", "maxerror", "esterror", "status", "constant", "precision"),
    *("tolerance", "sec", "usec", "tick", "ppsfreq", "jitter", "shift", "stabil"),
    *("jitcnt", "calcnt", "errcnt", "stbcnt", "tai"),
)


def _timex(name: str, text: str) -> Family:
    return Family(f"node_timex_{name}", kind_of(name), text)


_SYNC = _timex("sync_status", "1 if the clock is synchronised, 0 if not.")
_RATIO = _timex("frequency_adjustment_ratio", "The clock's rate after adjustment, 1 is none.")
# field of struct timex → family, factor to the family's unit
_TIMEX_FAMILIES: dict[str, tuple[Family, float]] = {
    "offset": (_timex("offset_seconds", "Offset from the reference clock."), _MICRO),
    "maxerror": (_timex("maxerror_seconds", "Largest possible error."), _MICRO),
    "esterror": (_timex("estimated_error_seconds", "Estimated error."), _MICRO),
    "status": (_timex("status", "The STA_ bits of the clock's status."), 1),
    "constant": (_timex("loop_time_constant", "Time constant of the phase-locked loop."), 1),
    "tick": (_timex("tick_seconds", "Time between two ticks."), _MICRO),
    "ppsfreq": (_timex("pps_frequency_hertz", "Frequency of the pulse per second."), _PPM),
    "jitter": (_timex("pps_jitter_seconds", "Jitter of the pulse per second."), _MICRO),
    "shift": (_timex("pps_shift_seconds", "Interval of the pulse per second."), 1),
    "stabil": (_timex("pps_stability_hertz", "Stability of the pulse per second."), _PPM),
    "jitcnt": (_timex("pps_jitter_total", "Pulses that exceeded the limit of jitter."), 1),
    "calcnt": (_timex("pps_calibration_total", "Calibration intervals."), 1),
    "errcnt": (_timex("pps_error_total", "Calibration errors."), 1),
    "stbcnt": (_timex("pps_stability_exceeded_total", "Limits of stability exceeded."), 1),
    "tai": (_timex("tai_offset_seconds", "Offset of International Atomic Time from UTC."), 1),
}
FAMILIES: tuple[Family, ...] = (
    _TIME,
    _ZONE,
    _AVAILABLE,
    _CURRENT,
    _SYNC,
    _RATIO,
    *(family for family, _ in _TIMEX_FAMILIES.values()),
)

_libc = ctypes.CDLL(None, use_errno=True)


def collect(host: HostRoots) -> Iterator[Metric]:
    """Raises OSError if adjtimex(2) fails for another reason than permissions."""
    now = time.time()
    local = time.localtime(now)
    yield _TIME.single(now)
    yield _ZONE.metric([((local.tm_zone,), float(local.tm_gmtoff))])
    yield from _sources(host)
    yield from _discipline()


def _sources(host: HostRoots) -> Iterator[Metric]:
    available, current = [], []
    base = f"{host.sys}/devices/system/clocksource"
    sources = [name for name in names(base) if name.startswith("clocksource")]
    for device, name in enumerate(sources):
        known = read_attribute(f"{base}/{name}/available_clocksource") or ""
        available += [((str(device), source), 1.0) for source in known.split()]
        if used := read_attribute(f"{base}/{name}/current_clocksource"):
            current.append(((str(device), used), 1.0))
    yield _AVAILABLE.metric(available)
    yield _CURRENT.metric(current)


def _discipline() -> Iterator[Metric]:
    """Return nothing if a sandbox forbids adjtimex, and on 32-bit, where the struct differs."""
    if struct.calcsize("l") != 8:
        return
    buffer = ctypes.create_string_buffer(_TIMEX_SIZE)  # modes = 0: read only
    state = _libc.adjtimex(buffer)
    if state < 0:
        error = ctypes.get_errno()
        if error in (errno.EPERM, errno.ENOSYS):
            return
        raise OSError(error, os.strerror(error), "adjtimex")
    fields = dict(zip(_FIELDS, _TIMEX.unpack_from(buffer), strict=True))
    precise = fields["status"] & _NANO
    yield _SYNC.single(float(state != _UNSYNCHRONISED))
    yield _RATIO.single(1 + fields["freq"] * _PPM)
    for field, (family, factor) in _TIMEX_FAMILIES.items():
        unit = factor / 1000 if precise and field in _PRECISE else factor
        yield family.single(fields[field] * unit)
