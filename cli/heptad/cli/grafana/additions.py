"""Keep a user's additions to a dashboard when the rest of it is updated.

A hidden variable of the dashboard lists what Heptad installed. Without it, a panel that a newer
Heptad no longer has would look like one that a user added.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

_IDENTITY: Final[Mapping[str, str]] = {
    "panels": "id",
    "links": "title",
    "templating.list": "name",
    "annotations.list": "name",
    "tags": "",
}
"""Lists that users add to → the key that identifies an item; a tag identifies itself."""
_MERGED: Final = ("templating", "annotations")
_MEMORY: Final = "heptad_pushed"


def merge_additions(wanted: dict[str, Any], there: dict[str, Any]) -> dict[str, Any]:
    """Merge a user's additions to the existing dashboard into the wanted one.

    If it is unknown what Heptad installed, everything that is not wanted is the user's.
    """
    own = _recall(there)
    return {**there, **{key: _merge(key, wanted[key], there.get(key), own) for key in wanted}}


def remember(board: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Add the variable that lists the wanted items to the dashboard."""
    own = {path: [_name(item, path) for item in listed] for path, listed in _lists(wanted)}
    value = json.dumps(own)
    memory = {
        "type": "constant",
        "name": _MEMORY,
        "description": "What Heptad added to this dashboard; used by heptad grafana push",
        "query": value,
        "current": {"text": value, "value": value},
        "hide": 2,
        "skipUrlSync": True,
    }
    path = "templating.list"
    variables = [one for one in _find(board, path) if _name(one, path) != _MEMORY]
    return {**board, "templating": {**board.get("templating", {}), "list": [*variables, memory]}}


def _recall(there: dict[str, Any]) -> dict[str, Any]:
    """Return what ``remember`` stored; a user may have changed it to anything."""
    for variable in _find(there, "templating.list"):
        if isinstance(variable, dict) and variable.get("name") == _MEMORY:
            try:
                own = json.loads(variable["query"])
            except (KeyError, TypeError, ValueError, RecursionError):
                return {}
            return own if isinstance(own, dict) else {}
    return {}


def _lists(board: dict[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    yield from ((path, _find(board, path)) for path in _IDENTITY)


def _find(board: Any, path: str) -> list[Any]:
    for key in path.split("."):
        board = board.get(key) if isinstance(board, dict) else None
    return board if isinstance(board, list) else []


def _name(item: object, path: str) -> object:
    key = _IDENTITY[path]
    return item.get(key) if key and isinstance(item, dict) else item


def _merge(path: str, wanted: Any, there: Any, own: dict[str, Any]) -> Any:
    if path in _MERGED and isinstance(wanted, dict) and isinstance(there, dict):
        parts = {key: _merge(f"{path}.{key}", wanted[key], there.get(key), own) for key in wanted}
        return {**there, **parts}
    if path in _IDENTITY and isinstance(wanted, list) and isinstance(there, list):
        names = [_name(item, path) for item in wanted]
        before = own.get(path)
        if path == "panels":
            there = _unfold(wanted, there, before if isinstance(before, list) else names)
        known = before if isinstance(before, list) else _guess(path, wanted, there)
        if path != "panels":  # a user's panel may have the id of one of ours now
            known = known + names
        return _arrange(path, wanted, there, known)
    return wanted


def _unfold(wanted: list[Any], there: list[Any], known: list[Any]) -> list[Any]:
    """Move panels out of Heptad's rows that a user collapsed, to after their row."""
    folded = [_name(item, "panels") for item in wanted if _find(item, "panels")]
    unfolded = list[Any]()
    for item in there:
        name = _name(item, "panels")
        within = _find(item, "panels") if name in known and name not in folded else []
        unfolded += [{**item, "panels": []}, *within] if within else [item]
    return [item for item in unfolded if isinstance(item, dict)]


def _guess(path: str, wanted: list[Any], there: list[Any]) -> list[Any]:
    """Guess which items are Heptad's if that was not stored: those that resemble their namesake."""
    namesakes = {str(_name(item, path)): item for item in wanted}
    return [
        _name(item, path)
        for item in there
        if (ours := namesakes.get(str(_name(item, path)))) is not None
        and (path != "panels" or any(item.get(key) == ours.get(key) for key in ("type", "title")))
    ]


def _arrange(path: str, wanted: list[Any], there: list[Any], known: list[Any]) -> list[Any]:
    """Return all wanted items in their order; unknown items keep their place."""
    waiting, arranged = list(wanted), list[Any]()
    names = [_name(item, path) for item in wanted]
    taken = [n for n in (*names, *(_name(item, path) for item in there)) if isinstance(n, int)]
    for item in there:
        name = _name(item, path)
        if name in known:
            arranged += waiting[:1]
            del waiting[:1]
        elif path == "panels" and name in names:
            taken.append(max(taken) + 1)
            arranged.append({**item, "id": taken[-1]})
        else:
            arranged.append(item)
    return [*arranged, *waiting]
