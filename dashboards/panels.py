"""Shared parts of the dashboards: panels, columns and colors.

Red is for what needs action now, orange for today; colors that only distinguish series are blue,
green or from Grafana's palette.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    statushistory,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PROMETHEUS: Final = models.DataSourceRef("prometheus", "${prometheus_datasource}")
EVENTS: Final = models.DataSourceRef("influxdb", "${events_datasource}")
REPORTS: Final = models.DataSourceRef("influxdb", "${reports_datasource}")

GREEN, BLUE, ORANGE, RED, GREY = "green", "blue", "orange", "red", "text"
UNKNOWN: Final = "#6e7077"
"""Grey, in both themes: unknown."""
CALM: Final = ((None, GREEN),)
NEUTRAL: Final = ((None, BLUE),)
ACT_ABOVE_ZERO: Final = ((None, GREEN), (1, RED))
LOOK_ABOVE_ZERO: Final = ((None, GREEN), (1, ORANGE))

Steps = Sequence[tuple[float | None, str]]
Targets = Builder[Dataquery] | Sequence[Builder[Dataquery]]
Properties = Mapping[str, Any]

_WIDE: Final = 12
_NARROW: Final = 120
"""A column narrower than this, in pixels, has no room for a filter beside its heading."""
_LEAST: Final = {"short": 1, "cps": 1, "pps": 1, "bytes": 1024, "Bps": 1024, "s": 1}
"""Minimum upper end of an axis by unit: otherwise zeros are drawn on a scale up to a hundred."""
_STEPS: Final = 120
"""Points of a graph: with a thousand hosts each has a cost, and more cannot be distinguished."""
_ME: Final = 'job=~"$job", instance=~"$instance"'
_FLEET: Final = 'job=~"$job"'


def ask(
    text: str,
    legend: str = "",
    *,
    ref: str = "A",
    instant: bool = False,
    rows: bool = False,
    step: str = "",
) -> prometheus.Dataquery:
    """Create a Prometheus query; ``rows``: for a table; ``step``: the minimum step over a range.

    In ``text``, ``$me`` is replaced by the labels that select the chosen jobs and instances,
    ``$fleet`` by those for the jobs only: the aggregator's metrics are about all hosts.
    """
    expr = " ".join(text.split()).replace("$me", _ME).replace("$fleet", _FLEET)
    query = prometheus.Dataquery().expr(expr).ref_id(ref).datasource(PROMETHEUS)
    query.legend_format(legend or "__auto")
    if rows:
        query.format(PromQueryFormat.TABLE)
    if step:
        query.interval(step)
    return query.instant() if instant or rows else query.range()


def scraped(metrics: str) -> str:
    """Select ``up`` of the targets that had one of these metrics within a day (a pattern).

    Includes all targets of the same jobs that are down: those may have been down before.
    """
    known = f'last_over_time({{__name__=~"{metrics}", $me}}[1d])'
    return f"(up{{$me}} and on (job, instance) {known} or up{{$me}} == 0 and on (job) {known})"


CPUS: Final = (
    'count by (instance) (count by (instance, cpu) (node_cpu_seconds_total{$me, mode="idle"}))'
)
"""The number of CPUs of a host, correct even if two jobs measure the host under one name."""


def once(text: str, *labels: str) -> str:
    """Count a value once per host and labels, even if two jobs measure it."""
    return f"max by ({', '.join(('instance', *labels))}) ({text})"


def worst_of(selector: str, labels: str = "instance") -> str:
    """Select the ten series with the highest values at any time of the range.

    ``selector`` must be a plain metric: a subquery would double the cost of the graph.
    """
    return f"{selector} and on ({labels}) topk(10, max_over_time({selector}[$__range] @ end()))"


def thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    """Create thresholds: colors from these values on; the first has no lower limit."""
    levels = [models.Threshold(value, color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(levels)


def levels(steps: Steps) -> Properties:
    """Return thresholds for a column of a table."""
    colors = [{"value": value, "color": color} for value, color in steps]
    return {"thresholds": {"mode": "absolute", "steps": colors}}


def words(mapping: Mapping[str, tuple[str, str]]) -> models.ValueMap:
    """Map values to words: value → (word, color)."""
    return models.ValueMap(
        {
            value: models.ValueMappingResult(text=word, color=color, index=index)
            for index, (value, (word, color)) in enumerate(mapping.items())
        }
    )


def properties(values: Properties) -> list[models.DynamicConfigValue]:
    return [models.DynamicConfigValue(name, value) for name, value in values.items()]


def _frame(panel: Any, title: str, about: str, none: str, targets: Targets, **size: int) -> Any:
    """Set title, description, queries and size, which every panel has."""
    queries = [targets] if isinstance(targets, Builder) else list(targets)
    panel.title(title).description(" ".join(about.split())).no_value(none).targets(queries)
    panel.datasource(queries[0].build().datasource)  # type: ignore[attr-defined] # as all have
    return panel.span(size["width"]).height(size["height"])


def number(
    title: str,
    about: str,
    targets: Targets,
    *,
    unit: str = "locale",
    steps: Steps = NEUTRAL,
    none: str = "No answer",
    width: int = 4,
    height: int = 4,
    decimals: int | None = 0,
    mapping: models.ValueMap | None = None,
) -> stat.Panel:
    """Create a tile with one number on the color of its threshold; grey without a result."""
    panel: stat.Panel = _frame(
        stat.Panel(), title, about, none, targets, width=width, height=height
    )
    # without a value, Grafana uses the lowest color
    known = [(0.0 if value is None else value, color) for value, color in steps]
    panel.unit(unit).thresholds(thresholds([(None, UNKNOWN), *known]))
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.color_mode(shapes.BigValueColorMode.BACKGROUND)
    panel.graph_mode(shapes.BigValueGraphMode.NONE)
    if decimals is not None:
        panel.decimals(decimals)
    if mapping:
        panel.mappings([mapping])
    return panel


def count_of(
    title: str,
    about: str,
    expr: str,
    known: str,
    *,
    steps: Steps = ACT_ABOVE_ZERO,
    width: int = 4,
    height: int = 4,
) -> stat.Panel:
    """Create a tile with a number of problems; it only shows zero if there is any of ``known``."""
    query = ask(f"{expr} or 0 * count({known})", instant=True)
    return number(title, about, query, steps=steps, none="Unknown", width=width, height=height)


def colored(kind: str = "color-background") -> Properties:
    """Color a cell by its value, in the formats of Grafana 10 and 9."""
    background = kind == "color-background"
    return {
        "custom.cellOptions": {"type": kind, **({"mode": "basic"} if background else {})},
        "custom.displayMode": f"{kind}-solid" if background else kind,
    }


def graph(
    title: str,
    about: str,
    targets: Targets,
    *,
    unit: str = "short",
    none: str = "Nothing in this range",
    width: int = 12,
    height: int = 8,
    stack: bool = False,
    bars: bool = False,
    most: float | None = None,
    colors: Mapping[str, str] | None = None,
    steps: Steps = (),
    every: str = "",
) -> timeseries.Panel:
    """Create a graph; ``colors``: of series by name, ``steps``: lines at these values.

    ``every``: the interval of the values, if it is not the scrape interval.
    """
    panel: timeseries.Panel = _frame(
        timeseries.Panel(), title, about, none, targets, width=width, height=height
    )
    panel.unit(unit).min(0).line_width(1).fill_opacity(60 if bars else 25 if stack else 8)
    # a single point has no line
    panel.show_points(shapes.VisibilityMode.AUTO).max_data_points(_STEPS)
    panel.draw_style(shapes.GraphDrawStyle.BARS if bars else shapes.GraphDrawStyle.LINE)
    panel.stacking(
        common.StackingConfig().mode(
            shapes.StackingMode.NORMAL if stack else shapes.StackingMode.NONE
        )
    )
    legend = common.VizLegendOptions().show_legend(True).calcs(["lastNotNull", "max"])
    legend.display_mode(shapes.LegendDisplayMode.TABLE).sort_by("Max").sort_desc(True)
    legend.placement(
        shapes.LegendPlacement.RIGHT if width >= _WIDE else shapes.LegendPlacement.BOTTOM
    )
    panel.legend(legend)
    tooltip = common.VizTooltipOptions().mode(shapes.TooltipDisplayMode.MULTI)
    panel.tooltip(tooltip.sort(shapes.SortOrder.DESCENDING))
    if most is not None:
        panel.max(most)
    elif unit in _LEAST:
        panel.axis_soft_max(_LEAST[unit])
    if bars:
        _count_whole([targets] if isinstance(targets, Builder) else targets)
    if bars or every:
        # an increase needs two scrapes
        panel.interval(every or "1m")
    if steps:
        panel.thresholds(thresholds(steps))
        style = common.GraphThresholdsStyleConfig()
        panel.thresholds_style(style.mode(shapes.GraphThresholdsStyleMode.LINE))
    for name, color in (colors or {}).items():
        fixed = {"mode": models.FieldColorModeId.FIXED, "fixedColor": color}
        panel.override_by_name(name, properties({"color": fixed}))
    return panel


def _count_whole(targets: Sequence[Builder[Dataquery]]) -> None:
    """Round the values: bars are counts, but Prometheus extrapolates increases."""
    for query in targets:
        if isinstance(query, prometheus.Dataquery):
            query.expr(f"round({query.build().expr})")


def rows(
    title: str,
    about: str,
    targets: Targets,
    columns: Mapping[str, Properties],
    *,
    none: str = "Nothing in this range",
    worst: Sequence[str] = (),
    shaping: Sequence[models.DataTransformerConfig] = (),
    width: int = 24,
    height: int = 8,
) -> table.Panel:
    """Create a table; ``worst``: the columns to sort by, in descending order."""
    panel: table.Panel = _frame(
        table.Panel(), title, about, none, targets, width=width, height=height
    )
    panel.unit("none").filterable(True).cell_height(shapes.TableCellHeight.SM)
    panel.transformations(list(shaping))
    panel.sort_by([common.TableSortByFieldState().display_name(name).desc(True) for name in worst])
    # otherwise the text for an empty table would be in each empty cell
    panel.override_by_regexp(".*", properties({"noValue": "–"}))
    for name, values in columns.items():
        narrow = values.get("custom.width", _NARROW) < _NARROW
        own = {"custom.filterable": False} if narrow else {}
        panel.override_by_name(name, properties({**values, **own}))
    return panel


def bars(
    title: str,
    about: str,
    targets: Targets,
    *,
    unit: str,
    steps: Steps,
    most: float | None = None,
    none: str = "Nothing in this range",
    width: int = 12,
    height: int = 8,
) -> bargauge.Panel:
    """Create a bar gauge with the current value of each series."""
    panel: bargauge.Panel = _frame(
        bargauge.Panel(), title, about, none, targets, width=width, height=height
    )
    panel.unit(unit).min(0).thresholds(thresholds(steps))
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.orientation(shapes.VizOrientation.HORIZONTAL)
    panel.display_mode(shapes.BarGaugeDisplayMode.BASIC)
    if most is not None:
        panel.max(most)
    return panel


def states(
    title: str,
    about: str,
    targets: Targets,
    mapping: models.ValueMap,
    *,
    none: str = "Nothing in this range",
    width: int = 12,
    height: int = 8,
) -> statetimeline.Panel:
    """Create a timeline of states."""
    panel: statetimeline.Panel = _frame(
        statetimeline.Panel(), title, about, none, targets, width=width, height=height
    )
    panel.unit("none").mappings([mapping]).merge_values(True)
    panel.show_value(shapes.VisibilityMode.NEVER)
    return panel.max_data_points(_STEPS)


def grid(
    title: str,
    about: str,
    targets: Targets,
    *,
    steps: Steps = (),
    mapping: models.ValueMap | None = None,
    none: str = "Nothing in this range",
    shaping: Sequence[models.DataTransformerConfig] = (),
    width: int = 12,
    height: int = 8,
) -> statushistory.Panel:
    """Create a grid with a row per series and a cell per time, colored by its value."""
    panel: statushistory.Panel = _frame(
        statushistory.Panel(), title, about, none, targets, width=width, height=height
    )
    panel.unit("short").show_value(shapes.VisibilityMode.NEVER).row_height(0.9).col_width(0.95)
    panel.legend(common.VizLegendOptions().show_legend(False))
    panel.transformations(list(shaping)).max_data_points(100)
    if steps:
        panel.thresholds(thresholds(steps))
        panel.color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
    if mapping:
        panel.mappings([mapping])
    return panel


def reshape(kind: str, **options: object) -> models.DataTransformerConfig:
    return models.DataTransformerConfig(id_val=kind, options=options)


def joined(
    by: str, headings: Mapping[str, str], hide: str = ""
) -> list[models.DataTransformerConfig]:
    """Join the results of several queries into one table with a row per value of ``by``.

    ``headings``: field → heading, in order. The value of a query is the field `Value #<its ref>`.
    """
    hidden = ["Time", *(f"Time {number}" for number in range(1, 12)), *([hide] if hide else [])]
    return [
        reshape("joinByField", byField=by, mode="outer"),
        reshape(
            "organize",
            excludeByName=dict.fromkeys(hidden, True),
            indexByName={name: place for place, name in enumerate(headings)},
            renameByName=dict(headings),
        ),
    ]
