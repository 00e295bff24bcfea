"""The alerting rules: one table, from which rule files and docs/alerts.md are generated.

``python -m provisioning.alerts`` writes both; a test fails if they differ from the table.
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
"""Name of a rule file → its group."""
