"""Everything around the panels: variables, links between the dashboards, and the grid."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as models

from dashboards.panels import EVENTS, PROMETHEUS
from heptad.cli.grafana.datasources import UIDS

SOURCES: Final = {
    "prometheus": ("prometheus", "Metrics"),
    "events": ("influxdb", "Events"),
    "reports": ("influxdb", "Findings"),
}
"""Role → the type of its data source, and the label of its variable."""
_SOURCES: Final = tuple(f"{name}_datasource" for name in SOURCES)
NAMES: Final = {"prometheus": "metrics", "events": "events", "reports": "reports"}
"""Role → the end of the name of its provisioned data source."""
BOARDS: Final = {
    "Now": "heptad-now",
    "Investigate": "heptad-investigate",
    "Logins": "heptad-logins",
    "Privileges": "heptad-privileges",
    "Hosts": "heptad-hosts",
    "Heptad itself": "heptad-itself",
}
"""The links at the top of each dashboard, in order."""
_ANY: Final = models.VariableOption(text="All", value="$__all")


def source(name: str) -> dashboard.DatasourceVariable:
    """Create the variable that selects a data source; the default is the provisioned one."""
    kind, label = SOURCES[name]
    variable = dashboard.DatasourceVariable(f"{name}_datasource").label(label).type(kind)
    variable.hide(models.VariableHide.HIDE_VARIABLE)
    # Grafana up to 10.0 uses the name, later versions the uid
    return variable.current(models.VariableOption(text=f"Heptad {NAMES[name]}", value=UIDS[name]))


def _query(name: str, label: str, datasource: models.DataSourceRef) -> dashboard.QueryVariable:
    variable = dashboard.QueryVariable(name).label(label).datasource(datasource)
    variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    variable.sort(models.VariableSort.ALPHABETICAL_ASC).multi(True).include_all(True)
    return variable.current(_ANY)


def label_of(name: str, label: str, metrics: str) -> dashboard.QueryVariable:
    """Create a variable with the values of a label of Prometheus metrics."""
    variable = _query(name, label, PROMETHEUS).all_value(".+")
    query = f"label_values({metrics}, {name})"
    return variable.query({"query": query, "refId": f"variable-{name}"})


def tag_of(name: str, label: str, where: str = "") -> dashboard.QueryVariable:
    """Create a variable with the values of a tag of the events."""
    query = f'SHOW TAG VALUES FROM "events" WITH KEY = "{name}"' + (where and f" WHERE {where}")
    return _query(name, label, EVENTS).all_value(".*").query(query)


def hosts() -> dashboard.QueryVariable:
    """Create a variable with the host names of events."""
    about = "Filters events and reports. Findings may be about several hosts, so all are shown"
    return tag_of("host", "Host").description(about)


def text(name: str, label: str, about: str) -> dashboard.TextBoxVariable:
    """Create a variable for a search text; an empty one matches everything."""
    variable = dashboard.TextBoxVariable(name).label(label).description(about).default_value("")
    return variable.current(models.VariableOption(text="", value=""))


def choice(
    name: str, label: str, about: str, values: Mapping[str, str]
) -> dashboard.CustomVariable:
    """Create a variable with one choice: label → value. The default is the first."""
    variable = dashboard.CustomVariable(name).label(label).description(about)
    options = [
        models.VariableOption(number == 0, shown, value)
        for number, (shown, value) in enumerate(values.items())
    ]
    texts = [f"{shown} : {value}" for shown, value in values.items()]
    variable.values(",".join(texts)).options(options).current(options[0])
    return variable.allow_custom_value(False)


def job() -> dashboard.QueryVariable:
    """Create the hidden variable for the Prometheus jobs that scrape Heptad; links may set it."""
    known = label_of("job", "Job", '{__name__=~"heptad_build_info|node_uname_info"}')
    return known.hide(models.VariableHide.HIDE_VARIABLE)


def several(
    name: str, label: str, about: str, values: Sequence[str], chosen: Sequence[str]
) -> dashboard.CustomVariable:
    """Create a variable with several choices; ``chosen`` are selected by default."""
    variable = dashboard.CustomVariable(name).label(label).description(about)
    options = [models.VariableOption(value in chosen, value, value) for value in values]
    current = models.VariableOption(True, list(chosen), list(chosen))
    variable.values(",".join(values)).options(options).current(current)
    return variable.multi(True).include_all(True).all_value(".*").allow_custom_value(False)


def host_names() -> dashboard.QueryVariable:
    """Create a variable with the host names of events, as their exporters report them."""
    return label_of("host", "Host", 'heptad_host_info{job=~"$job"}')


def nodes() -> list[dashboard.QueryVariable]:
    """Create variables for one host by name, and, hidden, for its Prometheus instance."""
    node = label_of("host", "Host", 'heptad_host_info{job=~"$job"}').name("node")
    node.multi(False).include_all(False).current(models.VariableOption())
    own = 'heptad_host_info{job=~"$job", host=~"$node"}'
    instance = label_of("instance", "Instance", own).hide(models.VariableHide.HIDE_VARIABLE)
    return [job(), node.all_value(""), instance.all_value("")]


def instances(metrics: str) -> list[dashboard.QueryVariable]:
    """Create variables for the jobs and instances of metrics (a regular expression)."""
    names = f'__name__=~"{metrics}"'
    return [job(), label_of("instance", "Instance", f'{{{names}, job=~"$job"}}')]


def put(variable: str, value: str) -> str:
    """Return a link parameter that sets a variable to a value such as the cell's ``__value.raw``.

    The value is encoded. Without a format Grafana encodes values in links, except ``&`` and ``#``:
    a user name from a log could then end its parameter and set others, such as the range.
    """
    return f"var-{variable}=${{{value}:percentencode}}"


def link(
    title: str, uid: str, *parameters: str, time: str = "${__url_time_range}"
) -> dict[str, str]:
    """Create a link from a cell to another dashboard, with range, data sources and parameters."""
    parts = "&".join((time, *keep(*_SOURCES), *parameters))
    return {"title": title, "url": f"/d/{uid}?{parts}"}


def investigate(name: str, cell: str) -> dict[str, list[dict[str, str]]]:
    """Create the link from a cell to everything about the address, user or host in ``cell``."""
    there = put(name, f"__data.fields.{cell}")
    return {"links": [link(f"Investigate this {name}", "heptad-investigate", there)]}


def keep(*variables: str) -> list[str]:
    """Return variables as parameters of a link."""
    return [f"${{{name}:queryparam}}" for name in variables]


_OF_INSTANCES: Final = "heptad-itself"
"""The dashboard without a variable for a host."""
_KEPT: Final = (*_SOURCES, "job", "host")
"""Variables that all dashboards share."""


def _handed_on(names: Sequence[str], target: str) -> list[str]:
    """Return the variables that a link passes to another dashboard."""
    kept = keep(*(name for name in names if name in _KEPT and name != "host"))
    if target == _OF_INSTANCES:
        return kept
    chosen = [put("host", "node")] if "node" in names else keep("host") if "host" in names else []
    return [*kept, *chosen]


def lay_out(
    uid: str,
    title: str,
    about: str,
    variables: Sequence[Any],
    *items: Any,
    since: str = "now-6h",
    refresh: str = "1m",
    marks: Sequence[Any] = (),
) -> dashboard.Dashboard:
    """Create a dashboard; an item is a panel, or the title of a row that starts there.

    ``marks``: annotations on all panels with a time axis.
    """
    board = dashboard.Dashboard(title).uid(uid).description(about).tags(["heptad"])
    board.time(since, "now").refresh(refresh).timezone("browser").readonly()
    board.tooltip(models.DashboardCursorSync.CROSSHAIR)
    for variable in variables:
        board.with_variable(variable)
    for mark in marks:
        board.annotation(mark)
    names = [variable.build().name for variable in variables]
    for heading, target in BOARDS.items():
        to = dashboard.DashboardLink(heading).type(models.DashboardLinkType.LINK).keep_time(True)
        url = f"/d/{target}?{'&'.join(_handed_on(names, target))}"
        board.link(to.url(url).include_vars(False))
    for number, item in enumerate(items, 1):
        if isinstance(item, str):
            board.with_row(dashboard.Row(item).id(number))
        else:
            board.with_panel(item.id(number))
    return board
