"""Progress bars for commands that take long."""

import sys
from typing import Any

from tqdm import tqdm

from heptad.cli.screen import unscreened
from heptad.core.terminal import printable


def make_bar(name: str, total: int, unit: str) -> "tqdm[Any]":
    """Create a bar on standard error; it appears after a second, and only on a terminal.

    ``total`` is 0 if unknown; bytes (``B``) are shown in KiB, MiB and so on.
    """
    return tqdm(
        total=total or None,
        desc=printable(name, 30),
        unit=unit,
        unit_scale=True,
        unit_divisor=1024 if unit == "B" else 1000,
        delay=1,
        leave=False,
        disable=not sys.stderr.isatty(),
        file=unscreened(sys.stderr),
    )
