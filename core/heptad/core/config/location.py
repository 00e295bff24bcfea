"""The location of the configuration file."""

import os
from pathlib import Path
from typing import Final

VARIABLE: Final = "HEPTAD_CONFIG"
SYSTEM: Final = Path("/etc/heptad/heptad.yaml")


def default_paths() -> list[Path]:
    """Return the default paths, in the order in which they are tried."""
    home = os.environ.get("HOME")
    folder = os.environ.get("XDG_CONFIG_HOME") or (home and f"{home}/.config")
    return [SYSTEM, Path(folder) / "heptad/heptad.yaml"] if folder else [SYSTEM]


def find_config(given: Path | None = None) -> Path | None:
    """Return ``given``, else $HEPTAD_CONFIG, else the first default path that exists.

    Return None if no file exists, or if $HEPTAD_CONFIG is empty. A file that is set explicitly need
    not exist: the error is reported when it is read.
    """
    if given is not None:
        return given
    named = os.environ.get(VARIABLE)
    if named is not None:
        return Path(named) if named else None
    return next(filter(_exists, default_paths()), None)


def describe_config(path: Path | None) -> str:
    """Return the path of the configuration file as text for the log and the terminal."""
    return str(path) if path else "none, all options have their defaults"


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # it exists but cannot be accessed; the error is reported when it is read
    return True
