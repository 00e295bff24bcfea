"""Bytes that only the machine that wrote them can read, and that nobody else can write.

A position holds the beginnings of logs and the connections that are open: what `privacy:` masks
would leave the host with it. The machine keeps no key that a lost store does not take with it but
its id, which machine-id(5) calls confidential; the key follows from that.

A synthetic initialization vector (RFC 5297's idea, with HMAC-SHA-256 and SHAKE-256): the same
bytes give the same sealed ones, so that what did not change is seen, and no number is used twice.
"""

import hashlib
import hmac
from typing import Final

_VECTOR: Final = 32


def seal(data: bytes, key: bytes) -> bytes:
    """``data``, sealed."""
    vector = _sign(data, key)
    return vector + _mix(data, key, vector)


def unseal(sealed: bytes, key: bytes) -> bytes:
    """What was sealed; ValueError where it was sealed with another key, or changed."""
    vector = sealed[:_VECTOR]
    data = _mix(sealed[_VECTOR:], key, vector)
    if not hmac.compare_digest(vector, _sign(data, key)):
        raise ValueError("sealed by another machine, or changed")
    return data


def _sign(data: bytes, key: bytes) -> bytes:
    return hmac.digest(key, b"vector" + data, "sha256")


def _mix(data: bytes, key: bytes, vector: bytes) -> bytes:
    stream_key = hmac.digest(key, b"stream" + vector, "sha256")
    stream = hashlib.shake_256(stream_key).digest(len(data))
    mixed = int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")
    return mixed.to_bytes(len(data), "big")
