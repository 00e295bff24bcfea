"""Heartbeats as they are written: once a minute at most by each exporter that delivers."""

from typing import Final

MEASUREMENT: Final = "heartbeat"

Span = tuple[int, int, int]
"""(since, until, points): so many points in the minutes since <= m < until since the epoch."""
