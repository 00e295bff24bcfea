"""Marks on all that is drawn over time: when something happened."""

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

    Grafana shows the text as HTML, with pictures from anywhere. So it is a word of a closed
    vocabulary, and never what may come from a log. ``shown``: before a person switches it on.
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
        """As the SDK has it; what it knows of a target is Grafana's own data source's."""
        mark = AnnotationQuery(self.name, self.datasource, self.shown, icon_color=self.color)
        mark.target = _MarkTarget(self.name, self.query)
        return mark


class _MarkTarget(AnnotationTarget):
    """A target as Grafana's InfluxDB data source reads it for annotations."""

    def __init__(self, name: str, query: str) -> None:
        super().__init__()
        self.name = name
        self.query = query

    def to_json(self) -> dict[str, object]:
        """What Grafana makes of an annotation of older versions, too."""
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
    """What happened on the one host that is shown."""
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
