"""The entry of the command: signals are expected before the command line is loaded."""

import sys

from heptad.cli.runtime.early_signals import expect_signals


def main() -> int:
    """Run a command; gives the exit status."""
    expect_signals(*sys.argv[1:2])
    from heptad.cli.main import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
