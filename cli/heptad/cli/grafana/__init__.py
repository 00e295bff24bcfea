"""Grafana over its HTTP API: data sources, a folder and the dashboards, put there or compared."""


class GrafanaError(Exception):
    """Grafana, or what is meant for it, cannot be used; the message says why and what to do.

    ``status``: of Grafana's answer; 0 where there was none.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status
