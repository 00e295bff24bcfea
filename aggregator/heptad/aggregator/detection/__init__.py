"""What detection rules share.

``facts`` sums up events. The kinds of rules: ``grouping`` (every event matters), ``threshold``
(enough within a span), ``sequence`` (one event after others), ``new_terms`` (not seen before).
"""

from typing import Final

MINUTES_A_DAY: Final = 1440
GAP: Final = 60
"""Events of one key and UTC day that are at most this many minutes apart are one finding."""
