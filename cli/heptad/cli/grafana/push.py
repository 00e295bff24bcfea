"""Compare Grafana with the desired state, and create or update what differs.

Every resource is looked up before it is created, so running it again changes nothing. A resource is
unchanged if it has everything that is desired: additions by Grafana or a user do not count. Ids and
versions belong to Grafana.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, NamedTuple

from heptad.cli.grafana import GrafanaError
from heptad.cli.grafana.additions import merge_additions, remember
from heptad.cli.grafana.client import Grafana, Missing
from heptad.core import __version__

FOLDER: Final = "heptad"
"""The uid of the folder for the dashboards."""
_TITLE: Final = "Heptad"
_OWN: Final = ("id", "version")
_UNKNOWN_FOLDER: Final = (403, 500)
_FOLDER_EXISTS: Final = (409, 412)
_FORBIDDEN: Final = 403


Mode = Literal["write", "dry_run", "check"]
"""Write changes, only report them, or only compare."""


class DesiredState(NamedTuple):
    """The desired state; ``renew_secrets``: also send secrets that exist already."""

    datasources: list[dict[str, Any]]
    dashboards: list[dict[str, Any]]
    renew_secrets: bool = False


class PushStep(NamedTuple):
    """A resource, its state before, and what differs."""

    thing: str
    state: Literal["missing", "different", "same"]
    note: str = ""


def list_datasources(grafana: Grafana) -> dict[str, str]:
    """Return the data sources of Grafana: uid → type.

    /api/datasources requires the role Admin, so this reads the settings of Grafana's own pages,
    which everyone with query permission may read. Raise GrafanaError.
    """
    settings = grafana.ask(lambda api: api.client.GET("/frontend/settings"))
    listed = settings.get("datasources")
    sources = listed.values() if isinstance(listed, dict) else ()
    return {
        str(source.get("uid")): str(source.get("type"))
        for source in sources
        if isinstance(source, dict)
    }


def push(grafana: Grafana, wanted: DesiredState, mode: Mode) -> Iterator[PushStep]:
    """Yield the state of each resource, and in the mode ``write`` create or update it.

    A resource that cannot be changed is an error, also in ``dry_run``; in ``check`` it only
    differs. Raise GrafanaError with the remedy; changes made before it are kept.
    """
    for datasource in wanted.datasources:
        yield _push_datasource(grafana, datasource, wanted.renew_secrets, mode)
    folder = _push_folder(grafana, mode)
    yield folder
    for dashboard in wanted.dashboards:
        yield _push_dashboard(grafana, dashboard, mode, is_first=folder.state == "missing")


def difference(wanted: object, there: object, place: str = "") -> str:
    """Return the path of the first difference, such as ``panels[2].title``, or an empty text."""
    if isinstance(wanted, dict) and isinstance(there, dict):
        parts = [(value, there.get(key), f"{place}.{key}") for key, value in wanted.items()]
    elif isinstance(wanted, list) and isinstance(there, list) and len(wanted) == len(there):
        parts = [(wanted[n], there[n], f"{place}[{n}]") for n in range(len(wanted))]
    else:
        same = wanted == there and isinstance(wanted, bool) == isinstance(there, bool)
        skipped = there is None and wanted in ("", {}, [])
        return "" if same or skipped else (place.lstrip(".") or "everything")
    return next((found for part in parts if (found := difference(*part))), "")


def _push_datasource(
    grafana: Grafana, datasource: dict[str, Any], renew: bool, mode: Mode
) -> PushStep:
    uid, thing = datasource["uid"], f"data source {datasource['name']}"
    there = _find(grafana, lambda api: api.datasource.get_datasource_by_uid(uid))
    if there is None:
        if mode == "write":
            grafana.ask(lambda api: api.datasource.create_datasource(datasource))
        return PushStep(thing, "missing")
    secrets = datasource["secureJsonData"]
    shown = {key: value for key, value in datasource.items() if key != "secureJsonData"}
    note = difference(shown | {"secureJsonFields": dict.fromkeys(secrets, True)}, there)
    if not note and secrets and renew:
        note = "secureJsonData"
    if not note:
        return PushStep(thing, "same")
    if there.get("readOnly") and mode != "check":
        raise GrafanaError(
            f"{thing}: {note} differs, but it is provisioned from a file; change that file in "
            "Grafana's provisioning directory"
        )
    if mode == "write":
        kept = there.get("jsonData")
        settings = {
            key: value
            for key, value in (kept if isinstance(kept, dict) else {}).items()
            if key != "httpHeaderName1"  # the authentication is set by the wanted settings
        }
        settings |= datasource["jsonData"]
        # without it, an update would reset the default data source
        body = {**datasource, "isDefault": there.get("isDefault") is True, "jsonData": settings}
        grafana.ask(lambda api: api.datasource.update_datasource_by_uid(uid, body))
    return PushStep(thing, "different", note)


def _push_folder(grafana: Grafana, mode: Mode) -> PushStep:
    """Create the folder; one that was renamed is left alone."""
    thing = f"folder {_TITLE}"
    is_known = True
    try:
        if _find(grafana, lambda api: api.folder.get_folder(FOLDER)) is not None:
            return PushStep(thing, "same")
    except GrafanaError as error:
        # Grafana returns this for a missing folder, unless the user is an Admin
        if error.status not in _UNKNOWN_FOLDER:
            raise
        is_known = False
    if mode == "write":
        try:
            grafana.ask(lambda api: api.folder.create_folder(_TITLE, uid=FOLDER))
        except GrafanaError as error:
            if is_known or error.status not in _FOLDER_EXISTS:
                raise
            return PushStep(thing, "same")
    return PushStep(thing, "missing")


def _push_dashboard(
    grafana: Grafana, dashboard: dict[str, Any], mode: Mode, *, is_first: bool
) -> PushStep:
    """Create or update a dashboard; one that was moved to another folder stays there.

    ``is_first``: the folder did not exist. Grafana then reports missing dashboards as forbidden to
    an Editor without permissions on any folder.
    """
    uid, thing = dashboard["uid"], f"dashboard {dashboard['title']}"
    content = {key: value for key, value in dashboard.items() if key not in _OWN}
    try:
        answer = _find(grafana, lambda api: api.dashboard.get_dashboard(uid))
    except GrafanaError as error:
        if not is_first or error.status != _FORBIDDEN:
            raise
        answer = None
    if answer is None:
        if mode == "write":
            _save(grafana, {**remember(content, content), "id": None}, FOLDER)
        return PushStep(thing, "missing")
    there, meta = answer.get("dashboard"), answer.get("meta")
    if not isinstance(there, dict) or not isinstance(meta, dict):
        raise GrafanaError(
            f"{thing}: the response contains no dashboard; check that --url is the URL of "
            "Grafana 9 or newer"
        )
    kept = merge_additions(content, there)
    note = difference(kept, there)
    if not note:
        return PushStep(thing, "same")
    if meta.get("provisioned") and mode != "check":
        raise GrafanaError(
            f"{thing}: {note} differs, but it is provisioned from a file; change or remove "
            "that file in Grafana's provisioning directory"
        )
    if mode == "write":
        # with the compared version, so that a concurrent change is not overwritten
        own = {key: there.get(key) for key in _OWN}
        _save(grafana, {**remember(kept, content), **own}, str(meta.get("folderUid") or ""))
    return PushStep(thing, "different", note)


def _save(grafana: Grafana, dashboard: dict[str, Any], folder: str) -> None:
    body = {
        "dashboard": dashboard,
        "folderUid": folder,
        "message": f"heptad {__version__}",
        "overwrite": False,
    }
    grafana.ask(lambda api: api.dashboard.update_dashboard(body))


def _find(grafana: Grafana, request: Callable[[Any], object]) -> dict[str, Any] | None:
    try:
        return grafana.ask(request)
    except Missing:
        return None
