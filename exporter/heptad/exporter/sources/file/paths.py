"""Paths of log files: opened without surprises, and written as text though their names are bytes.

A name on Linux is any bytes but ``/`` and NUL. Python holds those that are not UTF-8 as lone
surrogates, which neither JSON nor an event can carry.
"""

import base64
import errno
import os
import stat
from pathlib import Path
from typing import Final

from heptad.core.terminal import show_path

_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BYTES: Final = "\0"
"""Begins a key that is not the path itself: no path has it."""


_PASSING: Final = frozenset(
    (
        errno.ESTALE,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.EAGAIN,
        errno.EINTR,
        errno.ETIMEDOUT,
    )
)


def is_passing(error: Exception) -> bool:
    """Whether it says nothing of the file, but of the moment: it may be read a little later."""
    return isinstance(error, OSError) and error.errno in _PASSING


def key_of(path: str) -> str:
    """The path as text that ``path_of`` turns back: itself, where it is UTF-8."""
    name = os.fsencode(path)
    try:
        return name.decode()
    except UnicodeDecodeError:
        return _BYTES + base64.b64encode(name).decode()


def path_of(key: str) -> str:
    """The path that ``key_of`` made this key of."""
    if not key.startswith(_BYTES):
        return key
    return os.fsdecode(base64.b64decode(key[1:]))


def open_regular(path: Path, base: Path | None = None) -> int:
    """A descriptor of a regular file. Below ``base``, if one is given, no link is followed.

    Raises OSError, also for a folder, a FIFO, a socket or a device: none of them is waited for.
    """
    # before it is opened: a FIFO's writer would notice, and some devices act
    _refuse_special(path, path.stat() if base is None else path.lstat())
    number = os.open(path, _FLAGS) if base is None else _open_below(path, base)
    try:
        _refuse_special(path, os.fstat(number))
    except BaseException:
        os.close(number)
        raise
    return number


def _refuse_special(path: Path, status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise OSError(errno.ELOOP, "a symbolic link, which is not followed", show_path(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", show_path(path))


def _open_below(path: Path, base: Path) -> int:
    """Open step by step, so that no folder can become a link in between."""
    if not path.is_relative_to(base):
        base = path.parent
    *folders, name = path.relative_to(base).parts
    here = os.open(base, _FOLDER & ~os.O_NOFOLLOW)
    try:
        for folder in folders:
            inner = os.open(folder, _FOLDER, dir_fd=here)
            os.close(here)
            here = inner
        return os.open(name, _FLAGS | os.O_NOFOLLOW, dir_fd=here)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise OSError(
                errno.ELOOP, "a symbolic link, which is not followed", show_path(path)
            ) from None
        raise
    finally:
        os.close(here)
