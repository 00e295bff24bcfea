"""Encrypt data so that only the machine that wrote it can read it, and no other can write it.

A position contains the first bytes of logs and the open connections: it would reveal what
`privacy:` masks. The only key that survives the loss of the store is derived from the machine id,
which machine-id(5) calls confidential.

AES-SIV (RFC 5297) needs no nonce: equal data gives equal ciphertext, so unchanged data can be
recognized. See docs/decisions/0010-positions-are-sealed-by-a-library.md.
"""

from typing import Final

KEY_BYTES: Final = 64


def encrypt(data: bytes, key: bytes) -> bytes:
    """Encrypt ``data``, which must not be empty, with a key of ``KEY_BYTES``."""
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415 - it uses 8 MB

    return AESSIV(key).encrypt(data, None)


def decrypt(sealed: bytes, key: bytes) -> bytes:
    """Decrypt data; raises ValueError if it was encrypted with another key, or modified."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415

    try:
        return AESSIV(key).decrypt(sealed, None)
    except (InvalidTag, ValueError) as error:
        raise ValueError("encrypted by another machine, or modified") from error
