"""Lines of line protocol into one bucket."""

import gzip
from collections.abc import Sequence

from heptad.influxdb.connection import Connection, Unreachable
from heptad.sink import Delivered, Hold, Outcome, Parcel, TryAgain


class InfluxSink:
    """A bucket of the server behind ``connection``: a database where it is a 1.x or 3.x."""

    def __init__(self, connection: Connection, bucket: str) -> None:
        self._connection = connection
        self._bucket = bucket

    def pack(self, lines: Sequence[str]) -> Parcel:
        """Joined and compressed."""
        return Parcel(lines, gzip.compress("\n".join(lines).encode(errors="replace"), 1))

    def deliver(self, parcel: Parcel) -> Outcome:
        """Write it, and see what becomes of it."""
        headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain; charset=utf-8"}
        try:
            if self._connection.generation == 1:
                path, query = "/write", {"db": self._bucket}
            else:
                path = "/api/v2/write"
                query = {"org": self._connection.config.org, "bucket": self._bucket}
            query["precision"] = "ns"
            answer = self._connection.request("POST", path, query, parcel.data, headers)
        except Unreachable as error:
            return TryAgain(str(error))
        if answer.status == 204:
            return Delivered()
        if answer.status < 500:
            return Hold(answer.text)
        return TryAgain(answer.text)
