"""Values of 200,000 characters in every key of every file that a person writes."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs.generate.configuration import find_options
from heptad.core import units
from heptad.core.config.schema import load_config
from heptad.core.config.strict_yaml import DocumentError
from heptad.core.config.web import load_web_config

LENGTH = 200_000
PIECES = [
    "1",
    "1s",
    "1.",
    "1.1",
    "1 ",
    "1h30m ",
    "-",
    "/",
    "*",
    "[a",
    "a",
    "a.",
    "${a:-",
    "$$",
    " - at `$.",
    "`",
    ":",
    "\u0661",
    "é\u0301",
    "\n",
    "\\",
]
LONGEST = 10.0
"""Seconds, of which most are for reading so long a text at all."""


def nest(key: str, value: Any, into: dict[str, Any]) -> None:
    """Put a value at a key of a configuration; each name of a list's item begins an item."""
    *outer, last = key.split(".")
    for name in outer:
        inner: Any = into.setdefault(name.removesuffix("[]"), [{}] if name.endswith("[]") else {})
        into = inner[0] if isinstance(inner, list) else inner
    into[last] = value


def make_configurations(value: Any) -> Iterator[dict[str, Any]]:
    """Every key has that value, a dozen keys in one file."""
    every = [option.key for option in find_options()]
    keys = [key for key in every if not any(k.startswith((f"{key}.", f"{key}[]")) for k in every)]
    for start in range(0, len(keys), 12):
        data: dict[str, Any] = {}
        for key in keys[start : start + 12]:
            nest(key, value, data)
        yield data


def faults(path: Path) -> list[str]:
    """What is wrong with a configuration."""
    try:
        load_config(path)
    except DocumentError as error:
        return [str(problem) for problem in error.problems]
    return [""]


@pytest.mark.table
@pytest.mark.parametrize("piece", PIECES)
def test_configuration(piece: str, tmp_path: Path) -> None:
    """Each is refused or taken at once, with a message that can be read."""
    value = (piece * LENGTH)[:LENGTH]
    path = tmp_path / "heptad.yaml"
    keys = {value: value, "store": {value: 1}, "sources": [{value: 1}], "rules": [[value]]}
    for data in (*make_configurations(value), keys):
        path.write_text(yaml.dump(data, Dumper=yaml.CSafeDumper, width=2**30), "utf-8")
        begun = time.process_time()
        assert max(map(len, faults(path))) < 2000
        assert time.process_time() - begun < LONGEST, piece


@pytest.mark.table
@pytest.mark.parametrize("piece", PIECES)
def test_web_config(piece: str, tmp_path: Path) -> None:
    """So in the file that secures a port."""
    value = (piece * LENGTH)[:LENGTH]
    path = tmp_path / "web.yml"
    keys = ("cert_file", "key_file", "client_ca_file", "client_auth_type", "min_version")
    for data in (
        {value: value},
        {"basic_auth_users": {value: value, "a": value, "b": "$2b$10$" + value}},
        {"tls_server_config": dict.fromkeys(keys, value)},
    ):
        path.write_text(yaml.dump(data, Dumper=yaml.CSafeDumper, width=2**30), "utf-8")
        begun = time.process_time()
        with pytest.raises(DocumentError) as caught:
            load_web_config(path)
        assert max(len(str(problem)) for problem in caught.value.problems) < 2000
        assert time.process_time() - begun < LONGEST, piece


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize(
    "parse", [units.parse_duration, units.parse_size, units.parse_time, units.parse_zone]
)
def test_units(parse: Callable[[str], object], piece: str) -> None:
    """So where a duration, a size, a time or a zone is written on the command line."""
    begun = time.process_time()
    with pytest.raises(ValueError, match=r"no|exceed|out of range") as caught:
        parse((piece * LENGTH)[:LENGTH])
    assert len(str(caught.value)) < 500
    assert time.process_time() - begun < 0.5
