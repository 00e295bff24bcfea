"""Times of tests as the product has them."""

from datetime import datetime


def ns(moment: datetime | str) -> int:
    """Return the nanoseconds since the epoch of a time, or of an RFC 3339 text, with a zone."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return int(moment.timestamp()) * 10**9 + moment.microsecond * 1000
