"""How much a test tries: `make check` tries a part of what `make test` does.

A search over many examples finds most faults with its first few, and the inner loop is waited for.
"""

import os
from typing import Final

BRIEF: Final = os.environ.get("HEPTAD_TESTS") == "brief"
"""Whether this is the inner loop."""
PART: Final = 10
"""One of so many tries is left in the inner loop."""


def tries(number: int) -> int:
    """How many of so many tries a test does, at least three."""
    return max(number // PART, 3) if BRIEF else number
