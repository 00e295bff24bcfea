"""What the aggregator computes from the events."""

from collections.abc import Sequence

import msgspec

from heptad.aggregator.detection.ignore import Ignored
from heptad.aggregator.detection.rules import DetectionRule
from heptad.aggregator.reports import Report


class Plan(msgspec.Struct):
    """Rules, reports and their settings; times in seconds."""

    rules: list[DetectionRule]
    reports: Sequence[Report]
    max_wait: float = 120.0
    allowed_lateness: float = 7 * 86_400.0
    ignored: Ignored = msgspec.field(default_factory=Ignored)
