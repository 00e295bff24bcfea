"""One data source of InfluxDB chosen for another: no tile and no table takes it for nothing."""

import re
import time
from collections.abc import Iterator
from typing import Final

import pytest

from tests.support.grafana import BOARDS, QUERIES, Query, panels_of, put_in, values_of
from tests.support.influxdb import Influxd

HOUR: Final = 3_600_000
ASKED: Final = [
    query for query in QUERIES if not query.is_promql and query.kind in ("stat", "table")
]
BUCKETS: Final = ("events", "reports")
SAYS_NOTHING: Final = re.compile("[Uu]nknown|[Nn]ot known|the query failed")
FINDING: Final = (
    'findings_current,rule=spraying revision=1i,level=3i,high=1i,medium=0i,finding=1i,id="1",'
    'address="203.0.113.9",user="ann",host="web-1",begin={at}i,last={at}i,severity="high",'
    'sentence="One",from="203.0.113.9",who="ann",where="web-1",count=3i,state="current",'
    'first={at}i,hosts="[]",addresses="[]",users="[]" {at}'
)
LINES: Final = {
    "events": (
        (
            "events,action=login,outcome=failure,host=web-1,program=sshd,method=password "
            'user="ann",source_ip="203.0.113.9",raw="a line",count=1i {at}'
        ),
    ),
    "reports": (
        FINDING,
        'looked last={at}i,level=0i,high=0.25,medium=0.25,finding=0.25,sentence="" {at}',
        'report_sessions,host=web-1 user="ann",count=1i {at}',
    ),
}


@pytest.fixture(scope="module")
def server(influxd: Influxd) -> Iterator[Influxd]:
    """Both buckets with something of now in them."""
    at = time.time_ns() - 60 * 10**9
    influxd.create(*(f"sources-{name}" for name in BUCKETS))
    for name, lines in LINES.items():
        influxd.write(f"sources-{name}", (line.format(at=at) for line in lines))
    yield influxd
    influxd.drop(*(f"sources-{name}" for name in BUCKETS))


@pytest.mark.parametrize("query", ASKED, ids=lambda query: query.name)
def test_another_bucket_is_unknown(server: Influxd, query: Query) -> None:
    """Where both data sources are one, what it does not have is no zero and no empty list."""
    now = int(time.time() * 1000)
    times = {"__from": str(now - HOUR), "__to": str(now), "__interval": "15s"}
    times["timeFilter"] = f"time >= {times['__from']}ms and time <= {now}ms"
    text = put_in(query.text, values_of(BOARDS[query.board], {"host": ["web-1"]}) | times)
    bucket = query.target["datasource"]["uid"][2:].partition("_")[0]
    [other] = {*BUCKETS} - {bucket}
    assert server.rows(text, f"sources-{other}") == []
    [panel] = (one for one in panels_of(BOARDS[query.board]) if one["title"] == query.panel)
    assert SAYS_NOTHING.search(panel["fieldConfig"]["defaults"]["noValue"])
