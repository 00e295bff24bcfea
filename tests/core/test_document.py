"""Reading a document: every error at once with its place, and nothing but DocumentError."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from heptad.core.config import small_file
from heptad.core.config.strict_yaml import DocumentError, load, parse


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    """A part."""

    size: int
    word: str = "x"


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    """A document with one of everything."""

    name: str = ""
    inner: Inner | None = None
    parts: list[Inner] = []
    table: dict[str, int] = {}


def faults(text: str) -> list[tuple[str, str]]:
    """The place and message of every problem in ``text``."""
    with pytest.raises(DocumentError) as caught:
        parse(text, "f", Outer)
    for problem in caught.value.problems:
        assert str(problem) == f"f:{problem.place}: {problem.message}"
        assert "\n" not in str(problem)
    return [(problem.place, problem.message) for problem in caught.value.problems]


def test_a_sound_document() -> None:
    """A document becomes the structure it describes; an empty one has the defaults."""
    text = "name: a\ninner: {size: 1}\nparts:\n- size: 2\n  word: b\ntable: {x: 3}\n"
    assert parse(text, "f", Outer) == Outer("a", Inner(1), [Inner(2, "b")], {"x": 3})
    for empty in ("", "# nothing\n", "{}", "---\n"):
        assert parse(empty, "f", Outer) == Outer()


def test_every_error_at_once() -> None:
    """Unknown keys, wrong types, missing and doubled keys are all told, in order of place."""
    text = (
        "name: [1]\n"
        "nmae: x\n"
        "inner:\n"
        "  word: w\n"
        "parts:\n"
        "- size: two\n"
        "- size: 3\n"
        "  colour: red\n"
        "- size: 4\n"
        "  size: 5\n"
        "table: {x: y}\n"
    )
    found = faults(text)
    assert [place for place, _ in found] == ["1:7", "2:7", "4:3", "6:9", "8:11", "10:3", "11:8"]
    told = [message for _, message in found]
    assert "name: Expected `str`" in told[0]
    assert told[1] == "nmae: unknown key; valid keys: inner, name, parts, table"
    assert "inner: the key `size` is missing" in told[2]
    assert told[3].startswith("parts.0.size: Expected `int`")
    assert told[4] == "parts.1.colour: unknown key; valid keys: size, word"
    assert told[5] == "the key `size` appears twice; remove one of them"


@pytest.mark.parametrize(
    "text, place",
    [
        ("name: 'x", "1:9"),
        ("a: b: c", "1:5"),
        ("\tname: x", "1:1"),
        ("name: x\n---\nname: y\n", "2:1"),
        ("name: *nobody", "1:7"),
        ("name: x\0", "1:1"),
        ("? [a, b]\n: c\n", "1:3"),
        ("- 1\n", "1:1"),
        ("text", "1:1"),
        ("name: !!python/object:os.system x", "1:7"),
        ("name: !unknown x", "1:7"),
    ],
)
def test_what_is_not_a_document(text: str, place: str) -> None:
    """A text that is no YAML, or other YAML than asked for, is told with the place."""
    assert faults(text)[0][0] == place


@pytest.mark.parametrize(
    "value",
    ["!!int ''", "!!int x", "!!float ''", "!!bool maybe", "!!timestamp noon", "2001-13-45"],
)
def test_a_tag_that_does_not_hold(value: str) -> None:
    """A value that is not what its tag says is told, not a traceback."""
    [(place, message)] = faults(f"name: {value}\n")
    assert (place, message.partition(":")[0]) == ("1:7", "invalid value")


def laugh() -> str:
    """Nine aliases of nine aliases … : a kilobyte that stands for 9 to the tenth values."""
    lines = ["a0: &a0 [" + ", ".join("x" * 9) + "]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 9) + "]" for n in range(1, 10)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "- " * 100_000,
        "{a: " * 5000 + "}" * 5000,
        "".join(" " * n + "a:\n" for n in range(500)),
        laugh(),
        "&a [*a, *a]",
        "&a {b: *a}",
        "a: 1\n" * 400_000,
        "- x\n" * 400_000,
        "name: '" + "x" * 3_000_000,
        "name: " + "9" * 100_000,
        "? " * 10_000,
    ],
    ids=lambda text: text[:8] + str(len(text)),
)
def test_what_would_exhaust_the_reader(text: str) -> None:
    """Deep nesting, bombs of aliases and endless files are refused with few words and little work."""
    begun = time.process_time()
    found = faults(text)
    assert time.process_time() - begun < 5
    assert len(found) <= 50
    assert max(len(message) for _, message in found) < 1000


def test_many_errors_are_bounded() -> None:
    """Of very many errors the first fifty are reported, and that the list was cut."""
    *listed, last = faults("".join(f"k{n}: 1\n" for n in range(10_000)))
    assert len(listed) == 50
    assert "only 50 errors are listed" in last[1]


def test_files(tmp_path: Path) -> None:
    """A file that is missing, a folder, not UTF-8 or too large is one problem that names it."""
    missing, binary, large = (tmp_path / name for name in ("missing", "binary", "large"))
    binary.write_bytes(b"name: \xff\xfe\n")
    large.write_bytes(b"#" * (5 * 2**20))
    for path in (missing, tmp_path, binary, large):
        with pytest.raises(DocumentError) as caught:
            load(path, Outer)
        assert str(caught.value).startswith(f"{path}:0:0: cannot be read: ")
        assert "\n" not in str(caught.value)
    with pytest.raises(DocumentError, match="byte 7 is not UTF-8"):
        load(binary, Outer)
    sound = tmp_path / "sound"
    sound.write_text("name: ä\n", encoding="utf-8")
    assert load(sound, Outer) == Outer("ä")


def test_expand_and_check() -> None:
    """Every string value is expanded once; the check's faults come with the others."""

    def expand(text: str) -> str:
        if text == "bad":
            raise LookupError("bad is bad")
        return text.upper()

    def check(outer: Outer) -> list[tuple[tuple[str | int, ...], str]]:
        return [(("parts", 0, "size"), "too small")]

    assert parse("name: a\nparts: [{size: 1, word: b}]", "f", Outer, expand) == Outer(
        "A", None, [Inner(1, "B")]
    )
    with pytest.raises(DocumentError) as caught:
        parse("name: bad\nwho: x\nparts:\n- size: 1\n", "f", Outer, expand, check)
    assert [(p.place, p.message.partition(";")[0]) for p in caught.value.problems] == [
        ("1:7", "bad is bad"),
        ("2:6", "who: unknown key"),
        ("4:9", "parts.0.size: too small"),
    ]


WORDS = st.sampled_from(
    [
        *"name inner parts table size word x 1 -1 1e9 true null ~ & * &a *a ! !!int !!str".split(),
        *"- : ? , [ ] { } ' \" | > # % @ ` --- ... << = 0x 0o 1:30 2001-01-01 .inf \\".split(),
        *("!!timestamp", "\t", "\r", "\n", "\n  ", " ", "\0", "\u2028", "\ufeff", "\U0001f600"),
    ]
)


@given(st.one_of(st.text(), st.lists(WORDS, max_size=40).map("".join)))
def test_arbitrary_text(text: str) -> None:
    """Whatever a file holds: it is the structure, or a DocumentError."""
    with suppress(DocumentError):
        assert isinstance(parse(text, "f", Outer), Outer)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from("name inner parts table size word y.z".split()), inner)
        | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_arbitrary_structure(value: object) -> None:
    """A sound YAML file of any shape is the structure, or a DocumentError."""
    with suppress(DocumentError):
        assert isinstance(parse(yaml.safe_dump(value), "f", Outer), Outer)


class Left(msgspec.Struct, tag="left", forbid_unknown_fields=True):
    """One of two."""

    name: str
    ways: list[str]
    size: int = 1


class Right(msgspec.Struct, tag="right", forbid_unknown_fields=True):
    """The other."""

    name: str
    road: str | None = None


class Deep(msgspec.Struct, forbid_unknown_fields=True):
    """Holds both, in a list and in a table."""

    sides: list[Left | Right] = []
    more: dict[str, Left | Right] = {}


def faults_of(text: str) -> list[str]:
    """What is told of a text, without its place."""

    def check(deep: Deep) -> Iterator[tuple[tuple[str | int, ...], str]]:
        for number, side in enumerate(deep.sides):
            if not side.name.islower():
                yield ("sides", number, "name"), "not lower"
            if isinstance(side, Left) and not side.ways:
                yield ("sides", number, "ways"), "no way"

    with pytest.raises(DocumentError) as caught:
        parse(text, "x", Deep, check=check)
    return [problem.message for problem in caught.value.problems]


@pytest.mark.parametrize(
    "text, told",
    [
        # a wrong type hides nothing else of its structure
        ("{type: lef, name: BAD, road: x, size: s}",
         ["type: Invalid", "name: not lower", "road: unknown", "the key `ways`", "size: Expected"]),
        # the keys say what was meant, where the word does not
        ("{type: quux, name: BAD, ways: []}", ["type: Invalid", "name: not lower", "ways: no way"]),
        ("{name: BAD, ways: []}", ["the key `type`", "name: not lower", "ways: no way"]),
        # nothing says it: only what is wrong either way
        ("{type: quux}", ["type: Invalid", "the key `name`"]),
        # a missing key hides nothing, and what follows from it alone is not told
        ("{type: left, ways: []}", ["the key `name`", "ways: no way"]),
        ("{type: left, name: [x], ways: [], size: s}", ["name: Expected", "ways: no way", "size: "]),
        ("{type: left, name: BAD}", ["the key `ways`", "name: not lower"]),
        ("[1]", ["Expected `object`"]),
    ],
)  # fmt: skip
def test_a_structure_tells_all_at_once(text: str, told: list[str]) -> None:
    """Whatever is wrong in it, the other faults of a structure come with it."""
    found = faults_of(f"sides: [{text}]")
    assert len(found) == len(told), found
    assert all(any(part in message for message in found) for part in told), found
    also = faults_of(f"sides: [{{type: up}}, {text}]")
    assert {message.replace("sides.1", "sides.0") for message in also} >= set(found)


def test_a_pipe(tmp_path: Path) -> None:
    """A document may come through a pipe, as of `--config <(…)`."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("name: x",))
    writer.start()
    assert load(pipe, Outer).name == "x"
    writer.join()


@pytest.mark.parametrize("begun", [False, True])
def test_a_pipe_that_never_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    """A pipe that nobody writes to, or that stays open, is read for a bounded time."""
    monkeypatch.setattr(small_file, "PATIENCE", 0.2)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)
    if begun:
        os.write(writer, b"name: x")
    else:
        os.close(writer)
    with pytest.raises(DocumentError, match="not a regular file"):
        load(pipe, Outer)
    if begun:
        os.close(writer)


@pytest.mark.parametrize("place", [".", "/dev/zero"])
def test_no_document(tmp_path: Path, place: str) -> None:
    """A folder, or a device without an end, is an error."""
    with pytest.raises(DocumentError, match="cannot be read"):
        load(tmp_path / place, Outer)


def test_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    """A file of any name is read, and its faults name it as text."""
    path = tmp_path / os.fsdecode(b"x\xff.yaml")
    path.write_text("name: 1")
    with pytest.raises(DocumentError) as refused:
        load(path, Outer)
    assert str(refused.value).encode()
