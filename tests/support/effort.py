"""How much a test tries: `make check` runs a part of what `make test` does.

The first examples of a search find most faults, and developers wait for `make check`.
"""

import os
from typing import Final

BRIEF: Final = os.environ.get("HEPTAD_TESTS") == "brief"
"""Whether `make check` is running."""
PART: Final = 10
"""`make check` runs one try of this many."""


def tries(number: int) -> int:
    """Return the number of tries, at least three."""
    return max(number // PART, 3) if BRIEF else number
