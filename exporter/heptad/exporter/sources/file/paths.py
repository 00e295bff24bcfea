"""Paths of log files: opening them safely, and writing names that are not UTF-8 as text.

A name on Linux is any bytes except ``/`` and NUL. Python represents those that are not UTF-8 with
lone surrogates, which neither JSON nor an event can contain.
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
"""Prefix of a key that is not the path itself; no path contains it."""


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
    """Return whether the error is temporary, so the file may be readable a little later."""
    return isinstance(error, OSError) and error.errno in _PASSING


def key_of(path: str) -> str:
    """Encode a path as text: unchanged if it is UTF-8."""
    name = os.fsencode(path)
    try:
        return name.decode()
    except UnicodeDecodeError:
        return _BYTES + base64.b64encode(name).decode()


def path_of(key: str) -> str:
    """Decode the result of ``key_of``."""
    if not key.startswith(_BYTES):
        return key
    return os.fsdecode(base64.b64decode(key[1:]))


def open_regular(path: Path, base: Path | None = None) -> int:
    """Open a regular file; if ``base`` is given, no link below it is followed.

    Returns a descriptor. Raises OSError, also for a directory, FIFO, socket or device; never
    blocks.
    """
    # before opening: the writer of a FIFO would notice, and opening some devices has effects
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
    """Open step by step, so that no folder can be replaced by a link in between."""
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
