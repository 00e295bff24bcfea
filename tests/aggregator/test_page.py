"""The page's questions and answers: what the views give, and what they refuse."""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heptad.aggregator.web.page import Page
from heptad.aggregator.web.query import BadQuery, parse_query
from heptad.aggregator.web.source import HostStores
from heptad.core.units import format_time
from tests.support.aggregator_world import MINUTE, SECOND, World, attack, login
from tests.support.page_views import Views


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Views]:
    """Empty files, and the page on them."""
    views = Views(tmp_path)
    with views.world:
        yield views


def test_events_newest_first(views: Views) -> None:
    """Events come newest first whatever order they arrived in, a page at a time, none twice."""
    ages = (5, 1, 4, 2, 3)
    views.add(*(login(views.now - age * MINUTE, user=f"u{age}") for age in ages))
    # several events at one time, in series of their own
    views.add(*(login(views.now - 9 * MINUTE, user=p, program=p) for p in ("su", "sudo", "sshd")))
    found = views.found()
    assert found[:5] == ["u1", "u2", "u3", "u4", "u5"]
    assert sorted(found[5:]) == ["sshd", "su", "sudo"]
    data = views.ask("events", limit=1)
    paged = data["events"]
    while data["next"] is not None:
        data = views.ask("events", limit=1, before=data["next"])
        paged += data["events"]
    assert [event["user"] for event in paged] == found


def test_filters(views: Views) -> None:
    """Each filter leaves the events that fit; a range leaves those within it."""
    position = views.ask("events")["position"]
    views.add(
        login(views.now - MINUTE, "192.0.2.7", user="root", host="a", raw="Failed for ROOT"),
        login(views.now - 2 * MINUTE, "192.0.2.8", user="bob", host="b", outcome="success"),
        login(views.now - 3 * MINUTE, None, user="eve", program="sudo", target_user="root"),
        login(views.now - 3 * 60 * MINUTE, user="old"),
    )
    assert views.found(since="1h") == ["root", "bob", "eve"]
    assert views.found(since="1h", user="root") == ["root", "eve"]
    assert views.found(since="1h", address="192.0.2.8") == ["bob"]
    assert views.found(since="1h", host="a") == ["root"]
    assert views.found(since="1h", program="sudo") == ["eve"]
    assert views.found(since="1h", outcome="success") == ["bob"]
    assert views.found(since="1h", text="failed FOR") == ["root"]
    assert views.found(since="1h", text="192.0.2") == ["root", "bob"]
    everyone = views.found(since="1h")
    for word in ("login", "AUTH"):
        followed = views.found(since="1h", text=word, after=position)
        assert views.found(since="1h", text=word) == followed
        assert views.found(since="1h", text=word) == everyone, word
    assert views.found(since="24h", until="2h") == ["old"]
    assert views.found(since="1h", user="ro") == []


def test_values_as_they_are_shown(views: Views) -> None:
    """A filter also takes a value as the page shows it, with its escapes, or cut."""
    names = ["a\x1b[31mb", "\u202eevil", "x" * 70_000, "back\\slash", 'quo"te', ""]
    views.add(*(login(views.now - n * MINUTE, user=name) for n, name in enumerate(names, start=1)))
    shown = views.found()
    assert shown[:2] == ["a\\x1b[31mb", "\\u202eevil"]
    assert len(shown[2]) == 256
    assert shown[2].endswith("…")
    for name in shown[:5]:
        assert views.found(user=name) == [name]
    assert {row["name"] for row in views.ask("top")["users"]["rows"]} == set(shown)


def test_following(views: Views) -> None:
    """What arrived after a position is given once, whatever its time; many are cut short."""
    views.add(login(views.now - MINUTE, user="first"))
    position = views.ask("events")["position"]
    assert views.ask("events", after=position)["events"] == []
    views.add(login(views.now - 5 * MINUTE, user="late"), login(views.now, "192.0.2.9", user="new"))
    data = views.ask("events", after=position)
    assert [event["user"] for event in data["events"]] == ["new", "late"]
    assert views.found(after=position, address="192.0.2.9") == ["new"]
    assert views.ask("events", after=data["position"])["events"] == []
    views.add(*(login(views.now + n, user=f"u{n}") for n in range(30)))
    many = views.ask("events", after=data["position"], limit=2)
    assert (len(many["events"]), many["skipped"]) == (2, True)
    assert views.ask("events", after=data["position"])["skipped"] is False


def test_following_a_store_begun_anew(local: Views) -> None:
    """A position that the store never had counts from its beginning."""
    local.add(login(local.now))
    assert len(local.ask("events", after=10**9)["events"]) == 1


def test_search_gives_up_and_goes_on(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that takes too long says how far it came, and the next one goes on from there."""
    monkeypatch.setattr("heptad.aggregator.web.events._SECONDS", 0.0)
    views.add(login(views.now - 1000 * SECOND, user="needle"))
    views.add(*(login(views.now - n * SECOND) for n in range(1, 900)))
    data, searches = views.ask("events", user="needle"), 1
    while data["next"] is not None and not data["events"]:
        data = views.ask("events", user="needle", before=data["next"])
        searches += 1
    assert [event["user"] for event in data["events"]] == ["needle"]
    assert searches == 4


def test_attempts_over_time(views: Views) -> None:
    """Attempts are the same counted from reports, from events, or from both."""
    begin = views.now - 50 * MINUTE
    views.add(*(login(begin + n * MINUTE, count=2) for n in range(40)))
    views.add(*(login(begin + n * MINUTE, outcome="success") for n in range(0, 40, 10)))
    span = {
        "since": format_time(views.now - 120 * MINUTE),
        "until": format_time(views.now + SECOND),
    }
    plain = views.ask("series", **span)
    assert (sum(plain["failures"]), sum(plain["successes"])) == (80, 4)
    assert plain["step"] == 300
    views.world.run_cycle(everything=True)
    assert views.world.windows()
    assert views.ask("series", **span) == plain
    views.add(login(views.now - SECOND))
    assert sum(views.ask("series", **span)["failures"]) == 81
    assert views.ask("series", since="30d")["step"] == 3600
    assert sum(views.ask("series", since="30d")["failures"]) == 81
    assert sum(views.ask("series", since="30d", program="su")["failures"]) == 0


@pytest.mark.parametrize(
    ("length", "step"), [(90, 1), (590, 5), (1700, 15), (7000, 60), (8000, 300)]
)
def test_a_short_range_has_short_steps(views: Views, length: int, step: int) -> None:
    """Within two hours a step is shorter than the shortest window, and every attempt counts once."""
    since = views.now - length * SECOND
    views.add(*(login(since + n * step * SECOND) for n in range(3)))
    views.world.run_cycle(everything=True)
    span = {"since": format_time(since), "until": format_time(views.now + 1)}
    data = views.ask("series", **span)
    assert (data["step"], sum(data["failures"]), data["from"]) == (step, 3, None)
    assert len(data["failures"]) <= 122


def test_a_short_range_with_too_many_events(local: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where not all events can be counted in time, the windows of the reports are shown instead."""
    begin = local.now // (5 * MINUTE) * 5 * MINUTE - 60 * MINUTE
    local.add(*(login(begin + n * SECOND) for n in range(600)))
    local.world.run_cycle(everything=True)
    monkeypatch.setattr("heptad.aggregator.web.series._SECONDS", 0.0)
    data = local.ask("series", since=format_time(begin), until=format_time(begin + 30 * MINUTE))
    assert (data["step"], sum(data["failures"])) == (300, 600)


@pytest.mark.parametrize("looks", [False, True])
def test_attempts_are_those_of_the_range(views: Views, *, looks: bool) -> None:
    """What was before the range is in no number, though its first step begins before it."""
    since = views.now // (5 * MINUTE) * 5 * MINUTE - 59 * MINUTE
    views.add(login(since - 10 * SECOND), login(since, outcome="success"), login(since + SECOND))
    if looks:
        views.world.run_cycle(everything=True)
    span = {"since": format_time(since), "until": format_time(views.now + SECOND)}
    data = views.ask("series", **span)
    assert (sum(data["failures"]), sum(data["successes"])) == (1, 1)
    assert len(views.ask("events", **span)["events"]) == 2


def test_until_when_it_was_looked_at(views: Views) -> None:
    """Health says up to when logs were read to their end, and events judged; else nothing."""
    assert "looked_until" not in views.ask("health")
    views.look_until(views.now)
    views.judged = views.now - SECOND
    data = views.ask("health")
    assert data["looked_until"] == format_time(views.now)
    assert data["judged_until"] == format_time(views.now - SECOND)
    assert data["is_stale"] is False
    views.look_until(views.now - 4 * MINUTE)
    assert views.ask("health")["is_stale"] is True


def test_attempts_are_bounded(views: Views) -> None:
    """However long a range, the answer has a bounded number of steps."""
    data = views.ask("series", since="1700-01-01T00:00:00Z")
    assert len(data["failures"]) <= 750


def test_top(views: Views) -> None:
    """The most frequent addresses and names of failed logins, the rest as one number."""
    for n in range(15):
        views.add(*(login(views.now - k * SECOND, f"192.0.2.{n}") for k in range(1, n + 2)))
    views.add(login(views.now, "192.0.2.99", outcome="success"))
    data = views.ask("top")
    assert data["failures"] == 120
    assert [row["count"] for row in data["addresses"]["rows"]] == list(range(15, 5, -1))
    assert data["addresses"]["others"] == 15
    assert data["users"]["rows"] == [{"name": "root", "count": 120}]
    assert data["from"] is None


def test_findings(views: Views) -> None:
    """Findings come with their sentence and the range of their evidence."""
    views.add(*attack(views.now - 10 * MINUTE, 6))
    views.world.run_cycle()
    [finding] = views.ask("findings")["findings"]
    assert (finding["rule"], finding["subject"]) == ("brute_force", "192.0.2.1")
    assert finding["title"] == "Brute force"
    assert finding["facts"] == "6 failed logins within 1 minute"
    assert finding["technique_url"] == "https://attack.mitre.org/techniques/T1110/"
    evidence = views.ask("events", since=finding["first"], until=finding["until"])
    assert len(evidence["events"]) == 6
    assert views.ask("findings", since="1m")["findings"] == []


def test_health(views: Views) -> None:
    """Health names what is wrong, and each source with its last event."""
    views.add(login(views.now - MINUTE), login(views.now, host="b", program="sudo"))
    views.problems = ["source auth: \x1b[31mcannot be read"]
    data = views.ask("health")
    assert data["problems"] == ["source auth: \\x1b[31mcannot be read"]
    assert [(s["host"], s["programs"]) for s in data["sources"]] == [
        ("b", ["sudo"]),
        ("web1", ["sshd"]),
    ]


def test_empty_store(views: Views) -> None:
    """A store without events is no problem to any view."""
    assert views.ask("events")["events"] == []
    assert sum(views.ask("series")["failures"]) == 0
    assert views.ask("top")["failures"] == 0
    assert views.ask("findings")["number"] == 0
    assert views.ask("health")["sources"] == []


def test_stores_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is absent, locked or no store is a sentence for the reader, not a failure."""
    monkeypatch.setattr("heptad.aggregator.web.source.PATIENCE", 0.05)
    path = tmp_path / "events.db"
    page = Page(HostStores(path, tmp_path / "reports.db"), "127.0.0.1", list)

    def ask() -> tuple[str, str]:
        answer = page({"PATH_INFO": "/api/events", "HTTP_HOST": "localhost", "QUERY_STRING": ""})
        assert answer is not None
        return answer.status, str(json.loads(answer.body).get("error"))

    status, error = ask()
    assert status.startswith("503")
    assert "the store does not exist yet; start `heptad up`" in error
    with World(tmp_path) as world, closing(sqlite3.connect(path, isolation_level=None)) as other:
        world.append([login(time.time_ns())])
        assert ask()[0] == "200 OK"
        other.execute("BEGIN IMMEDIATE")  # being written
        assert ask()[0] == "200 OK"
        other.execute("ROLLBACK")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        assert ask() == (
            "503 Service Unavailable",
            "Not available at the moment: " + LOCKED(path),
        )
        other.execute("ROLLBACK")
    path.write_bytes(b"no database" * 1000)
    assert ask()[0].startswith("503")


def test_reports_that_cannot_be_read(local: Views) -> None:
    """A spoilt store of findings costs the findings alone; the other local go on."""
    local.add(login(local.now - SECOND))
    local.world.reports.close()
    for file in local.folder.glob("reports.db*"):
        file.write_bytes(b"no database" * 1000)
    assert local.found() == ["root"]
    assert sum(local.ask("series")["failures"]) == 1
    assert local.ask("health")["sources"]
    answer = local.answer("/api/findings")
    assert answer.status == "503 Service Unavailable"
    assert "reports.db" in json.loads(answer.body)["error"]


def LOCKED(path: Path) -> str:  # noqa: N802 - a constant but for the path
    """What is said of a locked store."""
    return f"{path}: cannot read the store: database is locked"


def test_a_pruned_store(local: Views) -> None:
    """Deleting what is shown while a cursor leads on takes nothing but what was deleted."""
    local.add(*(login(local.now - n * MINUTE, user=f"u{n}") for n in range(1, 6)))
    first = local.ask("events", limit=2)
    with closing(sqlite3.connect(local.folder / "events.db")) as db, db:
        db.execute("DELETE FROM points WHERE id <= 3")
    data = local.ask("events", before=first["next"])
    assert [event["user"] for event in data["events"]] == ["u4", "u5"]


@pytest.mark.parametrize(
    "query, words",
    [
        ("since=yesterday", "`since`: `yesterday` is not a time"),
        ("since=1h&until=2h", "`since` is not before `until`"),
        ("limit=0", "`limit` must be a number from 1 to 200"),
        ("limit=1e9", "`limit` must be a number"),
        ("limit=²", "`limit` must be a number"),
        ("outcome=maybe", "`outcome` must be one of success, failure, unknown"),
        ("colour=red", "parameter `colour` is unknown; known: since, until"),
        ("user=a&user=b", "`user` appears twice"),
        (f"text={'x' * 301}", "`text` is longer than 300"),
        ("x" * 5000, "longer than 4000"),
        ("&".join("user=a" for _ in range(30)), "more than 20"),
        ("before=1", "`before` must be the `next`"),
        ("after=-1", "`after` must be a number"),
    ],
)
def test_wrong_parameters(local: Views, query: str, words: str) -> None:
    """A parameter that makes no sense is 400, with what would."""
    answer = local.answer("/api/events", query=query)
    assert (answer.status, words in json.loads(answer.body)["error"]) == ("400 Bad Request", True)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["since", "until", "limit", "before", "after", "user", "outcome"]),
            st.one_of(st.text(max_size=30), st.integers().map(str), st.just("1h")),
        ),
        max_size=4,
    ).map(urlencode)
    | st.text(max_size=60)
)
def test_hostile_queries(query: str) -> None:
    """Any query is either understood or refused, never an error of another kind."""
    with suppress(BadQuery):
        parsed = parse_query(query, 1.8e9)
        assert parsed.since < parsed.until


@pytest.mark.parametrize("path", ["/", "/page.js", "/api/events", "/api/health"])
def test_other_names_are_refused(local: Views, path: str) -> None:
    """On loopback only this host's own names are answered: DNS rebinding leads nowhere."""
    for host in ("localhost", "localhost:9708", "127.0.0.1:1", "[::1]:9708", "LOCALHOST:9708"):
        assert local.answer(path, host).status == "200 OK"
    for host in ("evil.example", "evil.example:9708", "", "127.0.0.1.evil.example", "a,localhost"):
        assert local.answer(path, host).status.startswith("421")


def test_other_addresses_take_any_name(tmp_path: Path) -> None:
    """Where the page is open to others, and so secured, the name is the administrator's choice."""
    page = Page(HostStores(tmp_path / "e", tmp_path / "r"), "0.0.0.0", list)  # noqa: S104 - a value
    answer = page({"PATH_INFO": "/", "HTTP_HOST": "heptad.example"})
    assert answer is not None
    assert answer.status == "200 OK"


def test_headers(local: Views) -> None:
    """Every answer has the strict policy; data are not kept, files are asked for again."""
    for path in ("/", "/page.js", "/page.css", "/uPlot.iife.min.js", "/api/health", "/api/x"):
        headers = dict(local.answer(path).headers)
        assert headers["Content-Security-Policy"].startswith(
            "default-src 'none'; script-src 'self'"
        )
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["Referrer-Policy"] == "no-referrer"
    assert dict(local.answer("/api/health").headers)["Cache-Control"] == "no-store"
    tag = dict(local.answer("/page.js").headers)["ETag"]
    again = local.page(
        {"PATH_INFO": "/page.js", "HTTP_HOST": "localhost", "HTTP_IF_NONE_MATCH": tag}
    )
    assert again is not None
    assert again.status == "304 Not Modified"
    assert local.page({"PATH_INFO": "/../page.py", "HTTP_HOST": "localhost"}) is None


def test_nothing_inline_or_from_elsewhere() -> None:
    """The page's own files load nothing from elsewhere and put nothing in as markup."""
    folder = Path(__file__).parents[2] / "aggregator" / "heptad" / "aggregator" / "web" / "static"
    for file in folder.iterdir():
        text = file.read_text()
        if file.suffix in (".html", ".css") and not file.name.startswith("uPlot"):
            assert "http" not in text, file
            assert "style=" not in text, file
        if file.suffix == ".js" and not file.name.startswith("uPlot"):
            assert "innerHTML" not in text, file
            assert "http" not in text, file
    html = (folder / "index.html").read_text()
    assert html.count("<script") == html.count('<script src="')
