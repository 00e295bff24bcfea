"""Validate the exporter's stored state before it continues from it.

Invalid state is dropped. What depends on it is computed or read again: a source without its
position takes over from itself (``handover.py``), so no line is lost or counted twice.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from heptad.core.store.api import LOOKED_UNTIL, PROBLEMS
from heptad.core.store.sqlite import LocalStore
from heptad.core.validation import Invalid, decode_time
from heptad.exporter.already_read import Handover
from heptad.exporter.delivery.delivery_state import DeliveryState
from heptad.exporter.handover import BEGUN_ANEW, SPEAKERS, SpeakerState
from heptad.exporter.normalize.login_attempts import LoginAttempts
from heptad.exporter.normalize.unknown_users import UnknownUsers
from heptad.exporter.rejected_lines import UntrustedLines
from heptad.exporter.sources import Source
from heptad.exporter.sources.file.source import FileSource, LogState
from heptad.exporter.sources.journald.source import JournaldSource, check_position

_decode_logs: Final = msgspec.json.Decoder(dict[str, LogState]).decode
_decode_samples: Final = msgspec.json.Decoder(list[str]).decode
_decode_speakers: Final = msgspec.json.Decoder(SpeakerState).decode
_decode_delivery_state: Final = msgspec.json.Decoder(DeliveryState).decode
_decode_hand_over: Final = msgspec.msgpack.Decoder(Handover).decode
_decode_joined: Final = msgspec.msgpack.Decoder(list[tuple[bytes, bytes]]).decode


def _check_logs(data: bytes) -> None:
    if not _decode_logs(data):
        raise Invalid("missing", "the position of a source that has read no log")


def _check_attempts(data: bytes) -> None:
    LoginAttempts().restore(data)


def _check_untrusted(data: bytes) -> None:
    UntrustedLines().restore(data)


def _check_unknown_users(data: bytes) -> None:
    UnknownUsers().restore(data)


def _check_joined(data: bytes) -> None:
    for attempts, unknown_users in _decode_joined(data):
        if attempts:
            _check_attempts(attempts)
        if unknown_users:
            _check_unknown_users(unknown_users)


def _check_mark(data: bytes) -> None:
    if data != b"1":
        raise Invalid("corrupt", "no mark")


CHECKS: Final[dict[str, Callable[[bytes], object]]] = {
    "attempts": _check_attempts,
    "applied": _check_attempts,
    "strangers": _check_unknown_users,
    "refused": _check_untrusted,
    "caught_up": _check_mark,
    "handover": _decode_hand_over,
    "joined": _check_joined,
    "not_understood": _decode_samples,
    "first_start": decode_time,
    BEGUN_ANEW: decode_time,
    LOOKED_UNTIL: decode_time,
    PROBLEMS: _decode_samples,
    SPEAKERS: _decode_speakers,
    "forwarder": _decode_delivery_state,
}
"""The first part of a key → a function that raises if the state is invalid."""
_CHECKPOINTS: Final[dict[type[object], Callable[[bytes], object]]] = {
    FileSource: _check_logs,
    JournaldSource: check_position,
}


def drop_unsound(store: LocalStore, sources: Sequence[Source]) -> set[str]:
    """Drop invalid state; return which of ``sources`` have no position now. Raises StoreError.

    The format of a position depends on the kind of source.
    """
    dropped: dict[str, bytes] = {}
    kinds = {f"source/{source.name}": _CHECKPOINTS.get(type(source)) for source in sources}
    for key in store.recall_keys(""):
        check = kinds.get(key) or CHECKS.get(key.partition("/")[0])
        known = store.recall(key)
        if known is None or (check is not None and not _is_sound(store, key, known, check)):
            dropped[key] = b""
    if dropped:
        store.append([], dropped)
    return {
        source.name
        for source in sources
        if store.recall(f"source/{source.name}") == b""
        and not store.recall(f"handover/{source.name}")
    }


def _is_sound(store: LocalStore, key: str, known: bytes, check: Callable[[bytes], object]) -> bool:
    def confirm(data: bytes) -> bool:
        check(data)
        return True

    return store.intake.restore(key, known, confirm) is True
