"""For each alert what makes it fire, and what must not."""

from tests.provisioning.alert_cases import aggregator, exporter, host, logins

CASES = [*logins.COUNTED, *logins.FOUND, *exporter.CASES, *aggregator.CASES, *host.CASES]
