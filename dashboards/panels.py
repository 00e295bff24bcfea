"""What the dashboards share: how a panel, a column and a colour look.

Red is for what somebody must do something about now, orange for today; what only differs from
something else is blue, green or from Grafana's palette.
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
"""Grey, in both themes: nothing is known."""
CALM: Final = ((None, GREEN),)
NEUTRAL: Final = ((None, BLUE),)
ACT_ABOVE_ZERO: Final = ((None, GREEN), (1, RED))
LOOK_ABOVE_ZERO: Final = ((None, GREEN), (1, ORANGE))

Steps = Sequence[tuple[float | None, str]]
Targets = Builder[Dataquery] | Sequence[Builder[Dataquery]]
Properties = Mapping[str, Any]

_WIDE: Final = 12
_NARROW: Final = 120
"""A column of so many pixels has no room for a filter beside its heading."""
_LEAST: Final = {"short": 1, "cps": 1, "pps": 1, "bytes": 1024, "Bps": 1024, "s": 1}
"""How far an axis goes at least: zeros are else drawn on a scale to a hundred."""
_STEPS: Final = 120
"""Of a graph: each costs with a thousand hosts, and more cannot be told apart."""
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
    """A query for Prometheus; ``rows``: for a table; ``step``: the least one over a range.

    In ``text`` ``$me`` stands for the labels that pick the chosen jobs and instances, ``$fleet``
    for the jobs alone: the aggregator speaks for all hosts, whatever instances are chosen.
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
    """``up`` of the targets that had one of these metrics within a day (a pattern of names).

    And of those that are down, in the same jobs: what went down before is still down.
    """
    known = f'last_over_time({{__name__=~"{metrics}", $me}}[1d])'
    return f"(up{{$me}} and on (job, instance) {known} or up{{$me}} == 0 and on (job) {known})"


CPUS: Final = (
    'count by (instance) (count by (instance, cpu) (node_cpu_seconds_total{$me, mode="idle"}))'
)
"""How many CPUs a host has, also where two jobs measure it under one name."""


def once(text: str, *labels: str) -> str:
    """What a host has of something, by these labels: once, also where two jobs measure it."""
    return f"max by ({', '.join(('instance', *labels))}) ({text})"


def worst_of(selector: str, labels: str = "instance") -> str:
    """The ten series that were highest at any time of the range, over the range.

    ``selector`` is one of a metric alone: a subquery would cost as much as the graph once more.
    """
    return f"{selector} and on ({labels}) topk(10, max_over_time({selector}[$__range] @ end()))"


def thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    """Colours from these values on; the first has no lower end."""
    levels = [models.Threshold(value, color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(levels)


def levels(steps: Steps) -> Properties:
    """The same for a column of a table."""
    colors = [{"value": value, "color": color} for value, color in steps]
    return {"thresholds": {"mode": "absolute", "steps": colors}}


def words(mapping: Mapping[str, tuple[str, str]]) -> models.ValueMap:
    """Values as words: value → (word, colour)."""
    return models.ValueMap(
        {
            value: models.ValueMappingResult(text=word, color=color, index=index)
            for index, (value, (word, color)) in enumerate(mapping.items())
        }
    )


def properties(values: Properties) -> list[models.DynamicConfigValue]:
    """What an override sets."""
    return [models.DynamicConfigValue(name, value) for name, value in values.items()]


def _frame(panel: Any, title: str, about: str, none: str, targets: Targets, **size: int) -> Any:
    """Title, text, queries and size, which every panel has."""
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
    """One number, large, on the colour of its threshold; grey where there is no answer."""
    panel: stat.Panel = _frame(
        stat.Panel(), title, about, none, targets, width=width, height=height
    )
    # without a value Grafana takes the lowest colour
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
    """How many things are as they should not be; zero only where there is any of ``known``."""
    query = ask(f"{expr} or 0 * count({known})", instant=True)
    return number(title, about, query, steps=steps, none="Unknown", width=width, height=height)


def colored(kind: str = "color-background") -> Properties:
    """A cell on the colour of its value, in the forms of Grafana 10 and of 9."""
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
    """Values over time; ``colors``: of series by name, ``steps``: lines that mean something.

    ``every``: how often there is a value, where that is not with each scrape.
    """
    panel: timeseries.Panel = _frame(
        timeseries.Panel(), title, about, none, targets, width=width, height=height
    )
    panel.unit(unit).min(0).line_width(1).fill_opacity(60 if bars else 25 if stack else 8)
    # a point alone has no line
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
    """Bars are counts: Prometheus extrapolates an increase between two scrapes."""
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
    """A table; ``worst``: the columns by which it is sorted, the largest first."""
    panel: table.Panel = _frame(
        table.Panel(), title, about, none, targets, width=width, height=height
    )
    panel.unit("none").filterable(True).cell_height(shapes.TableCellHeight.SM)
    panel.transformations(list(shaping))
    panel.sort_by([common.TableSortByFieldState().display_name(name).desc(True) for name in worst])
    # The text for an empty table would else stand in each empty cell.
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
    """A bar for each series, as it is now."""
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
    """What state something was in, over time."""
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
    """A row for each series and a cell for each time, on the colour of what it holds."""
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
    """A transformation of Grafana's."""
    return models.DataTransformerConfig(id_val=kind, options=options)


def joined(
    by: str, headings: Mapping[str, str], hide: str = ""
) -> list[models.DataTransformerConfig]:
    """The answers to several queries as the columns of one table, a row for each ``by``.

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
