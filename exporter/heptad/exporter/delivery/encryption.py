"""Bytes that only the machine that wrote them can read, and that nobody else can write.

A position holds the beginnings of logs and the connections that are open: what `privacy:` masks
would leave the host with it. The machine keeps no key that a lost store does not take with it but
its id, which machine-id(5) calls confidential; the key follows from that.

AES-SIV (RFC 5297) needs no number that is used but once: the same bytes give the same sealed ones,
so that what did not change is seen. See docs/decisions/0010-positions-are-sealed-by-a-library.md.
"""

from typing import Final

KEY_BYTES: Final = 64


def encrypt(data: bytes, key: bytes) -> bytes:
    """``data``, which is not empty, sealed with a key of ``KEY_BYTES``."""
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415 - it costs 8 MB

    return AESSIV(key).encrypt(data, None)


def decrypt(sealed: bytes, key: bytes) -> bytes:
    """What was sealed; ValueError where it was sealed with another key, or changed."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415

    try:
        return AESSIV(key).decrypt(sealed, None)
    except (InvalidTag, ValueError) as error:
        raise ValueError("encrypted by another machine, or modified") from error
