"""A table of sessions: who was logged in, from where, from when until when."""

from dashboards.frame import investigate
from dashboards.influxql import InfluxQuery
from dashboards.panels import REPORTS, Properties, reshape, rows


def table_of_sessions(*conditions: str) -> object:
    """Create a table of the sessions with these conditions that were active in the range."""
    names = {
        "first": "Began",
        "user": "User",
        "address (first)": "From",
        "host": "Host",
        "program (first)": "Program",
        "seconds (first)": "Seen for",
        "end (first)": "End",
        "last (first)": "Last event",
    }
    key = ("host", "first", "user")
    others = ("last", "address", "program", "end", "seconds", "state")
    grouped: dict[str, object] = {n: {"aggregations": [], "operation": "groupby"} for n in key}
    grouped |= {n: {"aggregations": ["first"], "operation": "aggregate"} for n in others}
    fields = [f'"{name}" / 1000000 AS "{name}"' for name in ("first", "last")]
    fields += [f'"{name}"' for name in ("user", "host", *others[1:])]
    where = [
        "time >= ${__from}ms - 8d",
        "time <= ${__to}ms",
        '("last" >= ${__from}000000 OR "overdue" >= ${__from}000000)',
        *conditions,
    ]
    times: Properties = {"unit": "dateTimeAsIso", "custom.width": 165}
    return rows(
        "Sessions",
        """Sessions by sshd or login that were open in this range, the newest first. An open session
        has no end yet: the user may still be logged in.""",
        InfluxQuery(
            REPORTS,
            f'SELECT {", ".join(fields)} FROM "sessions" WHERE {" AND ".join(where)} '
            "ORDER BY time DESC LIMIT 5000",
        ),
        {
            "Began": times,
            "Last event": times,
            "Seen for": {"unit": "s", "custom.width": 90},
            "User": investigate("user", "User"),
            "From": investigate("address", "From"),
            "Host": investigate("host", "Host"),
        },
        none="No session in this range, or the query failed (icon in the corner)",
        worst=["Began"],
        shaping=[
            reshape("groupBy", fields=grouped),
            reshape(
                "filterByValue",
                type="include",
                match="all",
                filters=[
                    {
                        "fieldName": "state (first)",
                        "config": {"id": "equal", "options": {"value": "current"}},
                    }
                ],
            ),
            reshape(
                "organize",
                excludeByName={"state (first)": True},
                indexByName={name: place for place, name in enumerate(names)},
                renameByName=names,
            ),
        ],
    )
