"""Heartbeats as they are written, at most once a minute by each exporter that delivers."""

from typing import Final

from heptad.core.store.measurements import Field, Measurement

MEASUREMENT: Final = "heartbeat"

DeliveredInterval = tuple[int, int, int]
"""(since, until, points): number of points in the minutes since <= m < until since the epoch."""

HEARTBEATS: Final = Measurement(
    name=MEASUREMENT,
    about=(
        "The state of an exporter, written at most once a minute. The time of a row is the "
        "server's clock. See [heartbeats](influxdb.md#heartbeats)."
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
            "the minutes of all points that were delivered since the last heartbeat that is "
            "known to be stored: JSON, `[[since, until, points], …]`, minutes since the epoch",
        ),
        "oldest": Field(
            int, ("the time of the oldest of those points, in ns; missing if there are none")
        ),
        "newest": Field(int, "the time of the newest of those points, in ns"),
        "passed": Field(int, "all points up to this time (ns, the host's clock) are delivered"),
        "caught_up": Field(bool, "whether everything was read and delivered"),
        "behind": Field(int, "points that are not delivered yet"),
        "deaf": Field(bool, "`true` if a source is deaf or cannot be read, otherwise missing"),
        "held": Field(
            str,
            "points that the server rejects because of the type of a field: JSON, at most 20 "
            "`[measurement, field, sent, stored, time, points]`; missing if there are none",
        ),
        "clock_offset": Field(float, "seconds by which the host's clock is ahead of the server's"),
        "version": Field(str, "the exporter's version"),
        "position": Field(
            str,
            "positions of the exporter's sources up to which everything was delivered, "
            "encrypted for this machine; up to 512 KiB; only written when it changed",
            in_parts=True,
        ),
    },
)
