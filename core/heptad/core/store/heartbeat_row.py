"""Heartbeats as they are written: once a minute at most by each exporter that delivers."""

from typing import Final

from heptad.core.store.measurements import Field, Measurement

MEASUREMENT: Final = "heartbeat"

DeliveredInterval = tuple[int, int, int]
"""(since, until, points): so many points in the minutes since <= m < until since the epoch."""

HEARTBEATS: Final = Measurement(
    name=MEASUREMENT,
    about=(
        "What an exporter tells of itself, once a minute at most. A row's time is the server's "
        "clock. See [heartbeats](influxdb.md#heartbeats)."
    ),
    always="sequence",
    tags={
        "host": "the host's name",
        "machine_id": "a keyed hash of the host's machine id, 32 hexadecimal digits",
    },
    fields={
        "sequence": Field(int, "grows from heartbeat to heartbeat of a machine"),
        "spans": Field(
            str,
            "the minutes of all points that were delivered since the last heartbeat that is known "
            "to be there: JSON, `[[since, until, points], …]`, minutes since the epoch",
        ),
        "oldest": Field(int, "the time of the oldest of those points, in ns; missing without any"),
        "newest": Field(int, "that of the newest"),
        "passed": Field(int, "all points up to this time (ns, the host's clock) are delivered"),
        "caught_up": Field(bool, "whether nothing was left to deliver, nor to read"),
        "behind": Field(int, "points that are not delivered yet"),
        "deaf": Field(bool, "`true` where a source is deaf or cannot be read, else missing"),
        "held": Field(
            str,
            "points that the server does not take for the type of a field: JSON, at most 20 "
            "`[measurement, field, sent, stored, time, points]`; missing where there are none",
        ),
        "clock_offset": Field(float, "seconds that the host's clock is ahead of the server's"),
        "version": Field(str, "the exporter's version"),
        "position": Field(
            str,
            "where the exporter's sources stood when everything up to there was delivered, "
            "sealed so that only that machine reads it; up to 512 KiB; only where it changed",
            in_parts=True,
        ),
    },
)
