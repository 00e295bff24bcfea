"""Queries for InfluxDB: a query type for the SDK, which has none, and how rows are read.

A report's row is written again whenever late events change its window: time = window start +
revision in nanoseconds. So all revisions of a row lie in one group of ``GROUP BY time(window)``
and the tags, and ``last()`` of the field that every row has picks the last of them; fields beside
a selector come from the row that it picked, so that none is left over from an older revision.
A finding's key has fields in it, by which InfluxQL cannot group: there Grafana keeps the last row
of each key (``findings_table.keep_last``).

What a variable holds may come from a log, by a link on a name that an attacker has chosen. So
variables stand between slashes and are formatted as regular expressions, by which Grafana escapes
all that could end them; without that it would leave alone what begins like a number.
"""

from collections.abc import Iterable
from typing import Final, Literal, Self

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.dashboard import DataSourceRef

IN_RANGE: Final = "$timeFilter"
_WINDOW: Final = "1h"


class InfluxQuery(Dataquery, Builder[Dataquery]):
    """A raw InfluxQL query; ``shape`` is how Grafana takes the answer.

    ``alias`` names series: ``$tag_<name>`` stands for a tag, ``$col`` for the column.
    """

    def __init__(
        self,
        datasource: DataSourceRef,
        query: str,
        *,
        shape: Literal["table", "time_series"] = "table",
        alias: str = "",
        ref_id: str = "A",
    ) -> None:
        self.datasource = datasource
        self.query = query
        self.shape = shape
        self.alias = alias
        self.ref_id = ref_id

    def build(self) -> Self:
        """The query itself: it is its own builder."""
        return self

    def to_json(self) -> dict[str, object]:
        """The target as Grafana's InfluxDB data source reads it."""
        target: dict[str, object] = {
            "datasource": self.datasource,
            "query": self.query,
            "rawQuery": True,
            "refId": self.ref_id,
            "resultFormat": self.shape,
        }
        return {**target, "alias": self.alias} if self.alias else target


def quote(names: Iterable[str]) -> str:
    """Names in quotes: `user` and `key` are keywords of InfluxQL, `first` and `last` functions."""
    return ", ".join(f'"{name}"' for name in names)


def rows_of_report(report: str, fields: Iterable[str], tags: Iterable[str], where: str = "") -> str:
    """The last revision of each row of a report whose window begins in the range.

    ``tags`` are all tags of the report but `window`: the reports of full hours are read.
    """
    conditions = [IN_RANGE, f'"window" =~ /^{_WINDOW}$/', *([where] if where else [])]
    return (
        f'SELECT last("events") AS "events", {quote(fields)} FROM "{report}" '
        f"WHERE {' AND '.join(conditions)} GROUP BY time({_WINDOW}), {quote(tags)} fill(none)"
    )


def table_of_report(
    report: str, fields: Iterable[str], tags: Iterable[str], where: str = ""
) -> str:
    """These rows as one table, with the tags as columns."""
    fields, tags = list(fields), list(tags)
    rows = rows_of_report(report, fields, tags, where)
    return f"SELECT {quote([*tags, *fields])} FROM ({rows}) WHERE {IN_RANGE}"


def chosen(tag: str) -> str:
    """Rows whose tag is among what the variable of the same name has chosen."""
    return f'"{tag}" =~ /^${{{tag}:regex}}$/'


def one_of(tag: str, values: Iterable[str]) -> str:
    """Rows whose tag is one of these words."""
    return f'"{tag}" =~ /^({"|".join(values)})$/'


def matches(variable: str, *fields: str, flags: str = "(?i)") -> str:
    """Rows of which one of the fields holds the text of a variable; all rows where that is empty.

    ``flags``: without regard to upper and lower case, which takes twice as long.

    A row without a field matches no regular expression of it. The first one here is for them:
    nothing can be before the beginning, so any host matches it if the text is empty, and none
    else. (A comparison of the text itself is false in 3.x, which compares nothing but columns.)
    A backslash at the end of the text must not escape the slash.
    """
    text = f"(?:${{{variable}:regex}})"
    found = "".join(f' OR "{field}" =~ /{flags}{text}/' for field in fields)
    return f'("host" =~ /{text}^/{found})'
