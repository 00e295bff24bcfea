"""The alerting rules: one table, from which Prometheus' rule files and docs/alerts.md are made.

``python -m provisioning.alerts`` writes both; a test fails when they and the table differ.
"""

from typing import Final

from provisioning.alerts.aggregator import AGGREGATOR
from provisioning.alerts.exporter import EXPORTER, SOURCES
from provisioning.alerts.fleet import FLEET
from provisioning.alerts.host import HOST
from provisioning.alerts.logins import COUNTED, FOUND
from provisioning.alerts.rule import RuleGroup

FILES: Final[dict[str, RuleGroup]] = {
    "logins.yml": COUNTED,
    "findings.yml": FOUND,
    "sources.yml": SOURCES,
    "exporter.yml": EXPORTER,
    "aggregator.yml": AGGREGATOR,
    "host.yml": HOST,
    "fleet.yml": FLEET,
}
"""Name of a rule file → the group in it."""
