"""The entry of the command: signals are expected before the command line is loaded."""

import sys

from heptad.early import expect_signals


def main() -> int:
    """Run a command; gives the exit status."""
    expect_signals(*sys.argv[1:2])
    from heptad.__main__ import main as run  # noqa: PLC0415 - a quarter of a second

    return run()
