"""The dashboards to install: those that are part of Heptad, or a directory of JSON files."""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from heptad.cli.grafana import GrafanaError
from heptad.cli.grafana.datasources import UIDS

_INSTALLED: Final = Path(__file__).with_name("provisioned")
_CHECKOUT: Final = Path(__file__).parents[4] / "dashboards" / "provisioned"
SHIPPED: Final = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
"""Part of the package; in a checkout, a directory of the repository."""
_NOT_HIDDEN: Final = 0
_LARGEST: Final = 4 * 1024 * 1024


def load_dashboards(folder: Path | None) -> list[dict[str, Any]]:
    """Load the dashboards, sorted by file name.

    ``folder``: a directory of JSON files; None for Heptad's own. Raise GrafanaError.
    """
    place = folder or SHIPPED
    try:
        files = sorted(file for file in place.iterdir() if file.name.endswith(".json"))
    except OSError as error:
        raise GrafanaError(f"{place}: {error.strerror}; check --dashboards") from error
    if not files:
        raise GrafanaError(f"{place}: contains no *.json file; check --dashboards")
    boards = [_load(file) for file in files]
    uids = [board["uid"] for board in boards]
    twice = sorted({uid for uid in uids if uids.count(uid) > 1})
    if twice:
        raise GrafanaError(f"{place}: two dashboards have the uid `{twice[0]}`; change one of them")
    return boards


def preset(
    boards: Iterable[dict[str, Any]], sources: Mapping[str, str], unknown: Collection[str]
) -> None:
    """Set the default data sources of the dashboards.

    ``sources``: role (``prometheus``, ``events``, ``reports``) → the uid of the data source, if it
    is not Heptad's own. ``unknown``: roles for which users must select a data source at the top of
    the dashboard.
    """
    for board in boards:
        for variable, role in _sources(board):
            if role in sources:
                variable["current"] |= {"text": sources[role], "value": sources[role]}
            if role in unknown:
                variable["hide"] = _NOT_HIDDEN


def _load(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            content = stream.read(_LARGEST + 1)
        board = json.loads(content) if len(content) <= _LARGEST else None
    except OSError as error:
        raise GrafanaError(f"{file.name}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise GrafanaError(f"{file.name}: is not JSON: {error}") from error
    if not isinstance(board, dict) or not isinstance(board.get("title"), str):
        raise GrafanaError(
            f"{file.name}: is not a dashboard; it must be a JSON object with a title, and at "
            "most 4 MiB"
        )
    if "__inputs" in board:
        raise GrafanaError(
            f"{file.name}: is an export for Grafana's import dialog; use the directory of "
            "provisioned dashboards"
        )
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", str(board.get("uid", ""))):
        raise GrafanaError(f"{file.name}: requires a `uid` of at most 40 letters, digits, - and _")
    return board


def _sources(board: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the variables that select one of Heptad's data sources, with its role."""
    roles = {uid: role for role, uid in UIDS.items()}
    templating = board.get("templating")
    listed = templating.get("list") if isinstance(templating, dict) else None
    for variable in listed if isinstance(listed, list) else ():
        current = variable.get("current") if isinstance(variable, dict) else None
        value = current.get("value") if isinstance(current, dict) else None
        if isinstance(value, str) and value in roles and variable.get("type") == "datasource":
            yield variable, roles[value]
