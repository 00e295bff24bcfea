"""Authentication: who tried to log in, from where, and who got in."""

from collections.abc import Sequence
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard

from dashboards.findings_table import table_of_findings
from dashboards.fleet import HOSTS
from dashboards.frame import hosts, instances, lay_out, source, tag_of, text, window
from dashboards.influxql import (
    IN_RANGE,
    InfluxQuery,
    chosen,
    matches,
    one_of,
    quote,
    sums_of_report,
    table_of_report,
    values_of_report,
)
from dashboards.panels import (
    ACT_ABOVE_ZERO,
    BLUE,
    EVENTS,
    GREEN,
    ORANGE,
    REPORTS,
    ask,
    graph,
    number,
    reshape,
    rows,
    words,
)

_OUTCOMES: Final = words(
    {
        "success": ("success", GREEN),
        "failure": ("failure", ORANGE),
        "unknown": ("unknown", BLUE),
    }
)
_COLOUR: Final = {"success": GREEN, "failure": ORANGE, "unknown": BLUE}
_TEXT: Final = {"custom.cellOptions": {"type": "color-text"}}

_COLUMNS: Final = {
    "Time": "When",
    "host": "Where",
    "program": "To where",
    "target_user": "As whom",
    "action": "What",
    "outcome": "Outcome",
    "method": "Method",
    "reason": "Reason",
    "user": "Who",
    "source_ip": "From where",
    "source_port": "Port",
    "source_domain": "Peer's name",
    "tty": "Terminal",
    "object": "On what",
    "count": "Times",
}
"""The seven answers of an event → their headings, in order."""


_GOT_IN: Final = (
    "success_after_failures",
    "root_password_login",
    "new_network",
    "new_host",
    "unusual_hour",
    "new_account_login",
)
"""Rules that tell of a login that somebody should look at."""


def _found(title: str, about: str, rule: str) -> object:
    return number(
        title,
        about,
        ask(
            f'sum(increase(heptad_findings_total{{$fleet, rule="{rule}"}}[$__range]))',
            instant=True,
        ),
        steps=ACT_ABOVE_ZERO,
        none="No aggregator",
        width=5,
    )


def _logins(title: str, about: str, outcome: str, width: int = 4) -> object:
    selector = f'auth_events_total{{$me, action="login", outcome="{outcome}"}}'
    return number(
        title,
        about,
        ask(f"sum(increase({selector}[$__range]))", instant=True),
        none="No exporter",
        width=width,
    )


def _numbers() -> list[object]:
    return [
        _found(
            "Success after failures",
            """Logins from an address from which many had failed just before. Somebody may have
            guessed a password: ask its owner; if it was not him, lock the account and look at
            what was done on the host since.""",
            "success_after_failures",
        ),
        _found(
            "Root logins by password",
            """Nobody can say who it was, and a password can be guessed. Ask who did it, and set
            PermitRootLogin to prohibit-password.""",
            "root_password_login",
        ),
        _found(
            "Attacks by one address on many users",
            """Spraying: one address tried many names. Block it in the firewall if it goes on;
            Heptad bans nobody.""",
            "spraying",
        ),
        _logins(
            "Failed logins",
            """How often a login was refused in this range. What every host on the internet sees
            is no alarm: compare with yesterday (the range at the top).""",
            "failure",
        ),
        _logins(
            "Logins",
            """How often somebody got in. More than people work here: see who, in the table of
            events below with outcome success.""",
            "success",
            width=5,
        ),
    ]


def _rate(by: str, outcome: str) -> str:
    labels = f'$me, action="login", outcome{outcome}'
    return f"60 * sum by ({by}) (rate(auth_events_total{{{labels}}}[$__rate_interval]))"


def _attempts_over_time() -> list[object]:
    return [
        graph(
            "Login attempts by outcome",
            """Attempts a minute. If both rise at once, an attack may be getting in: look at
            success after failures above.""",
            ask(_rate("outcome", '=~"success|failure"'), "{{outcome}}"),
            unit="cpm",
            colors=_COLOUR,
            none="No exporter is scraped",
            width=8,
        ),
        graph(
            "Failures by program and method",
            """What is tried. Failures by publickey are old keys or agents with many of them;
            failures by password are guesses. Switch off what nobody needs
            (PasswordAuthentication no).""",
            ask(_rate("program, method", '="failure"'), "{{program}} {{method}}"),
            unit="cpm",
            stack=True,
            none="No exporter is scraped",
            width=8,
        ),
        graph(
            "Logins by program and method",
            """How people get in. A password where keys are the rule, or a program that nobody
            logs in by: see who, in the table of events below with outcome success.""",
            ask(_rate("program, method", '="success"'), "{{program}} {{method}}"),
            unit="cpm",
            stack=True,
            none="No exporter is scraped",
            width=8,
        ),
    ]


def _reports_over_time() -> list[object]:
    return [
        graph(
            "Attempts by host",
            """From the reports, so that it also tells what was read late. The host that stands
            out is the one to open.""",
            InfluxQuery(
                REPORTS,
                sums_of_report(
                    "report_attempts", ["attempts"], _ATTEMPTS, chosen("host"), by=["host"]
                ),
                shape="time_series",
                alias="$tag_host",
            ),
            bars=True,
            stack=True,
            none="No report in this range: choose a longer range, or reports of 5m",
        ),
        graph(
            "Different addresses and users that failed",
            """Many addresses and one user: a distributed attack, see who. One address and many
            users: spraying. Both many: lists of names and passwords.""",
            InfluxQuery(
                REPORTS,
                values_of_report(
                    "report_distinct",
                    ["addresses", "users"],
                    ["outcome"],
                    "\"outcome\" = 'failure'",
                ),
                shape="time_series",
                alias="$col",
            ),
            none="No report in this range: choose a longer range, or reports of 5m",
        ),
    ]


_ATTEMPTS: Final = ("host", "program", "method")


def _top(title: str, about: str, what: str, heading: str) -> object:
    return rows(
        title,
        f"""{about} Added up from the ten most frequent of each window, so it may be a little
        more than this.""",
        InfluxQuery(
            REPORTS,
            table_of_report(
                "report_top",
                ["value", "count"],
                ["outcome", "top", "rank"],
                f""""top" = '{what}' AND "outcome" = 'failure' AND "rank" != 'others'""",
            ),
        ),
        {heading: {"custom.width": 190}, "Failures": {"unit": "short"}},
        none="No report in this range: choose a longer range, or reports of 5m",
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
            "Users that were tried most",
            """As whom. A name that is an account's of yours and not root's: somebody knows it.""",
            "user",
            "User",
        ),
        _top(
            "Hosts and programs that were tried most",
            """To where. Does it have to be reachable from there?""".replace(
                "?", ", or can the firewall close it?"
            )
            + " Close what nobody needs.",
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


def _events() -> object:
    names = [name for name in _COLUMNS if name != "Time"]
    tags = ("host", "program", "action", "outcome")
    conditions = [
        IN_RANGE,
        *map(chosen, tags),
        matches("user", "user", "target_user"),
        matches("address", "source_ip", "source_domain"),
    ]
    columns: dict[str, Any] = {
        "When": {"unit": "dateTimeAsIso", "custom.width": 170},
        "Outcome": {"mappings": [_OUTCOMES], **_TEXT},
    }
    return rows(
        "Events: who did what, when and where",
        """The newest 500 that the filters above let through: narrow them down to what you look
        for. Everything that somebody did or that was done to him at night is found by his name
        under User, with the range set to that night.""",
        InfluxQuery(
            EVENTS,
            f'SELECT {quote(names)} FROM "events" WHERE {" AND ".join(conditions)} '
            "ORDER BY time DESC LIMIT 500",
        ),
        columns,
        none="No event: widen the range or the filters above",
        worst=["When"],
        shaping=[
            reshape(
                "organize",
                indexByName={name: place for place, name in enumerate(_COLUMNS)},
                renameByName=_COLUMNS,
            )
        ],
        height=14,
    )


def _variables() -> Sequence[Any]:
    return [
        source("prometheus"),
        source("events"),
        source("reports"),
        *instances(HOSTS),
        hosts(),
        tag_of("program", "Program"),
        tag_of("action", "Action"),
        tag_of("outcome", "Outcome"),
        text("user", "User", "A part of the name that was asked for, that acted or was acted on"),
        text("address", "Address", "A part of the peer's address or name"),
        window(),
    ]


def build() -> dashboard.Dashboard:
    """The dashboard."""
    return lay_out(
        "heptad-authentication",
        "Heptad / Authentication",
        "Who tried to log in, from where, and who got in. Red wants somebody now.",
        _variables(),
        *_numbers(),
        table_of_findings(
            "Logins to be looked at",
            """After failures, by root's password, from a new network, on a new host, at an unusual
            hour, of a new account; the newest first. Ask the owner of the account; if it was not
            him, lock it, end his sessions and look at the events of the address.""",
            none="No such login in this range: nothing to do",
            severities="high|medium|low",
            where=one_of("rule", _GOT_IN),
            height=6,
        ),
        *_attempts_over_time(),
        *_reports_over_time(),
        *_tops(),
        _events(),
        since="now-6h",
    )
