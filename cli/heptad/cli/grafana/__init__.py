"""Grafana over its HTTP API: install or compare data sources, a folder and the dashboards."""


class GrafanaError(Exception):
    """Grafana, or its settings, cannot be used; the message says why and what to do.

    ``status``: that of Grafana's response; 0 if there was none.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status
