"""The ways in which rules look at a subject's events: what several rules share.

``facts`` adds events up, ``groups`` joins what lies close together, ``dense`` looks for enough
within a width, ``pair`` for one thing after another, ``novelty`` for what was not seen before.
"""

from typing import Final

MINUTES_A_DAY: Final = 1440
GAP: Final = 60
"""Events of one subject and UTC day that are at most so many minutes apart are one finding."""
