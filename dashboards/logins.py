"""Logins: who gets in, by what, and whether anything about it is new."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from dashboards.current import query, table_of_findings, tile_of_findings
from dashboards.frame import hosts, job, keep, lay_out, link, put, source
from dashboards.hosts import HOSTS, of_host
from dashboards.influxql import InfluxQuery, chosen, one_of, sums_of_report, table_of_report
from dashboards.panels import (
    BLUE,
    LOOK_ABOVE_ZERO,
    REPORTS,
    Properties,
    ask,
    graph,
    number,
    reshape,
    rows,
)

_NEW: Final = (
    "new_network",
    "new_host",
    "unusual_hour",
    "new_account_login",
    "first_sudo",
    "second_factor",
)
_GOT_IN: Final = ("success_after_failures", "root_password_login", *_NEW)
_NO_REPORT: Final = "No full hour in this range, or no answer: see the corner"
_FOUND: Final = query("high|medium|low", where=one_of("rule", _GOT_IN))
_LOGINS: Final = 'auth_events_total{$fleet, action="login", outcome="%s"%s}'


def _logins(title: str, about: str, outcome: str, labels: str = "") -> object:
    counted = f"increase({_LOGINS % (outcome, labels)}[$__range])"
    each = of_host(f"sum by (instance) ({counted})")
    return number(
        title,
        about,
        ask(f"sum({each}) or 0 * count({HOSTS})", instant=True),
        steps=((None, BLUE),),
        none="Unknown",
        height=3,
    )


def _numbers() -> list[object]:
    return [
        _logins(
            "Logins",
            """How often someone got in. More than people work here: see who below.""",
            "success",
        ),
        _logins(
            "By password",
            """Logins by password or by an answer to a challenge. A password can be guessed; where
            keys are the rule, ask who it was.""",
            "success",
            ', method=~"password|challenge"',
        ),
        _logins(
            "Failed logins",
            """How often a login was refused. What every host on the internet sees is no alarm:
            compare with yesterday.""",
            "failure",
        ),
        tile_of_findings(
            "Logins that stand out",
            "Findings about logins; the table below lists them, from the same answer.",
            _FOUND,
            of="finding",
            steps=LOOK_ABOVE_ZERO,
        ),
        tile_of_findings(
            "New networks",
            "Users who came from a network that is new for them; they are rows of the table below.",
            _FOUND,
            of="finding",
            rules="^new_network$",
            steps=LOOK_ABOVE_ZERO,
        ),
        tile_of_findings(
            "Unusual hours",
            "Users who logged in at an hour that is unusual for them; see the table below.",
            _FOUND,
            of="finding",
            rules="^unusual_hour$",
            steps=LOOK_ABOVE_ZERO,
        ),
    ]


def _how(title: str, about: str, outcome: str) -> object:
    each = f"sum by (instance, program, method) (increase({_LOGINS % (outcome, '')}[%s]))"
    known = of_host(each % "$__interval", moving=True)
    ever = of_host(each % "$__range", at_end=True)
    return graph(
        title,
        about,
        ask(
            f"""sum by (program, method) ({known})
            and on (program, method) sum by (program, method) ({ever}) > 0""",
            "{{program}} {{method}}",
        ),
        bars=True,
        stack=True,
        none="None in this range, or no exporter is scraped",
    )


def _by_hour() -> object:
    return graph(
        "Failed logins by host, each hour",
        """From the reports, so that it also has what was read late. The host that stands out is
        the one to open.""",
        InfluxQuery(
            REPORTS,
            sums_of_report(
                "report_attempts",
                ["failures"],
                ("host", "program", "method"),
                chosen("host"),
                by=["host"],
            ),
            shape="time_series",
            alias="$tag_host",
        ),
        bars=True,
        stack=True,
        none=_NO_REPORT,
        width=24,
    )


def _top(title: str, about: str, what: str, heading: str) -> object:
    return rows(
        title,
        f"""{about} On all hosts: this report has no host. Added up from the ten most frequent of
        each full hour, so it may be a little more than this.""",
        InfluxQuery(
            REPORTS,
            table_of_report(
                "report_top",
                ["value", "count"],
                ["outcome", "top", "rank"],
                f""""top" = '{what}' AND "outcome" = 'failure' AND "rank" != 'others'""",
            ),
        ),
        {heading: {"custom.width": 190, **_links(heading)}, "Failures": {"unit": "short"}},
        none=_NO_REPORT,
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
        width=6,
        height=8,
    )


def _tops() -> list[object]:
    return [
        _top(
            "Addresses that failed most",
            """From where. Block in the firewall what goes on for hours.""",
            "address",
            "Address",
        ),
        _top(
            "Names tried most",
            """As whom. A name that is an account's of yours and not root's: someone knows it.""",
            "user",
            "User",
        ),
        _top(
            "Targets tried most",
            """To where. Check whether it has to be reachable from there; close what nobody
            needs.""",
            "target",
            "Target",
        ),
        _top(
            "Why logins failed",
            """Why: bad_credential is a wrong password; invalid_user a guessed name; not_allowed
            your own rules at work. Look into a reason that is new.""",
            "reason",
            "Reason",
        ),
    ]


def _links(heading: str) -> Properties:
    variable = {"Address": "address", "User": "user"}.get(heading)
    if variable is None:
        return {}
    sources = keep("prometheus_datasource", "events_datasource", "reports_datasource")
    there = put(variable, f"__data.fields.{heading}")
    return {"links": [link(f"Investigate this {variable}", "heptad-investigate", *sources, there)]}


def build() -> dashboard.Dashboard:
    """The dashboard."""
    return lay_out(
        "heptad-logins",
        "Logins",
        """Who gets in, and is anything about it new? Ask the owner of the account about what
        stands out; if they do not know of it, lock the account.""",
        [source("prometheus"), source("events"), source("reports"), job(), hosts()],
        *_numbers(),
        table_of_findings(
            "Logins to look at",
            """After failures, by root's password, from a new network, on a new host, at an unusual
            hour, of a new account. Ask the owner of the account; if they do not know of it, lock
            it, end its sessions and open the finding.""",
            _FOUND,
        ),
        _how(
            "Logins by program and method",
            """How people get in. A password where keys are the rule, or a program that nobody
            logs in by: see who on Investigate.""",
            "success",
        ),
        _how(
            "Failures by program and method",
            """What is tried. Failures by publickey are old keys or agents with many of them; by
            password they are guesses. Switch off what nobody needs (PasswordAuthentication no).""",
            "failure",
        ),
        _by_hour(),
        *_tops(),
        since="now-24h",
    )
