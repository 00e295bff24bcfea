"""InfluxDB queries: a query type, which the SDK lacks, and how rows are read.

A report's row is written again whenever late events change its window: time = window start +
revision in nanoseconds. So all revisions of a row are in one group of ``GROUP BY time(window)`` and
the tags, and ``last()`` of a field that every row has selects the last one; fields beside a
selector come from the selected row, so that none is from an older revision.

Variables may contain text from a log, through a link on a name that an attacker chose. So they are
placed between slashes and formatted as regular expressions, where Grafana escapes everything that
could end them; otherwise it does not escape a value that starts like a number.
"""

from collections.abc import Iterable
from typing import Final, Literal, Self

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.dashboard import DataSourceRef

IN_RANGE: Final = "$timeFilter"
_WINDOW: Final = "1h"


class InfluxQuery(Dataquery, Builder[Dataquery]):
    """A raw InfluxQL query; ``shape`` is the result format in Grafana.

    ``alias`` names series: ``$tag_<name>`` is a tag, ``$col`` the column.
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
        """Return the query, which is its own builder."""
        return self

    def to_json(self) -> dict[str, object]:
        """Return the target in the format of Grafana's InfluxDB data source."""
        target: dict[str, object] = {
            "datasource": self.datasource,
            "query": self.query,
            "rawQuery": True,
            "refId": self.ref_id,
            "resultFormat": self.shape,
        }
        return {**target, "alias": self.alias} if self.alias else target


def quote(names: Iterable[str]) -> str:
    """Quote names: `user` and `key` are keywords of InfluxQL, `first` and `last` functions."""
    return ", ".join(f'"{name}"' for name in names)


def rows_of_report(report: str, fields: Iterable[str], tags: Iterable[str], where: str = "") -> str:
    """Query the last revision of each row of a report whose window starts in the range.

    ``tags`` are all tags of the report except `window`: only reports of full hours are read.
    """
    conditions = [IN_RANGE, f'"window" =~ /^{_WINDOW}$/', *([where] if where else [])]
    return (
        f'SELECT last("events") AS "events", {quote(fields)} FROM "{report}" '
        f"WHERE {' AND '.join(conditions)} GROUP BY time({_WINDOW}), {quote(tags)} fill(none)"
    )


def table_of_report(
    report: str, fields: Iterable[str], tags: Iterable[str], where: str = ""
) -> str:
    """Query these rows as one table, with the tags as columns."""
    fields, tags = list(fields), list(tags)
    rows = rows_of_report(report, fields, tags, where)
    return f"SELECT {quote([*tags, *fields])} FROM ({rows}) WHERE {IN_RANGE}"


def chosen(tag: str) -> str:
    """Return the condition that the tag is selected in the variable of its name."""
    return f'"{tag}" =~ /^${{{tag}:regex}}$/'


def one_of(tag: str, values: Iterable[str]) -> str:
    """Return the condition that the tag is one of these words."""
    return f'"{tag}" =~ /^({"|".join(values)})$/'


def matches(variable: str, *fields: str, flags: str = "(?i)") -> str:
    """Return the condition that one of the fields contains a variable's text; an empty one matches.

    ``flags``: ignore case by default, which takes twice as long.

    A row without a field matches no regular expression on it. The first expression here is for
    these rows: it only matches if the text is empty, because nothing can precede the start of a
    host name. (A comparison of the text itself is false in 3.x, which only compares columns.) A
    backslash at the end of the text must not escape the slash.
    """
    text = f"(?:${{{variable}:regex}})"
    found = "".join(f' OR "{field}" =~ /{flags}{text}/' for field in fields)
    return f'("host" =~ /{text}^/{found})'
