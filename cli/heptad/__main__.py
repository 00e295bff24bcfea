"""The entry point of the command; it handles signals before the command line is imported."""

import sys

from heptad.cli.runtime.early_signals import expect_signals


def main() -> int:
    """Run a command; return the exit status."""
    expect_signals(*sys.argv[1:2])
    from heptad.cli.main import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
