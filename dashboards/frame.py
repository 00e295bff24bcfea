"""What is around the panels: variables, links between the dashboards, and the grid."""

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
"""What is read → the kind of its data source, and what its variable is called."""
_SOURCES: Final = tuple(f"{name}_datasource" for name in SOURCES)
NAMES: Final = {"prometheus": "metrics", "events": "events", "reports": "reports"}
"""What is read → how the name of its provisioned data source ends."""
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
    """The variable that picks a data source: the provisioned one, if it is there."""
    kind, label = SOURCES[name]
    variable = dashboard.DatasourceVariable(f"{name}_datasource").label(label).type(kind)
    variable.hide(models.VariableHide.HIDE_VARIABLE)
    # Grafana up to 10.0 goes by the name, newer ones by the uid
    return variable.current(models.VariableOption(text=f"Heptad {NAMES[name]}", value=UIDS[name]))


def _query(name: str, label: str, datasource: models.DataSourceRef) -> dashboard.QueryVariable:
    variable = dashboard.QueryVariable(name).label(label).datasource(datasource)
    variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    variable.sort(models.VariableSort.ALPHABETICAL_ASC).multi(True).include_all(True)
    return variable.current(_ANY)


def label_of(name: str, label: str, metrics: str) -> dashboard.QueryVariable:
    """The values that a label has on metrics of Prometheus."""
    variable = _query(name, label, PROMETHEUS).all_value(".+")
    query = f"label_values({metrics}, {name})"
    return variable.query({"query": query, "refId": f"variable-{name}"})


def tag_of(name: str, label: str, where: str = "") -> dashboard.QueryVariable:
    """The values that a tag of the events has."""
    query = f'SHOW TAG VALUES FROM "events" WITH KEY = "{name}"' + (where and f" WHERE {where}")
    return _query(name, label, EVENTS).all_value(".*").query(query)


def hosts() -> dashboard.QueryVariable:
    """Hosts by the name that events carry."""
    about = "Of events and reports; findings, which may be about several hosts, are all shown"
    return tag_of("host", "Host").description(about)


def text(name: str, label: str, about: str) -> dashboard.TextBoxVariable:
    """A text to look for; empty finds everything."""
    variable = dashboard.TextBoxVariable(name).label(label).description(about).default_value("")
    return variable.current(models.VariableOption(text="", value=""))


def choice(
    name: str, label: str, about: str, values: Mapping[str, str]
) -> dashboard.CustomVariable:
    """One of these: what is shown → the value. The first, if nothing else is chosen."""
    variable = dashboard.CustomVariable(name).label(label).description(about)
    options = [
        models.VariableOption(number == 0, shown, value)
        for number, (shown, value) in enumerate(values.items())
    ]
    texts = [f"{shown} : {value}" for shown, value in values.items()]
    variable.values(",".join(texts)).options(options).current(options[0])
    return variable.allow_custom_value(False)


def job() -> dashboard.QueryVariable:
    """The jobs of Prometheus that scrape Heptad; hidden, but a link may name them."""
    known = label_of("job", "Job", '{__name__=~"heptad_build_info|node_uname_info"}')
    return known.hide(models.VariableHide.HIDE_VARIABLE)


def several(
    name: str, label: str, about: str, values: Sequence[str], chosen: Sequence[str]
) -> dashboard.CustomVariable:
    """Some of these values; ``chosen``: those that are preset."""
    variable = dashboard.CustomVariable(name).label(label).description(about)
    options = [models.VariableOption(value in chosen, value, value) for value in values]
    current = models.VariableOption(True, list(chosen), list(chosen))
    variable.values(",".join(values)).options(options).current(current)
    return variable.multi(True).include_all(True).all_value(".*").allow_custom_value(False)


def host_names() -> dashboard.QueryVariable:
    """Hosts by the name that events carry, as their exporters tell it."""
    return label_of("host", "Host", 'heptad_host_info{job=~"$job"}')


def nodes() -> list[dashboard.QueryVariable]:
    """One host by its name, and what Prometheus calls it, which is hidden."""
    node = label_of("host", "Host", 'heptad_host_info{job=~"$job"}').name("node")
    node.multi(False).include_all(False).current(models.VariableOption())
    own = 'heptad_host_info{job=~"$job", host=~"$node"}'
    instance = label_of("instance", "Instance", own).hide(models.VariableHide.HIDE_VARIABLE)
    return [job(), node.all_value(""), instance.all_value("")]


def instances(metrics: str) -> list[dashboard.QueryVariable]:
    """Jobs and instances of these metrics (a regular expression of their names)."""
    names = f'__name__=~"{metrics}"'
    return [job(), label_of("instance", "Instance", f'{{{names}, job=~"$job"}}')]


def put(variable: str, value: str) -> str:
    """A variable's value in a link, such as the cell's ``__value.raw``; encoded.

    Without a format Grafana encodes what is put into a link, but leaves ``&`` and ``#``: a user
    name in a log could then end its parameter and set others, such as the range.
    """
    return f"var-{variable}=${{{value}:percentencode}}"


def link(
    title: str, uid: str, *parameters: str, time: str = "${__url_time_range}"
) -> dict[str, str]:
    """A link of a cell to another dashboard: a range, the data sources and these parameters."""
    parts = "&".join((time, *keep(*_SOURCES), *parameters))
    return {"title": title, "url": f"/d/{uid}?{parts}"}


def investigate(name: str, cell: str) -> dict[str, list[dict[str, str]]]:
    """The link of a cell to all that is known about the address, user or host of another cell."""
    there = put(name, f"__data.fields.{cell}")
    return {"links": [link(f"Investigate this {name}", "heptad-investigate", there)]}


def keep(*variables: str) -> list[str]:
    """Variables as parameters of a link."""
    return [f"${{{name}:queryparam}}" for name in variables]


_OF_INSTANCES: Final = "heptad-itself"
"""The dashboard that has no variable for a host."""
_KEPT: Final = (*_SOURCES, "job", "host")
"""What all dashboards have in common."""


def _handed_on(names: Sequence[str], target: str) -> list[str]:
    """What a link to another dashboard takes along of these variables."""
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
    """A dashboard; an item is a panel, or the title of a row that begins there.

    ``marks``: annotations on all that is drawn over time.
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
