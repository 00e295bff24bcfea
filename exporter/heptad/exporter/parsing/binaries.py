"""Path patterns for the binaries of a program, and their validation.

Distributions install the same binary at different places, so a path in a rule also matches by its
file name in the other folders where only root installs programs. A path alone proves nothing: see
heptad.exporter.normalize.provenance.
"""

import re
from collections.abc import Iterable, Iterator, Set
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

_SYSTEM: Final = re.compile(
    r"(?:"
    r"(?:/usr(?:/local)?)?/s?bin"
    r"|(?:/usr(?:/local)?)?/lib(?:32|64|x32|exec)?(?:/[^/]+)*"
    r"|/(?:nix|gnu)/store/[^/]+(?:/[^/]+)*"  # NixOS, Guix
    r"|/run/wrappers/wrappers\.[^/]+"  # setuid programs of NixOS
    r"|/run/setuid-programs|/run/privileged/bin"  # setuid programs of Guix
    r")"
)
_WRAPPED: Final = re.compile(r"\.(.+)-(?:wrapped|real)")
"""How Nix and Guix name the binary behind a script that sets its environment."""

_OPEN: Final = (
    *("/home", "/var/home", "/usr/home", "/run/user", "/proc"),
    *("/tmp", "/var/tmp", "/dev/shm"),  # noqa: S108 - they are rejected
)
"""Folders in which users other than root keep binaries."""
_MOST_RECENT: Final = 256


class Binaries(Set[str]):
    """The binaries at ``paths`` and, by file name, in the system's folders.

    In a path, `*` and `?` match within a name, and `**` matches any number of folders. The paths in
    ``own`` match only as they are written.
    """

    def __init__(self, paths: Iterable[str], own: Iterable[str] = ()) -> None:
        self._given = paths, own = list(paths), list(own)
        self._exact = frozenset(path for path in paths + own if not _is_pattern(path))
        names = (path.rpartition("/")[2] for path in paths)
        self._names = frozenset(name for name in names if not _is_pattern(name))
        self._patterns = tuple(_compile(path) for path in paths + own if _is_pattern(path))
        self._recent: dict[str, bool] = {}

    def beside(self, own: Iterable[str]) -> "Binaries":
        """Return a copy that also has the paths of ``own``."""
        paths, known = self._given
        return Binaries(paths, [*known, *own])

    def __contains__(self, exe: object) -> bool:
        if not isinstance(exe, str):
            return False
        if exe in self._exact:
            return True
        known = self._recent.get(exe)
        if known is None:
            if len(self._recent) >= _MOST_RECENT:
                self._recent.clear()
            known = self._recent[exe] = self._match(exe)
        return known

    def __iter__(self) -> Iterator[str]:
        paths, own = self._given
        return iter(dict.fromkeys([*paths, *own]))

    def __len__(self) -> int:
        paths, own = self._given
        return len({*paths, *own})

    def _match(self, exe: str) -> bool:
        folder, _, name = exe.rpartition("/")
        if wrapped := _WRAPPED.fullmatch(name):
            name = wrapped[1]
        if name in self._names and _is_canonical(exe) and _SYSTEM.fullmatch(folder):
            return True
        return any(pattern.fullmatch(exe) for pattern in self._patterns)


def _is_pattern(path: str) -> bool:
    return "*" in path or "?" in path


def _is_canonical(path: str) -> bool:
    return path.startswith("/") and not {"", ".", ".."} & set(path[1:].split("/"))


@lru_cache(maxsize=256)
def _compile(path: str) -> re.Pattern[str]:
    """Compile to a pattern that matches in linear time: name by name."""
    parts = []
    for part in path[1:].split("/"):
        name = re.escape(re.sub(r"\*+", "*", part)).replace(r"\*", "[^/]*")
        parts.append("(?:/[^/]+)*" if part == "**" else "/" + name.replace(r"\?", "[^/]"))
    return re.compile("".join(parts), re.DOTALL)


def check_path(path: str) -> str | None:
    """Return what is wrong with a path or pattern of a binary; None if it is valid."""
    parts = path[1:].split("/")
    if len(path) > 1024 or not path.isprintable() or not _is_canonical(path):
        return "must be an absolute path without `.`, `..` and `//`"
    if {"[", "]", "{", "}", "\\"} & set(path):
        return f"`{path}`: only `*`, `?` and `/**/` are valid wildcards"
    for folder in _OPEN:
        if _reaches(parts, folder[1:].split("/")):
            return (
                f"`{path}` matches files below {folder}, where ordinary users can write; use a "
                "directory that only root can write to"
            )
    wild = [part for part in parts if "**" in part]
    if wild not in ([], ["**"]) or parts[-1] == "**":
        return (
            f"`{path}`: use `**` at most once, between slashes and before the file name, for "
            "example /opt/**/sshd"
        )
    return None


def check_paths(paths: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield what is wrong with each invalid path, with its index."""
    for number, path in enumerate(paths):
        if fault := check_path(path):
            yield number, fault


def _reaches(parts: list[str], folder: list[str]) -> bool:
    """Return whether a path that matches ``parts`` may be in ``folder`` or below it."""
    if not folder:
        return True
    if not parts:
        return False
    if "**" in parts[0]:
        return _reaches(parts, folder[1:]) or _reaches(parts[1:], folder)
    return fnmatchcase(folder[0], parts[0]) and _reaches(parts[1:], folder[1:])
