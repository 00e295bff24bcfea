"""A dashboard's JSON as Grafana interprets it: panels, and queries with variables replaced."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from dashboards.__main__ import FOLDER

PROVISIONED: Final = sorted((FOLDER / "provisioned").glob("*.json"))
IMPORTABLE: Final = sorted((FOLDER / "import").glob("*.json"))
BOARDS: Final = {path.stem: json.loads(path.read_text()) for path in PROVISIONED}

_VARIABLE: Final = re.compile(r"\$\{(?P<braced>\w+)(?::(?P<format>\w+))?\}|\$(?P<plain>\w+)")
_SPECIAL: Final = re.compile(r"[\\^$*+?.()|\[\]{}/]")


class Query(NamedTuple):
    """A query of a panel in the JSON."""

    board: str
    panel: str
    kind: str
    target: dict[str, Any]

    @property
    def text(self) -> str:
        """The query text, with its variables."""
        return str(self.target["expr" if self.is_promql else "query"])

    @property
    def is_promql(self) -> bool:
        return bool(self.target["datasource"]["type"] == "prometheus")

    @property
    def name(self) -> str:
        """For the id of a test."""
        return f"{self.board}-{self.panel}-{self.target['refId']}".replace(" ", "_")


def panels_of(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield all panels except rows, including those of collapsed rows."""
    for panel in board["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def queries_of(name: str) -> Iterator[Query]:
    """Yield all queries of a dashboard's panels and annotations."""
    for panel in panels_of(BOARDS[name]):
        for target in panel["targets"]:
            yield Query(name, panel["title"], panel["type"], target)
    for mark in BOARDS[name]["annotations"].get("list", []):
        target = {**mark["target"], "datasource": mark["datasource"]}
        yield Query(name, mark["name"], "annotation", target)


QUERIES: Final = [query for name in BOARDS for query in queries_of(name)]


def variables_of(board: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the variables by name."""
    return {variable["name"]: variable for variable in board["templating"]["list"]}


def values_of(board: Mapping[str, Any], chosen: Mapping[str, str | list[str]]) -> dict[str, Any]:
    """Return the value of each variable: the chosen one, else its default."""
    values: dict[str, Any] = {}
    for name, variable in variables_of(board).items():
        value = chosen.get(name, variable["current"]["value"])
        values[name] = {"all": variable["allValue"] or ".+"} if value == "$__all" else value
    return values


def put_in(query: str, values: Mapping[str, Any]) -> str:
    """Return a query as Grafana sends it; raise KeyError for an unknown variable.

    Several values, and those with that format, are inserted as regular expressions; a variable's
    custom value for "all" is inserted unchanged.
    """

    def replace(found: re.Match[str]) -> str:
        value = values[found["braced"] or found["plain"]]
        if isinstance(value, dict):
            return str(value["all"])
        if isinstance(value, list):
            return f"({'|'.join(map(_escape, value))})"
        return _escape(value) if found["format"] == "regex" else str(value)

    return _VARIABLE.sub(replace, query)


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", text)


def columns_after(columns: set[str], transformations: list[dict[str, Any]]) -> set[str]:
    """Return the fields of a table after Grafana's transformations; KeyError if one is missing."""
    for step in transformations:
        options = step["options"]
        if step["id"] == "joinByField":
            _expect(columns, {options["byField"]})
        elif step["id"] == "filterByValue":
            _expect(columns, {one["fieldName"] for one in options["filters"]})
        elif step["id"] == "sortBy":
            _expect(columns, {one["field"] for one in options["sort"]})
        elif step["id"] == "groupBy":
            _expect(columns, options["fields"].keys())
            columns = {
                f"{name} ({how['aggregations'][0]})" if how["aggregations"] else name
                for name, how in options["fields"].items()
            }
        else:
            assert step["id"] == "organize"
            _expect(columns, options["renameByName"].keys())
            hidden = {name for name, yes in options.get("excludeByName", {}).items() if yes}
            columns = {options["renameByName"].get(name, name) for name in columns - hidden}
    return columns


def rows_after(
    rows: list[dict[str, Any]], transformations: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the rows of a table after Grafana's transformations of rows."""
    for step in transformations:
        options = step["options"]
        if step["id"] == "groupBy":
            rows = _grouped(rows, options["fields"])
        elif step["id"] == "filterByValue":
            assert options["type"] == "include"
            match = {"all": all, "any": any}[options["match"]]
            rows = [row for row in rows if match(_passes(row, one) for one in options["filters"])]
        elif step["id"] == "sortBy":
            rows = _sorted(rows, **options["sort"][0])
    return rows


def _sorted(rows: list[dict[str, Any]], field: str, desc: bool) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: float(row[field] or 0), reverse=desc)


def _grouped(rows: list[dict[str, Any]], fields: dict[str, Any]) -> list[dict[str, Any]]:
    keys = [name for name, how in fields.items() if how["operation"] == "groupby"]
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    made = []
    for key, group in groups.items():
        one = dict(zip(keys, key, strict=True))
        for name, how in fields.items():
            for what in how["aggregations"]:
                values = [row[name] for row in group]
                calculated = {"first": lambda v: v[0], "sum": sum, "count": len}[what](values)
                one[f"{name} ({what})"] = calculated
        made.append(one)
    return made


def _passes(row: dict[str, Any], condition: dict[str, Any]) -> bool:
    value, wanted = row[condition["fieldName"]], condition["config"]["options"]["value"]
    if condition["config"]["id"] == "regex":
        return value is not None and re.search(wanted, value) is not None
    assert condition["config"]["id"] == "equal"
    return bool(value == wanted)


def _expect(columns: set[str], names: Iterable[str]) -> None:
    if missing := set(names) - columns:
        raise KeyError(f"{missing} not in {columns}")
