"""Findings as a table: what is open, by what is gravest.

A finding is written again as it grows; Grafana keeps the last row of each, and leaves out what was
merged into another or withdrawn.
"""

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.models import dashboard as models

from dashboards.frame import keep, link, put
from dashboards.influxql import InfluxQuery
from dashboards.panels import BLUE, GREEN, ORANGE, RED, REPORTS, Properties, reshape, rows, words

_KEY: Final = ("rule", "subject", "first")
_OTHERS: Final = ("severity", "sentence", "count", "hosts", "last", "state")
_NAMES: Final = {
    "last (first)": "Last seen",
    "severity (first)": "Severity",
    "rule": "Finding",
    "subject": "About",
    "sentence (first)": "What",
    "count (first)": "Events",
    "hosts (first)": "Hosts",
    "first": "First seen",
}
SEVERITY: Final = words(
    {
        "high": ("high", RED),
        "medium": ("medium", ORANGE),
        "low": ("low", BLUE),
        "info": ("info", GREEN),
    }
)
ONE_OF_A_LIST: Final = models.RegexMap(
    models.DashboardRegexMapOptions(
        pattern=r'/^\["([^"]*)"\]$/', result=models.ValueMappingResult(text="$1")
    )
)
"""A JSON array of one text as that text; longer ones stay as they are."""
MANY: Final = models.SpecialValueMap(
    models.DashboardSpecialValueMapOptions(
        match=models.SpecialValueMatch.EMPTY, result=models.ValueMappingResult(text="many")
    )
)
"""A finding that stands for many has no subject."""
_COLOURED: Final = {"type": "color-background", "mode": "basic"}
_TIME: Final = {"unit": "dateTimeAsIso", "custom.width": 170}


def query(where: str = "") -> InfluxQuery:
    """The findings that went on in the range, the newest first, with all their revisions."""
    # A row's time is that of the first event; what began before the range may go on in it.
    conditions = [
        "time >= ${__from}ms - 3d",
        "time <= ${__to}ms",
        '"last" >= ${__from}000000',
        *([where] if where else []),
    ]
    return InfluxQuery(
        REPORTS,
        'SELECT "rule", "subject", "first" / 1000000 AS "first", "severity", "sentence", "count", '
        '"hosts", "last" / 1000000 AS "last", "state" FROM "findings" '
        f"WHERE {' AND '.join(conditions)} ORDER BY time DESC LIMIT 5000",
    )


def keep_last(severities: str) -> list[models.DataTransformerConfig]:
    """Of each finding the last revision, if it stands and has one of these severities."""
    grouped: dict[str, object] = {
        name: {"aggregations": [], "operation": "groupby"} for name in _KEY
    }
    grouped |= {name: {"aggregations": ["first"], "operation": "aggregate"} for name in _OTHERS}
    return [
        reshape("groupBy", fields=grouped),
        reshape(
            "filterByValue",
            type="include",
            match="all",
            filters=[
                {
                    "fieldName": "state (first)",
                    "config": {"id": "equal", "options": {"value": "current"}},
                },
                {
                    "fieldName": "severity (first)",
                    "config": {"id": "regex", "options": {"value": f"^({severities})$"}},
                },
            ],
        ),
    ]


def table_of_sessions(title: str, about: str, *, none: str) -> table.Panel:
    """The sessions that went on in the range, the newest first, each as it was written last."""
    key = ("host", "first", "user")
    others = ("last", "address", "program", "end", "seconds", "state")
    names = {
        "first": "Began",
        "user": "Who",
        "address (first)": "From where",
        "host": "Host",
        "program (first)": "Program",
        "seconds (first)": "Length",
        "end (first)": "End",
        "last (first)": "Last event",
    }
    grouped: dict[str, object] = {n: {"aggregations": [], "operation": "groupby"} for n in key}
    grouped |= {n: {"aggregations": ["first"], "operation": "aggregate"} for n in others}
    is_current = {"id": "equal", "options": {"value": "current"}}
    fields = [f'"{name}" / 1000000 AS "{name}"' for name in ("first", "last")]
    fields += [f'"{name}"' for name in ("user", "host", *others[1:])]
    return rows(
        title,
        about,
        InfluxQuery(
            REPORTS,
            f'SELECT {", ".join(fields)} FROM "sessions" WHERE time >= ${{__from}}ms - 8d '
            'AND time <= ${__to}ms AND ("last" >= ${__from}000000 OR '
            '"overdue" >= ${__from}000000) ORDER BY time DESC LIMIT 5000',
        ),
        {
            "Began": _TIME,
            "Last event": _TIME,
            "Length": {"unit": "s", "custom.width": 110},
            "Host": {"custom.width": 150},
        },
        none=none,
        worst=["Began"],
        shaping=[
            reshape("groupBy", fields=grouped),
            reshape(
                "filterByValue",
                type="include",
                match="all",
                filters=[{"fieldName": "state (first)", "config": is_current}],
            ),
            reshape(
                "organize",
                excludeByName={"state (first)": True},
                indexByName={name: place for place, name in enumerate(names)},
                renameByName=names,
            ),
        ],
    )


def _columns() -> dict[str, Properties]:
    sources = ("prometheus_datasource", "events_datasource", "reports_datasource")
    kept = keep(*sources, "job", "instance")
    events = [
        link(f"Events of this {name}", "heptad-authentication", *kept, put(name, "__value.raw"))
        for name in ("address", "user", "host")
    ]
    return {
        "Last seen": _TIME,
        "First seen": _TIME,
        "Severity": {"mappings": [SEVERITY], "custom.cellOptions": _COLOURED, "custom.width": 90},
        "Finding": {"custom.width": 190},
        "About": {"links": events, "mappings": [MANY], "custom.width": 190},
        "Events": {"unit": "short", "custom.width": 80},
        "Hosts": {"mappings": [ONE_OF_A_LIST], "custom.width": 150},
    }


def table_of_findings(
    title: str,
    about: str,
    *,
    none: str,
    severities: str = "high|medium",
    where: str = "",
    width: int = 24,
    height: int = 8,
) -> table.Panel:
    """Findings of these severities, the newest first; ``where`` is a condition in InfluxQL."""
    order = {name: place for place, name in enumerate(_NAMES)}
    shaping: Sequence[models.DataTransformerConfig] = [
        *keep_last(severities),
        reshape(
            "organize",
            excludeByName={"state (first)": True},
            indexByName=order,
            renameByName=_NAMES,
        ),
    ]
    return rows(
        title,
        about,
        query(where),
        _columns(),
        none=none,
        worst=["Last seen"],
        shaping=shaping,
        width=width,
        height=height,
    )
