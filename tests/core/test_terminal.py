"""What an attacker wrote into a log must not act on the terminal of who reads it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.core.terminal import columns, printable

ANY_TEXT = st.text(st.characters(), max_size=80)


@pytest.mark.parametrize(
    "text, shown",
    [
        ("root", "root"),
        ("Müller 管理者", "Müller 管理者"),
        ("DOMAIN\\user", "DOMAIN\\user"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("\x07\x00\x7f\x9b", "\\x07\\x00\\x7f\\x9b"),
        ("a\tb\nc\r", "a\\tb\\nc\\r"),
        ("a\u202eb\u2066", "a\\u202eb\\u2066"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("\udcff", "\\udcff"),
        ("\u3164", "\\u3164"),
        ("e\u0301", "e\u0301"),
        ("\u0301e\u0301\u0301", "\\u0301e\u0301\\u0301"),
    ],
)
def test_shows_escapes_instead_of_what_acts(text: str, shown: str) -> None:
    """Letters of any script stay, and control, format and invisible characters become escapes."""
    assert printable(text) == shown


@pytest.mark.parametrize(
    "text, width, shown",
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abcde…"),
        ("管理者", 6, "管理者"),
        ("管理者", 5, "管理…"),
        ("管理者", 4, "管…"),
        ("\x1b\x1b", 6, "\\x1b\\…"),
        ("abc", 0, ""),
        ("", 3, ""),
    ],
)
def test_cuts_at_a_width(text: str, width: int, shown: str) -> None:
    """What is wider than asked for is cut, and says so."""
    assert printable(text, width) == shown


@given(ANY_TEXT, st.none() | st.integers(0, 40))
def test_never_lets_anything_act(text: str, width: int | None) -> None:
    """Whatever the text: the answer is one printable line, encodable, no wider than asked for."""
    shown = printable(text, width)
    assert shown.isprintable()
    shown.encode()
    if width is not None:
        assert columns(shown) <= width


def test_does_not_look_at_what_it_does_not_show() -> None:
    """A name of a mebibyte costs no more than the columns it may take."""
    assert printable("\x1b" * 2**20, 10) == "\\x1b\\x1b\\…"
