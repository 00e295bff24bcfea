"""A server that responds to setup and checks like 3 Core; see tests/support/contract."""

from pathlib import Path
from typing import Any

import yaml

from tests.support.scripted_server import Asked, ScriptedServer

CONTRACT: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parent / "contract" / "setup_3.yaml").read_text()
)
ADMIN = "apiv3_the-administrators-token"
_SECONDS = {"d": 86_400, "h": 3600, "s": 1}


class InfluxDB3:
    """Databases in memory, each with its retention in seconds; None: infinite."""

    def __init__(self) -> None:
        self.databases: dict[str, int | None] = {}
        self.written: list[str] = []
        self.hidden = False
        self.server = ScriptedServer(self._answer)

    def _answer(self, asked: Asked) -> tuple[int, Any]:
        if asked.authorization != f"Bearer {ADMIN}":
            return 401, CONTRACT["unauthorized"]
        if asked.path == "/ping":
            return 200, CONTRACT["ping"]
        if asked.path == "/api/v3/configure/database":
            return self._configure(asked)
        if asked.path == "/api/v3/query_sql":
            assert asked.query["db"] == "_internal"
            return 200, [
                CONTRACT["database"]
                | {"database_name": name, "retention_period_ns": keep and keep * 10**9}
                for name, keep in self.databases.items()
            ]
        if asked.path == "/query":
            return 200, {"results": [{"statement_id": 0}]}
        # a write creates the database
        self.written.append(asked.query["bucket"])
        self.databases.setdefault(asked.query["bucket"], None)
        return 204, None

    def _configure(self, asked: Asked) -> tuple[int, Any]:
        if asked.method == "GET":
            listed = [] if self.hidden else self.databases
            return 200, [{CONTRACT["listed"]: name} for name in listed]
        name, keep = asked.body["db"], asked.body["retention_period"]
        if name in self.databases:
            return 409, CONTRACT["exists"]
        if len(self.databases) == 5:
            return 422, CONTRACT["too_many"]
        self.databases[name] = int(keep[:-1]) * _SECONDS[keep[-1]]
        return 200, None
