"""What an exporter seals: itself again with its key, nothing at all without."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.exporter.delivery.encryption import KEY_BYTES, decrypt, encrypt

KEY = b"k" * KEY_BYTES


@given(st.binary(min_size=1, max_size=300))
def test_what_is_sealed_comes_back(data: bytes) -> None:
    """The same key gives the bytes again, and the same bytes the same sealed ones."""
    sealed = encrypt(data, KEY)
    assert decrypt(sealed, KEY) == data
    assert encrypt(data, KEY) == sealed


@given(st.binary(min_size=8, max_size=300))
def test_nothing_of_it_is_seen(data: bytes) -> None:
    """Neither the bytes nor another machine's key's are in what is sealed."""
    sealed = encrypt(data, KEY)
    assert data not in sealed
    with pytest.raises(ValueError, match="another machine"):
        decrypt(sealed, b"x" * KEY_BYTES)


@given(st.binary(min_size=1, max_size=300), st.data())
def test_a_change_is_noticed(data: bytes, chance: st.DataObject) -> None:
    """Whoever changes a byte, or cuts some off, makes nothing that is believed."""
    sealed = bytearray(encrypt(data, KEY))
    place = chance.draw(st.integers(0, len(sealed) - 1))
    if chance.draw(st.booleans()):
        sealed[place] ^= chance.draw(st.integers(1, 255))
    else:
        del sealed[place:]
    with pytest.raises(ValueError, match="modified"):
        decrypt(bytes(sealed), KEY)
