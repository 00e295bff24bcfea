"""The two flavours of JSON: for file provisioning, and for Grafana's import dialog."""

import json
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards.frame import SOURCES
from heptad.cli.grafana.datasources import UIDS

_NAMES: Final = {"prometheus": "Prometheus", "influxdb": "InfluxDB"}
_GRAFANA: Final = "11.6.0"
"""The version of the SDK's schema; later versions of Grafana convert it when they load it."""


def provisioned(board: dashboard.Dashboard) -> dict[str, Any]:
    """Return the dashboard as plain data; its variables refer to the provisioned data sources."""
    content: dict[str, Any] = json.loads(JSONEncoder().encode(board.build()))
    return content


def importable(content: dict[str, Any]) -> dict[str, Any]:
    """Return the dashboard for the import dialog, which asks for each data source.

    The selection replaces `${DS_…}`, here the value of a variable. The variables are visible:
    Grafana up to 10.0 ignores the selection, and users must see which data source is used.
    """
    listed = content["templating"]["list"]
    variables = {variable["name"] for variable in listed}
    shown = [{**one, "hide": 0} if one["type"] == "datasource" else one for one in listed]
    text = json.dumps({**content, "templating": {**content["templating"], "list": shown}})
    used = {name: kind for name, (kind, _) in SOURCES.items() if f"{name}_datasource" in variables}
    for name in used:
        text = text.replace(f'"{UIDS[name]}"', f'"{_input(name)}"')
    panels = {panel["type"] for panel in content["panels"]} - {"row"}
    requires = [
        {"type": "grafana", "id": "grafana", "name": "Grafana", "version": _GRAFANA},
        *(
            {"type": "datasource", "id": kind, "name": _NAMES[kind], "version": "1.0.0"}
            for kind in sorted(set(used.values()))
        ),
        *({"type": "panel", "id": kind, "name": kind, "version": ""} for kind in sorted(panels)),
    ]
    inputs = [
        {
            "name": _input(name)[2:-1],
            "label": SOURCES[name][1],
            "description": "",
            "type": "datasource",
            "pluginId": kind,
            "pluginName": _NAMES[kind],
        }
        for name, kind in used.items()
    ]
    return {"__inputs": inputs, "__requires": requires, **json.loads(text), "editable": True}


def _input(name: str) -> str:
    return f"${{DS_{name.upper()}}}"


def written(content: dict[str, Any]) -> str:
    """Format JSON so that it can be read and compared."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
