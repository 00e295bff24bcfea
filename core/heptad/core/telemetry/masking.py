"""What this process shows to servers to prove who it is, kept out of every text that it shows.

A server or proxy may repeat it in what it says of an error: as it was sent, encoded, cut off, or
with blanks inside. Whoever reads a secret has it remembered here, and whoever shows what a server
said masks it here.
"""

import base64
import html
import json
import threading
from typing import Final, NamedTuple
from urllib.parse import quote, quote_plus

_MASK: Final = "…"
_PIECE: Final = 8
"""So many characters of a secret in a row are masked; of a shorter secret all of them."""
_MOST: Final = 100
"""Secrets that are remembered: a token's file may be renewed for as long as a process runs."""

_LONGEST: Final = 4096
_LONG: Final = 16
"""Characters of a secret that is no word that a text could have for itself."""

_lock = threading.Lock()
_secrets: dict[tuple[str, str], set[str]] = {}


class _Masks(NamedTuple):
    """What is looked for: pieces by their size, and whole forms, the longest first."""

    pieces: dict[int, set[str]]
    whole: list[str]


_current = [_Masks({}, [])]
"""The one in use, which a thread that remembers another secret replaces in one step."""


def remember_secret(secret: str, user: str = "") -> None:
    """Mask it from now on, in all forms in which it is sent; with ``user`` also as basic auth."""
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
    """What a server said, with each piece of a secret as an ellipsis; in time linear to it."""
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
    """A text of Heptad's own without long secrets, should one have come into it all the same."""
    for form in _current[0].whole:
        if form in text:
            text = text.replace(form, _MASK)
    return text


def _write(user: str, secret: str) -> set[str]:
    """The forms in which it may come back."""
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
    """Blanks and what is not seen may stand between the letters of a secret."""
    return letter.isprintable() and not letter.isspace() and letter not in "=\\"
