"""heptad grafana push against a Grafana that answers as its documentation says."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from heptad.cli.grafana.dashboards import SHIPPED, load_dashboards
from heptad.cli.grafana.datasources import KINDS, UIDS
from heptad.cli.main import main
from tests.support.grafana_api import REFUSALS, TOKEN, GrafanaApi

FLEET: dict[str, Any] = {
    "id": None,
    "uid": "heptad-fleet",
    "title": "Fleet",
    "schemaVersion": 41,
    "tags": ["heptad"],
    "templating": {
        "list": [
            {
                "type": "datasource",
                "name": "prometheus_datasource",
                "query": "prometheus",
                "current": {"text": "heptad-prometheus", "value": "heptad-prometheus"},
                "hide": 2,
            },
            {"type": "custom", "name": "window", "current": {"text": "1h", "value": "1h"}},
        ]
    },
    "panels": [{"id": 1, "type": "stat", "title": "Hosts", "targets": [{"expr": "up"}]}],
}
HOST = {"uid": "heptad-host", "title": "Host", "panels": []}
SECRETS = {"token": "t0ken-of-influxdb", "password": "pa55-of-influxdb", "basic": "pa55-of-prom"}

Told = tuple[int, list[str]]
Push = Callable[..., Told]


@pytest.fixture
def grafana() -> Iterator[GrafanaApi]:
    """The server, with nothing in it."""
    grafana = GrafanaApi()
    with grafana.server.serving():
        yield grafana


@pytest.fixture
def boards(tmp_path: Path) -> Path:
    """Two small dashboards."""
    folder = tmp_path / "boards"
    folder.mkdir()
    for board in (FLEET, HOST):
        (folder / f"{board['title']}.json").write_text(json.dumps(board))
    return folder


@pytest.fixture
def push(
    grafana: GrafanaApi, boards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Push:
    """Run the command; gives its status and what it told, in which there is no secret."""
    for name, secret in {**SECRETS, "grafana": TOKEN}.items():
        (tmp_path / name).write_text(secret + "\n")

    def run(*arguments: str, url: str = grafana.server.url) -> Told:
        named = [f"@{tmp_path}/{a[1:]}" if a.startswith("@") else a for a in arguments]
        status = main(
            [
                *("grafana", "push", "--url", url, "--dashboards", str(boards)),
                *("--token-file", str(tmp_path / "grafana")),
                *(argument.removeprefix("@") for argument in named),
            ]
        )
        told = "".join(capsys.readouterr())
        assert not [secret for secret in (*SECRETS.values(), TOKEN) if secret in told], told
        return status, told.splitlines()

    return run


SOURCES = (
    *("--prometheus-url", "http://prometheus:9090/"),
    *("--influxdb-url", "http://influxdb:8086", "--influxdb-token-file", "@token"),
)


def test_everything_is_made_once(grafana: GrafanaApi, push: Push) -> None:
    """The first run makes data sources, folder and dashboards; the second changes nothing."""
    things = [
        "data source Heptad metrics",
        "data source Heptad events",
        "data source Heptad reports",
        "folder Heptad",
        "dashboard Fleet",
        "dashboard Host",
    ]
    status, told = push(*SOURCES)
    assert told == [
        *(f"{thing}: created" for thing in things),
        f"see {grafana.server.url}/dashboards/f/heptad",
    ]
    assert status == 0
    done = grafana.changes()
    assert push(*SOURCES) == (
        0,
        [
            *(f"{thing}: unchanged" for thing in things),
            "nothing to change: Grafana is up to date",
        ],
    )
    assert grafana.changes() == done
    assert grafana.dashboards["heptad-fleet"]["meta"]["folderUid"] == "heptad"


def test_secrets_are_where_grafana_encrypts_them(grafana: GrafanaApi, push: Push) -> None:
    """A token or password is in secureJsonData alone, and all else can be seen."""
    push(*SOURCES, "--prometheus-user", "ann", "--prometheus-password-file", "@basic")
    assert grafana.secrets == {
        "heptad-prometheus": {"basicAuthPassword": SECRETS["basic"]},
        "heptad-events": {"httpHeaderValue1": f"Token {SECRETS['token']}"},
        "heptad-reports": {"httpHeaderValue1": f"Token {SECRETS['token']}"},
    }
    shown = json.dumps(grafana.datasources)
    assert not [secret for secret in SECRETS.values() if secret in shown]
    events = grafana.datasources["heptad-events"]
    assert events["jsonData"] == {
        "version": "InfluxQL",
        "httpMode": "POST",
        "httpHeaderName1": "Authorization",
        "dbName": "events",
    }
    prometheus = grafana.datasources["heptad-prometheus"]
    assert prometheus["url"] == "http://prometheus:9090"
    assert prometheus["jsonData"] == {"httpMethod": "POST", "timeInterval": "15s"}


def test_settings_of_the_configuration_are_used(
    grafana: GrafanaApi, push: Push, tmp_path: Path
) -> None:
    """URL, user, buckets and whom to trust come from its section `influxdb`."""
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----")
    (tmp_path / "heptad.yaml").write_text(
        f"""
        influxdb:
          url: https://influxdb.example.org:8086/
          username: grafana
          password_file: {tmp_path}/password
          buckets: {{events: logins, reports: findings}}
          tls: {{ca_file: {tmp_path}/ca.pem}}
        """
    )
    status, _ = push("--config", "@heptad.yaml")
    assert status == 0
    source = grafana.datasources["heptad-reports"]
    assert source["url"] == "https://influxdb.example.org:8086"
    assert source["user"] == "grafana"
    assert source["jsonData"]["dbName"] == "findings"
    assert source["jsonData"]["tlsAuthWithCACert"] is True
    assert grafana.secrets["heptad-events"] == {
        "password": SECRETS["password"],
        "tlsCACert": "-----BEGIN CERTIFICATE-----",
    }
    told = push("--config", "@heptad.yaml", "--influxdb-token-file", "@token")[1]
    assert told[0] == "data source Heptad events: changed (user)"
    source = grafana.datasources["heptad-events"]
    assert source["jsonData"]["httpHeaderName1"] == "Authorization"
    push("--config", "@heptad.yaml")
    assert "httpHeaderName1" not in grafana.datasources["heptad-events"]["jsonData"]


def test_the_database_has_both_its_forms(grafana: GrafanaApi, push: Push) -> None:
    """Grafana up to 9.3 reads `database`, newer ones `jsonData.dbName`: pushed and provisioned."""
    push(*SOURCES)
    file = Path(__file__).parents[2] / "provisioning/grafana/datasources/heptad.yml"
    provisioned = yaml.safe_load(file.read_text())["datasources"]
    for sources in (grafana.datasources.values(), provisioned):
        names = {
            one["uid"]: (one["database"], one["jsonData"]["dbName"])
            for one in sources
            if one["type"] == "influxdb"
        }
        assert names == {
            "heptad-events": ("events", "events"),
            "heptad-reports": ("reports", "reports"),
        }


def test_what_differs_is_changed_and_named(grafana: GrafanaApi, push: Push) -> None:
    """The first place that differs is told; what a person set beside it is kept."""
    push(*SOURCES)
    board = grafana.dashboards["heptad-fleet"]["dashboard"]
    board["panels"][0]["targets"][0]["expr"] = "down"
    board["annotations"] = {"list": []}
    prometheus = grafana.datasources["heptad-prometheus"]
    prometheus |= {"url": "http://old:9090", "isDefault": True}
    prometheus["jsonData"] = {**prometheus["jsonData"], "manageAlerts": False}
    status, told = push(*SOURCES)
    assert status == 0
    assert told[0] == "data source Heptad metrics: changed (url)"
    assert told[4] == "dashboard Fleet: changed (panels[0].targets[0].expr)"
    assert told[5] == "dashboard Host: unchanged"
    prometheus = grafana.datasources["heptad-prometheus"]
    assert prometheus["isDefault"] is True
    assert prometheus["jsonData"]["manageAlerts"] is False
    assert grafana.dashboards["heptad-fleet"]["dashboard"]["version"] == 2
    assert push(*SOURCES)[1][-1].startswith("nothing to change")


def test_a_dry_run_changes_nothing(grafana: GrafanaApi, push: Push) -> None:
    """It tells what would be done."""
    status, told = push(*SOURCES, "--dry-run")
    assert status == 0
    assert told[0] == "data source Heptad metrics: would be created"
    assert grafana.changes() == []
    push(*SOURCES)
    grafana.dashboards["heptad-host"]["dashboard"]["title"] = "Hosts"
    done = grafana.changes()
    assert push(*SOURCES, "--dry-run")[1][-1] == "dashboard Host: would be changed (title)"
    assert grafana.changes() == done


def test_check_fails_where_anything_differs(grafana: GrafanaApi, push: Push) -> None:
    """Its status is 1 for what is missing or different, 0 if all is as pushed; it changes nothing."""
    status, told = push(*SOURCES, "--check")
    assert (status, told[-1]) == (1, "dashboard Host: missing")
    assert grafana.changes() == []
    push(*SOURCES)
    done = grafana.changes()
    assert push(*SOURCES, "--check")[0] == 0
    grafana.datasources["heptad-events"]["secureJsonFields"] = {}
    status, told = push(*SOURCES, "--check")
    assert status == 1
    assert told[1] == "data source Heptad events: differs (secureJsonFields.httpHeaderValue1)"
    assert grafana.changes() == done


def test_secrets_are_renewed_when_asked_to(grafana: GrafanaApi, push: Push) -> None:
    """Grafana does not show a secret, so that a new one is sent only then."""
    push(*SOURCES)
    grafana.secrets["heptad-events"]["httpHeaderValue1"] = "Token of before"
    push(*SOURCES)
    assert grafana.secrets["heptad-events"]["httpHeaderValue1"] == "Token of before"
    told = push(*SOURCES, "--renew-secrets")[1]
    assert told[0] == "data source Heptad metrics: unchanged"  # it has none
    assert told[1] == "data source Heptad events: changed (secureJsonData)"
    assert grafana.secrets["heptad-events"]["httpHeaderValue1"] == f"Token {SECRETS['token']}"


def test_data_sources_that_are_there_can_be_used(grafana: GrafanaApi, push: Push) -> None:
    """--use makes none, and lets the dashboards open with the one that is named."""
    grafana.add_datasource("grafanacloud-prom", "prometheus")
    status, told = push("--use", "prometheus=grafanacloud-prom")
    assert status == 0
    assert (
        "no data source was specified for events, reports; select one at the top of a dashboard"
        in told
    )
    assert list(grafana.datasources) == ["grafanacloud-prom"]
    variables = grafana.dashboards["heptad-fleet"]["dashboard"]["templating"]["list"]
    assert variables[0]["current"] == {"text": "grafanacloud-prom", "value": "grafanacloud-prom"}
    assert variables[1] == FLEET["templating"]["list"][1]
    grafana.add_datasource("mine", "influxdb")
    assert push(*SOURCES, "--use", "events=mine")[1][:2] == [
        "data source Heptad metrics: created",
        "data source Heptad reports: created",
    ]


@pytest.mark.parametrize("refusal", ["folder_not_shown", "broken"])
def test_an_editor_may_push(grafana: GrafanaApi, push: Push, refusal: str) -> None:
    """Grafana shows a folder that is not there to nobody but an Admin: it is made all the same.

    Nor does it show the dashboards before there is a folder.
    """
    grafana.refuse["GET", "/api/folders"] = refusal
    grafana.refuse["GET", "/api/dashboards"] = "folder_not_shown"
    used = list[str]()
    for what, kind in KINDS.items():
        grafana.add_datasource(f"my-{what}", kind)
        used += ["--use", f"{what}=my-{what}"]
    status, told = push(*used, "--dry-run")
    assert (status, told[0]) == (0, "folder Heptad: would be created")
    assert told[1].endswith(": would be created")
    del grafana.refuse["GET", "/api/dashboards"]
    status, told = push(*used)
    assert (status, told[0]) == (0, "folder Heptad: created")
    assert push(*used)[1][0] == "folder Heptad: unchanged"


def test_what_has_to_be_chosen_is_shown(grafana: GrafanaApi, push: Push) -> None:
    """Where no data source is named, the dashboard has the choice at its top."""
    grafana.add_datasource("mine", "prometheus")
    used = ("--use", "prometheus=mine")
    for arguments, hide in (((), 0), (used, 2), (SOURCES, 2), ((), 2)):
        push(*arguments)
        board = grafana.dashboards["heptad-fleet"]["dashboard"]
        assert board["templating"]["list"][0]["hide"] == hide


def test_what_a_user_added_stays(grafana: GrafanaApi, push: Push) -> None:
    """What Heptad does not name is kept where a dashboard is changed back."""
    push()
    board = grafana.dashboards["heptad-fleet"]["dashboard"]
    board |= {"title": "Old", "annotations": {"list": [{"name": "deploys"}]}}
    push()
    board = grafana.dashboards["heptad-fleet"]["dashboard"]
    assert (board["title"], board["annotations"]["list"]) == ("Fleet", [{"name": "deploys"}])


def add_to(board: dict[str, Any], title: str) -> None:
    """What a person adds in the browser: a variable before ours, a link, a tag, a panel, a note."""
    templating = board.setdefault("templating", {"list": []})
    templating["list"].insert(0, {"type": "textbox", "name": "ticket"})
    board.setdefault("links", []).append({"title": "Runbooks", "url": "https://wiki.example.org"})
    board.setdefault("tags", []).append("on call")
    ids = [panel["id"] for panel in board["panels"]]
    board["panels"].append({"id": max(ids) + 1, "type": "text", "title": title})
    board.setdefault("annotations", {}).setdefault("list", []).append({"name": "deploys"})


def added_to(board: dict[str, Any]) -> list[Any]:
    """What is there of it."""
    return [
        [one["name"] for one in board["templating"]["list"] if one["name"] == "ticket"],
        [one["url"] for one in board["links"] if one["title"] == "Runbooks"],
        [tag for tag in board["tags"] if tag == "on call"],
        [panel["title"] for panel in board["panels"] if panel["type"] == "text"],
        [one["name"] for one in board["annotations"]["list"] if one["name"] == "deploys"],
    ]


ADDED: Final = [["ticket"], ["https://wiki.example.org"], ["on call"], ["Mine"], ["deploys"]]


def test_what_a_user_added_stays_in_the_shipped_dashboards(grafana: GrafanaApi, push: Push) -> None:
    """It is no difference, and is kept where a panel, a variable and a link are changed back."""
    shipped = (*SOURCES, "--dashboards", str(SHIPPED))
    push(*shipped)
    boards = [one["dashboard"] for one in grafana.dashboards.values()]
    wanted = json.loads(json.dumps(boards))
    for board in boards:
        add_to(board, "Mine")
    assert push(*shipped)[1][-1].startswith("nothing to change")
    for board in boards:
        board["panels"][0]["title"] = board["links"][0]["url"] = "changed"
        board["templating"]["list"][1]["label"] = "changed"
    told = push(*shipped)[1]
    assert len([line for line in told if "changed (" in line]) == len(boards)
    for before, (uid, there) in zip(wanted, grafana.dashboards.items(), strict=True):
        board = there["dashboard"]
        assert added_to(board) == ADDED, uid
        own = [one for one in board["panels"] if one["type"] != "text"]
        assert own == before["panels"]
        assert board["templating"]["list"][1:] == before["templating"]["list"]
        assert board["templating"]["list"][-1]["hide"] == 2
        assert board["links"][: len(before["links"])] == before["links"]


@pytest.mark.parametrize("remembered", [True, False])
def test_what_a_user_added_to_a_row_stays_where_the_row_is_folded(
    grafana: GrafanaApi, push: Push, remembered: bool
) -> None:
    """Grafana saves the panels of a folded row within it: ours are there once, a person's stays."""
    shipped = (*SOURCES, "--dashboards", str(SHIPPED))
    push(*shipped)
    board = grafana.dashboards["heptad-host"]["dashboard"]
    before = json.loads(json.dumps(board["panels"]))
    at = max(n for n, panel in enumerate(before) if panel["type"] == "row")
    mine = {"id": 999, "type": "text", "title": "Mine"}
    board["panels"][at] |= {"collapsed": True, "panels": [*board["panels"][at + 1 :], mine]}
    del board["panels"][at + 1 :]
    if not remembered:
        del board["templating"]["list"][-1]
    assert push(*shipped)[0] == 0
    assert grafana.dashboards["heptad-host"]["dashboard"]["panels"] == [*before, mine]


@pytest.mark.parametrize("name", ["panels", "templating", "annotations", "links", "tags"])
@pytest.mark.parametrize("junk", [None, 1, "2", [3]])
@pytest.mark.parametrize("remembered", [True, False])
def test_what_is_no_panel_and_no_variable_stops_no_push(
    grafana: GrafanaApi, push: Push, name: str, junk: object, remembered: bool
) -> None:
    """Grafana's API takes a dashboard with anything in its lists; the push makes it whole."""
    push()
    board = grafana.dashboards["heptad-fleet"]["dashboard"]
    if not remembered:
        del board["templating"]["list"][-1]
    if name in ("templating", "annotations"):
        board.setdefault(name, {}).setdefault("list", []).insert(0, junk)
    else:
        board.setdefault(name, []).insert(0, junk)
    board["title"] = "Old"
    assert push()[0] == 0
    board = grafana.dashboards["heptad-fleet"]["dashboard"]
    assert (board["title"], board["panels"]) == ("Fleet", FLEET["panels"])


@pytest.mark.parametrize("remembered", [True, False])
def test_a_newer_heptad(grafana: GrafanaApi, push: Push, boards: Path, remembered: bool) -> None:
    """What it does not have any more goes, if what it had is known; what a person added stays."""
    push()
    add_to(grafana.dashboards["heptad-fleet"]["dashboard"], "Mine")
    stats = [{"id": number, "type": "stat", "title": f"Stat {number}"} for number in (1, 2, 3)]
    newer = {**FLEET, "panels": stats, "templating": {"list": FLEET["templating"]["list"][:1]}}
    (boards / "Fleet.json").write_text(json.dumps(newer))
    if not remembered:  # as an older Heptad, or an import in the browser, leaves it
        del grafana.dashboards["heptad-fleet"]["dashboard"]["templating"]["list"][-1]
    assert push()[0] == 0
    board = grafana.dashboards["heptad-fleet"]["dashboard"]
    assert added_to(board) == ADDED
    panels = {panel["id"]: panel["title"] for panel in board["panels"]}
    assert panels == {1: "Stat 1", 2: "Stat 2", 3: "Stat 3", 4: "Mine"}
    variables = {variable["name"] for variable in board["templating"]["list"]}
    assert variables - {"window", "heptad_pushed"} == {"ticket", "prometheus_datasource"}
    assert ("window" in variables) == (not remembered)
    assert push()[1][-1].startswith("nothing to change")


@pytest.mark.parametrize("mode", [[], ["--dry-run"], ["--check"]])
@pytest.mark.parametrize(
    ("used", "words"),
    [
        ("prometheus=nope", ["no data source with this uid", "type prometheus: metrics, more"]),
        ("reports=nope", ["no data source with this uid", "type influxdb: none"]),
        ("reports=metrics", ["wrong type, prometheus", "type influxdb: none"]),
    ],
)
def test_a_data_source_that_does_not_fit(
    grafana: GrafanaApi, push: Push, used: str, words: list[str], mode: list[str]
) -> None:
    """It is refused before anything is changed, and those that would fit are named."""
    grafana.add_datasource("more", "prometheus")
    grafana.add_datasource("metrics", "prometheus")
    status, told = push(*SOURCES[:2], "--use", used, *mode)
    assert (status, len(told)) == (1, 1)
    assert [word for word in words if word not in told[0]] == []
    assert grafana.changes() == []


def test_what_was_moved_or_renamed_by_a_person_stays(grafana: GrafanaApi, push: Push) -> None:
    """A dashboard is known by its uid wherever it is, and so is the folder."""
    push()
    grafana.folders["heptad"]["title"] = "Security"
    grafana.folders["mine"] = {}
    fleet = grafana.dashboards["heptad-fleet"]
    fleet["meta"]["folderUid"] = "mine"
    fleet["dashboard"]["title"] = "Old"
    grafana.dashboards["heptad-host"]["meta"]["folderUid"] = ""
    grafana.dashboards["heptad-host"]["dashboard"]["title"] = "Old"
    push()
    assert grafana.dashboards["heptad-fleet"]["meta"]["folderUid"] == "mine"
    assert grafana.dashboards["heptad-host"]["meta"]["folderUid"] == ""
    assert grafana.folders["heptad"]["title"] == "Security"


def test_what_is_saved_meanwhile_is_not_overwritten(grafana: GrafanaApi, push: Push) -> None:
    """A dashboard is saved over the version that was compared, and no other."""
    push()
    board = grafana.dashboards["heptad-fleet"]["dashboard"]
    board["title"] = "Mine"

    def save() -> None:
        board["version"] = 5

    grafana.meanwhile = save
    status, told = push()
    assert status == 1
    assert "status 412" in told[-1]
    assert "check it, then run this command again" in told[-1]
    assert grafana.dashboards["heptad-fleet"]["dashboard"]["title"] == "Mine"


@pytest.mark.parametrize(
    ("method", "path", "refusal", "words"),
    [
        ("GET", "/api/", "invalid_token", ["401", "Invalid API key", "--token-file", "glc_"]),
        ("POST", "/api/datasources", "no_right", ["datasources:create", "require Admin"]),
        ("POST", "/api/datasources", "datasource_exists", ["409", "rename", "--use"]),
        ("POST", "/api/folders", "folder_exists", ["409", "rename or delete"]),
        ("POST", "/api/dashboards", "named_alike", ["412", "another dashboard has the same title"]),
        ("POST", "/api/dashboards", "of_a_plugin", ["412", "belongs to a plugin"]),
        ("POST", "/api/dashboards", "provisioned", ["400", "provisioned from a file"]),
        ("POST", "/api/dashboards", "no_folder", ["404", "folder not found"]),
        ("GET", "/api/dashboards", "too_many", ["429", "in a minute"]),
        ("GET", "/api/dashboards", "broken", ["500", "the log of Grafana"]),
    ],
)
def test_each_refusal_names_its_remedy(
    grafana: GrafanaApi, push: Push, method: str, path: str, refusal: str, words: list[str]
) -> None:
    """Grafana's own words, and what to do."""
    assert refusal in REFUSALS
    grafana.refuse[method, path] = refusal
    status, told = push(*SOURCES)
    assert status == 1
    assert told[-1].startswith(f"heptad: {grafana.server.url}: status ")
    assert [word for word in words if word not in told[-1]] == []


@pytest.mark.parametrize("place", ["datasource", "dashboard"])
def test_what_comes_from_a_file_is_left_to_it(grafana: GrafanaApi, push: Push, place: str) -> None:
    """Grafana lets nobody change it, so nothing is sent; the same is no error."""
    push(*SOURCES)
    if place == "datasource":
        provisioned = grafana.datasources["heptad-events"]
        provisioned["readOnly"] = True
    else:
        provisioned = grafana.dashboards["heptad-fleet"]["dashboard"]
        grafana.dashboards["heptad-fleet"]["meta"]["provisioned"] = True
    assert push(*SOURCES)[0] == 0
    provisioned["url" if place == "datasource" else "title"] = "another"
    done = grafana.changes()
    for mode in ([], ["--dry-run"]):
        status, told = push(*SOURCES, *mode)
        assert status == 1
        assert "it is provisioned from a file" in told[-1]
    assert any("differs" in line for line in push(*SOURCES, "--check")[1])
    assert grafana.changes() == done


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--use", "logs=x"], "WHAT is one of prometheus, events, reports"),
        (["--use", "events=a/b"], "WHAT=UID"),
        (
            ["--use", "events=a", "--use", "reports=a"],
            "events and reports cannot both use the data source a,",
        ),
        (
            ["--use", "events=heptad-reports"],
            "events and reports cannot both use the data source heptad-",
        ),
        (["--timeout", "soon"], "not a duration"),
        (["--timeout", "0s"], "between 100ms and 5m"),
        (["--scrape-interval", "often", "--prometheus-url", "http://p"], "not a duration"),
        (["--prometheus-url", "prometheus:9090"], "--prometheus-url: is not a URL"),
        (["--prometheus-url", "http://a:b@p"], "--prometheus-url: must not contain a user name"),
        (["--prometheus-url", "http://p", "--prometheus-user", "ann"], "require each other"),
        (["--influxdb-token-file", "@token"], "--influxdb-url or --config"),
        (["--influxdb-url", "influxdb"], "influxdb.url: is not a URL"),
        (
            ["--influxdb-url", "http://i", "--influxdb-user", "ann"],
            "influxdb.username: `username`, and",
        ),
    ],
)
def test_wrong_use_is_told(
    grafana: GrafanaApi, push: Push, arguments: list[str], words: str
) -> None:
    """Nothing is asked of Grafana before the options make sense."""
    status, told = push(*arguments)
    assert status == 2
    assert len(told) == 1
    assert words in told[0]
    assert grafana.server.asked == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ("[" * 200_000, "is not JSON"),
        ("[]", "is not a dashboard"),
        ('{"title": "x"}', "requires a `uid`"),
        ('{"title": "x", "uid": "../x"}', "requires a `uid`"),
        ('{"title": "x", "uid": "heptad-host"}', "two dashboards have the uid `heptad-host`"),
        ('{"title": "x", "uid": "x", "__inputs": []}', "import dialog"),
    ],
)
def test_files_that_are_no_dashboards_are_told(
    grafana: GrafanaApi, push: Push, boards: Path, content: str, words: str
) -> None:
    """Before anything is asked of Grafana."""
    (boards / "another.json").write_text(content)
    status, told = push()
    assert status == 1
    assert words in told[0]
    assert grafana.server.asked == []


def test_a_folder_without_dashboards_is_told(push: Push, tmp_path: Path) -> None:
    """Neither an empty nor a missing one is taken for nothing to do."""
    assert "contains no *.json file" in push("--dashboards", str(tmp_path))[1][0]
    assert "No such file or directory" in push("--dashboards", str(tmp_path / "no"))[1][0]


def test_what_is_shipped_can_be_pushed(grafana: GrafanaApi, push: Push) -> None:
    """Heptad's own dashboards name the data sources that are made, and are pushed once."""
    variables = [
        variable["current"]["value"]
        for board in load_dashboards(None)
        for variable in board["templating"]["list"]
        if variable["type"] == "datasource"
    ]
    assert set(variables) == set(UIDS.values())
    assert push(*SOURCES, "--dashboards", str(SHIPPED))[0] == 0
    status, told = push(*SOURCES, "--dashboards", str(SHIPPED), "--check")
    assert (status, len(told)) == (0, len(list(SHIPPED.glob("*.json"))) + 5)
