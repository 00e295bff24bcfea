"""Undo how daemons escape user names in their logs.

Only known escapes are undone, and only if the result is unambiguous: two accounts never get the
same name. A name that is not UTF-8 has ``\\xff`` for a byte and doubled backslashes, and so does a
name that could be mistaken for one. A name with a control character, which no account has, is left
as it was logged.
"""

import re
from typing import Final

_BY_VIS: Final = re.compile(
    r"(?:[\t\n -\[\]-~]|\\(?:[\\nrbavtfs]|0[0-3][0-7]|177|[23][0-7][0-7]))*"
)
"""The output of vis(3) with or without VIS_OCTAL, VIS_CSTYLE: openssh-portable,
openbsd-compat/vis.c."""
_VIS: Final = re.compile(rb"\\(?:([0-7]{3})|(.))", re.DOTALL)
_LETTERS: Final = dict(zip(b"nrbavtfs\\", b"\n\r\b\a\v\t\f \\", strict=True))
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")
_LOOKS_SPELLED: Final = re.compile(r"\\x[0-9a-f]{2}")

_BY_RUST: Final = re.compile(r"(?:[^\\]|\\(?:[\\'\"tnr0]|u\{[0-9a-f]{1,6}\}))*", re.DOTALL)
"""The output of str::escape_debug(): Rust's library, core::char."""
_RUST: Final = re.compile(r"\\(?:u\{([0-9a-f]{1,6})\}|(.))", re.DOTALL)
_RUST_LETTERS: Final = {"t": "\t", "n": "\n", "r": "\r", "0": "\0"}
_END_OF_UNICODE: Final = 0x110000
_SURROGATES: Final = range(0xD800, 0xE000)


def undo_vis(text: str, *, by_child: bool) -> str | None:
    """Return the name that sshd logged as ``text``; None if it is ambiguous.

    Before sshd 10.0, messages of its unprivileged child (``by_child``) are escaped twice, since
    then once.
    """
    once = _read_vis(text)
    if once is None:
        return text
    if by_child and once.isascii():
        twice = _read_vis(once.decode("ascii"))
        if twice is not None and twice != once and _CONTROL.search(twice) is None:
            return None
    return text if _CONTROL.search(once) else _spell(once)


def _read_vis(text: str) -> bytes | None:
    if _BY_VIS.fullmatch(text) is None:
        return None
    return _VIS.sub(
        lambda found: bytes((int(found[1], 8) if found[1] else _LETTERS[found[2][0]],)),
        text.encode("ascii"),
    )


def _spell(name: bytes) -> str:
    try:
        text = name.decode()
    except UnicodeDecodeError:
        pass
    else:
        if _LOOKS_SPELLED.search(text) is None:
            return text
    return name.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def undo_rust(text: str) -> str:
    """Return the name that sudo-rs logged as ``text``."""
    if _BY_RUST.fullmatch(text) is None:
        return text
    codes = [int(found[1], 16) for found in _RUST.finditer(text) if found[1]]
    if any(code >= _END_OF_UNICODE or code in _SURROGATES for code in codes):
        return text
    return _RUST.sub(
        lambda found: chr(int(found[1], 16)) if found[1] else _RUST_LETTERS.get(found[2], found[2]),
        text,
    )
