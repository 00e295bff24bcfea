"""Grafana over its HTTP API: data sources, a folder and the dashboards, put there or compared."""


class GrafanaError(Exception):
    """Grafana, or what is meant for it, cannot be used; the message says why and what to do."""
