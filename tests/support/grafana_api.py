"""A Grafana that responds as documented, and stores what it receives."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.support.scripted_server import Asked, ScriptedServer

CONTRACT = yaml.safe_load((Path(__file__).parent / "contract/grafana.yaml").read_text("utf-8"))
REFUSALS: dict[str, tuple[int, Any]] = {
    name: (status, body) for name, (status, body) in CONTRACT["refusals"].items()
}
TOKEN = "glsa_of_a_service_account"


class GrafanaApi:
    """``datasources``, ``folders`` and ``dashboards`` by uid, ``secrets`` of each data source.

    ``refuse``: method and start of a path → the name of a refusal. ``meanwhile``: called before
    each request that changes something.
    """

    def __init__(self) -> None:
        self.datasources: dict[str, dict[str, Any]] = {}
        self.folders: dict[str, dict[str, Any]] = {}
        self.dashboards: dict[str, dict[str, Any]] = {}
        self.secrets: dict[str, dict[str, str]] = {}
        self.refuse: dict[tuple[str, str], str] = {}
        self.meanwhile: Callable[[], object] = lambda: None
        self.server = ScriptedServer(self._answer)

    def add_datasource(self, uid: str, kind: str) -> None:
        """Add a data source of this type, as if a user had created it."""
        self.datasources[uid] = {
            **CONTRACT["datasource"],
            "id": 1,
            "uid": uid,
            "name": uid,
            "type": kind,
        }

    def changes(self) -> list[tuple[str, str]]:
        """Return method and path of the requests that change something."""
        return [(asked.method, asked.path) for asked in self.server.changes()]

    def _answer(self, asked: Asked) -> tuple[int, Any]:
        if asked.authorization != f"Bearer {TOKEN}":
            return REFUSALS["invalid_token"]
        for (method, path), name in self.refuse.items():
            if asked.method == method and asked.path.startswith(path):
                return REFUSALS[name]
        if asked.method != "GET":
            self.meanwhile()
        kind, *rest = asked.path.removeprefix("/api/").split("/")
        uid = rest[-1] if rest else ""
        if kind == "frontend":
            listed = {one["name"]: one for one in self.datasources.values()}
            return 200, {**CONTRACT["settings"], "datasources": listed}
        answers = {
            "datasources": self._datasource,
            "folders": self._folder,
            "dashboards": self._dashboard,
        }
        return answers[kind](asked.method, uid, asked.body)

    def _datasource(self, method: str, uid: str, body: Any) -> tuple[int, Any]:
        if method != "POST" and uid not in self.datasources:
            return REFUSALS["no_datasource"]
        if method == "GET":
            return 200, self.datasources[uid]
        if method == "PUT" and self.datasources[uid]["readOnly"]:
            return REFUSALS["read_only"]
        uid = body["uid"]
        others = [d for d in self.datasources.values() if method == "POST" or d["uid"] != uid]
        if any(other["name"] == body["name"] for other in others):
            return REFUSALS["datasource_exists"]
        secrets = self.secrets.setdefault(uid, {})
        secrets |= body.pop("secureJsonData", {})
        fields = {"secureJsonFields": dict.fromkeys(secrets, True)}
        self.datasources[uid] = {**CONTRACT["datasource"], "id": 1, **body, **fields}
        told = {"id": 1, "name": body["name"], "datasource": self.datasources[uid]}
        return 200, {**told, "message": "Datasource added"}

    def _folder(self, method: str, uid: str, body: Any) -> tuple[int, Any]:
        if method == "POST":
            if body["uid"] in self.folders:
                return REFUSALS["folder_exists"]
            uid = body["uid"]
            self.folders[uid] = {"id": 2, **CONTRACT["folder"], **body}
        return (200, self.folders[uid]) if uid in self.folders else REFUSALS["no_folder"]

    def _dashboard(self, method: str, uid: str, body: Any) -> tuple[int, Any]:
        if method == "GET":
            return (
                (200, self.dashboards[uid]) if uid in self.dashboards else REFUSALS["no_dashboard"]
            )
        board, uid = body["dashboard"], body["dashboard"]["uid"]
        there = self.dashboards.get(uid)
        if body["folderUid"] not in ("", *self.folders):
            return REFUSALS["no_folder"]
        if there is not None:
            if there["meta"].get("provisioned"):
                return REFUSALS["provisioned"]
            if board.get("version") != there["dashboard"]["version"] and not body["overwrite"]:
                return REFUSALS["changed"]
        version = there["dashboard"]["version"] + 1 if there else 1
        own = {"id": 7, "version": version}
        meta = {**CONTRACT["meta"], "folderUid": body["folderUid"], "provisioned": False}
        self.dashboards[uid] = {"dashboard": {**board, **own}, "meta": meta}
        return 200, {**CONTRACT["saved"], **own, "uid": uid}
