"""Mask secrets that this process sends to servers in all texts that it shows.

A server or proxy may repeat a secret in an error message: unchanged, encoded, cut off, or with
blanks inside. Code that reads a secret registers it here, and code that shows a server's text masks
it here.
"""

import base64
import html
import json
import threading
from typing import Final, NamedTuple
from urllib.parse import quote, quote_plus

_MASK: Final = "…"
_PIECE: Final = 8
"""A part of a secret with this many characters is masked; of a shorter secret, the whole."""
_MOST: Final = 100
"""The maximum number of remembered secrets: a token's file may be renewed many times."""

_LONGEST: Final = 4096
_LONG: Final = 16
"""The minimum length of a secret that ordinary text cannot contain by chance."""

_lock = threading.Lock()
_secrets: dict[tuple[str, str], set[str]] = {}


class _Masks(NamedTuple):
    """What to search for: pieces by their size, and whole forms, the longest first."""

    pieces: dict[int, set[str]]
    whole: list[str]


_current = [_Masks({}, [])]
"""The masks in use; a thread that registers another secret replaces them atomically."""


def remember_secret(secret: str, user: str = "") -> None:
    """Mask a secret from now on, in all its encodings; with ``user``, also as basic auth."""
    secret = secret[:_LONGEST]
    if not secret or (user, secret) in _secrets:
        return
    with _lock:
        _secrets[user, secret] = _write(user, secret)
        while len(_secrets) > _MOST:
            del _secrets[next(iter(_secrets))]
        forms = {form for forms in _secrets.values() for form in forms}
        whole = [form for form in sorted(forms, key=len, reverse=True) if len(form) >= _LONG]
        pieces: dict[int, set[str]] = {}
        for form in map(_compact, forms):
            size = min(_PIECE, len(form))
            cut = (form[start : start + size] for start in range(len(form) - size + 1))
            pieces.setdefault(size, set()).update(cut)
        _current[0] = _Masks(pieces, whole)


def mask_secrets(text: str) -> str:
    """Replace each part of a secret in a server's text by an ellipsis; runs in linear time."""
    masks = _current[0]
    if not masks.pieces:
        return text
    places = [place for place, letter in enumerate(text) if _counts(letter)]
    compact = "".join(text[place].lower()[:1] for place in places)
    hidden = bytearray(len(text))
    for size, pieces in masks.pieces.items():
        for start in range(len(compact) - size + 1):
            if compact[start : start + size] in pieces:
                first, last = places[start], places[start + size - 1]
                hidden[first : last + 1] = b"\1" * (last + 1 - first)
    if not any(hidden):
        return text
    shown, was_hidden = [], False
    for letter, is_hidden in zip(text, hidden, strict=True):
        if not is_hidden:
            shown.append(letter)
        elif not was_hidden:
            shown.append(_MASK)
        was_hidden = bool(is_hidden)
    return "".join(shown)


def mask_whole(text: str) -> str:
    """Mask long secrets in a text of Heptad's own, in case it contains one."""
    for form in _current[0].whole:
        if form in text:
            text = text.replace(form, _MASK)
    return text


def _write(user: str, secret: str) -> set[str]:
    """Return the forms in which a server may repeat the secret."""
    plain = {secret}
    for text in (secret, f"{user}:{secret}"):
        data = text.encode("utf-8", "surrogateescape")
        plain |= {base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()}
    forms = set(plain)
    for text in plain:
        forms |= {quote(text, ""), quote(text), quote_plus(text), html.escape(text)}
        forms |= {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
        forms |= {repr(text)[1:-1], ascii(text)[1:-1]}
    return forms


def _compact(text: str) -> str:
    return "".join(letter.lower()[:1] for letter in text if _counts(letter))


def _counts(letter: str) -> bool:
    """Return whether a character counts: a repeated secret may contain blanks and hidden ones."""
    return letter.isprintable() and not letter.isspace() and letter not in "=\\"
