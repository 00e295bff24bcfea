"""Where the configuration is, if nobody names a file."""

import os
from pathlib import Path
from typing import Final

VARIABLE: Final = "HEPTAD_CONFIG"
SYSTEM: Final = Path("/etc/heptad/heptad.yaml")


def default_paths() -> list[Path]:
    """Where it is looked for, in this order."""
    home = os.environ.get("HOME")
    folder = os.environ.get("XDG_CONFIG_HOME") or (home and f"{home}/.config")
    return [SYSTEM, Path(folder) / "heptad/heptad.yaml"] if folder else [SYSTEM]


def find_config(given: Path | None = None) -> Path | None:
    """``given``, else what $HEPTAD_CONFIG names, else the first of the default paths that exists.

    None if there is none, or $HEPTAD_CONFIG is set and empty. A file that is named need not exist:
    whoever reads it reports that.
    """
    if given is not None:
        return given
    named = os.environ.get(VARIABLE)
    if named is not None:
        return Path(named) if named else None
    return next(filter(_exists, default_paths()), None)


def describe_config(path: Path | None) -> str:
    """The file that is read, for a person."""
    return str(path) if path else "none, all options have their defaults"


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # but cannot be read, which is reported where it is read
    return True
