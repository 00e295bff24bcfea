"""Annotations: marks on all panels with a time axis, at the times of events."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import (
    AnnotationQuery,
    AnnotationTarget,
    DataSourceRef,
)

from dashboards.current import findings_over_time
from dashboards.events import POWER
from dashboards.influxql import IN_RANGE, one_of
from dashboards.panels import BLUE, EVENTS, ORANGE, RED, REPORTS


class AnnotationMark(Builder[AnnotationQuery]):
    """An annotation: a mark at each row of this query, with the text of its column `text`.

    Grafana renders the text as HTML, including external images. So it must be a word of a closed
    vocabulary, and never text from a log. ``shown``: whether it is enabled by default.
    """

    def __init__(
        self, name: str, datasource: DataSourceRef, query: str, color: str, *, shown: bool = True
    ) -> None:
        self.name = name
        self.shown = shown
        self.datasource = datasource
        self.query = query
        self.color = color

    def build(self) -> AnnotationQuery:
        """Build it with its own target: the SDK only supports that of Grafana's own data source."""
        mark = AnnotationQuery(self.name, self.datasource, self.shown, icon_color=self.color)
        mark.target = _MarkTarget(self.name, self.query)
        return mark


class _MarkTarget(AnnotationTarget):
    """A target of an annotation for Grafana's InfluxDB data source."""

    def __init__(self, name: str, query: str) -> None:
        super().__init__()
        self.name = name
        self.query = query

    def to_json(self) -> dict[str, object]:
        """Return the target as Grafana writes it when it converts older annotations."""
        return {
            "name": self.name,
            "refId": "Anno",
            "fromAnnotations": True,
            "query": self.query,
            "queryType": "tags",
            "rawQuery": True,
            "textColumn": "text",
            "titleColumn": "",
            "tagsColumn": "",
            "timeEndColumn": "",
        }


def marks_of_host() -> list[AnnotationMark]:
    """Create annotations for events on the selected host."""
    here = '"host" =~ /^${node:regex}$/'
    there = f'SELECT "action" AS "text", "count" FROM "events" WHERE {IN_RANGE} AND {here}'
    newest = "ORDER BY time DESC LIMIT 200"
    return [
        AnnotationMark("High findings", REPORTS, findings_over_time("high", "node"), RED),
        AnnotationMark(
            "Logins",
            EVENTS,
            f"""{there} AND "action" = 'login' AND "outcome" = 'success' {newest}""",
            BLUE,
            shown=False,
        ),
        AnnotationMark(
            "Privileges",
            EVENTS,
            f"{there} AND {one_of('action', POWER)} {newest}",
            ORANGE,
            shown=False,
        ),
    ]
