"""Most frequent addresses, users, targets and reasons, from the reports of full hours."""

from typing import Final

from dashboards.frame import investigate
from dashboards.influxql import InfluxQuery, table_of_report
from dashboards.panels import REPORTS, reshape, rows

NO_REPORT: Final = "No full hour in this range, or the query failed (icon in the corner)"


def most_frequent(what: str, outcome: str) -> str:
    """Query the ten most frequent values of each full hour, by outcome of the logins."""
    return table_of_report(
        "report_top",
        ["value", "count"],
        ["outcome", "top", "rank"],
        f""""top" = '{what}' AND "outcome" = '{outcome}' AND "rank" != 'others'""",
    )


def top_of(title: str, about: str, what: str, heading: str, *, width: int = 6) -> object:
    """Create a table of the addresses, users, targets or reasons with the most failed logins."""
    links = investigate(what, heading) if what in ("address", "user") else {}
    return rows(
        title,
        f"""{about} Of all hosts, because this report has no host. The sum of the ten most frequent
        of each full hour, so the real number may be slightly higher.""",
        InfluxQuery(REPORTS, most_frequent(what, "failure")),
        {
            heading: {"custom.minWidth": 130, **links},
            "Failures": {"unit": "locale", "custom.width": 100},
        },
        none=NO_REPORT,
        worst=["Failures"],
        shaping=[
            reshape(
                "groupBy",
                fields={
                    "value": {"aggregations": [], "operation": "groupby"},
                    "count": {"aggregations": ["sum"], "operation": "aggregate"},
                },
            ),
            reshape("organize", renameByName={"value": heading, "count (sum)": "Failures"}),
        ],
        width=width,
    )
