"""The dashboards' JSON: as the generator makes it, complete, in order, and about what there is.

The rules named in `test_rules_of_dashboard_linter` are those of grafana/dashboard-linter.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from dashboards import frame
from dashboards.__main__ import FOLDER, files
from dashboards.frame import SOURCES
from dashboards.panels import UNKNOWN
from heptad.cli.grafana.datasources import UIDS
from tests.support.exposed import (
    BUCKET_OF,
    WORDS,
    selectors_of,
    strange_in_influxql,
    strange_in_promql,
    strange_words,
)
from tests.support.grafana import (
    BOARDS,
    IMPORTABLE,
    PROVISIONED,
    QUERIES,
    Query,
    panels_of,
    variables_of,
)

every_board = pytest.mark.parametrize("name", BOARDS)
every_query = pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)

UNITS: Final = frozenset(
    "none short locale string percent percentunit bytes Bps pps iops cps cpm ops s ms dateTimeAsIso"
    " dateTimeFromNow bool_yes_no".split()
)
"""Of Grafana's units, those that are used here."""
SCHEMAS: Final = yaml.safe_load(
    (Path(__file__).parents[1] / "support" / "contract/grafana_options.yaml").read_text("utf-8")
)
"""Kind of panel → the options that the schemas of Grafana have."""
OF_ALL_HOSTS: Final = "report_top"
"""A report without hosts."""
OF_A_FINDING: Final = frozenset({"findings_current", "evidence"})
OF_NO_EVENT: Final = frozenset({"findings_current", "sessions"})
"""They have no line, action or program of their own."""
OF_THE_FLEET: Final = re.compile("heptad_finding|heptad_aggregator_")
"""Metrics of the aggregator: there is one for all hosts."""


def panels() -> list[tuple[str, dict[str, Any]]]:
    """Every panel with its dashboard's name."""
    return [(name, panel) for name, board in BOARDS.items() for panel in panels_of(board)]


every_panel = pytest.mark.parametrize(
    ("name", "panel"), panels(), ids=[f"{n}-{p['title']}".replace(" ", "_") for n, p in panels()]
)


def test_files_are_what_the_generator_writes() -> None:
    """`make dashboards` changes nothing, and no other file is there."""
    expected = dict(files())
    assert set(expected) == {*PROVISIONED, *IMPORTABLE}
    for path, text in expected.items():
        assert path.read_text() == text, f"{path.relative_to(FOLDER)}: run `make dashboards`"


def test_uids_are_fixed_and_differ() -> None:
    """Each dashboard keeps its address, and an imported one that of the provisioned one."""
    uids = [board["uid"] for board in BOARDS.values()]
    assert uids == [f"heptad-{name}" for name in BOARDS]
    assert uids == [json.loads(path.read_text())["uid"] for path in IMPORTABLE]


@pytest.mark.parametrize("path", PROVISIONED, ids=lambda path: path.stem)
def test_provisioned_files_ask_for_nothing(path: Path) -> None:
    """Provisioning puts nothing in: there is no input, and the data sources are the stack's."""
    text = path.read_text()
    assert "DS_" not in text
    assert "__inputs" not in text
    for variable in variables_of(json.loads(text)).values():
        if variable["type"] == "datasource":
            assert variable["current"]["value"] in UIDS.values()


@pytest.mark.parametrize("path", IMPORTABLE, ids=lambda path: path.stem)
def test_the_import_dialogue_asks_for_each_data_source(path: Path) -> None:
    """Each variable of a data source gets what is chosen, and nothing else is asked for."""
    board = json.loads(path.read_text())
    inputs = {f"${{{asked['name']}}}": asked["pluginId"] for asked in board["__inputs"]}
    sources = [v for v in variables_of(board).values() if v["type"] == "datasource"]
    assert inputs == {variable["current"]["value"]: variable["query"] for variable in sources}
    assert {variable["hide"] for variable in sources} == {0}
    assert set(re.findall(r"\$\{DS_\w+\}", path.read_text())) == inputs.keys()
    assert not any(uid in path.read_text().replace(board["uid"], "") for uid in UIDS.values())
    required = {(one["type"], one["id"]) for one in board["__requires"]}
    kinds = {panel["type"] for panel in panels_of(board)}
    assert required == {
        ("grafana", "grafana"),
        *(("datasource", kind) for kind in inputs.values()),
        *(("panel", kind) for kind in kinds),
    }


@every_board
def test_panels_fill_the_grid(name: str) -> None:
    """No two panels overlap, and no hole is left between them."""
    cells: Counter[tuple[int, int]] = Counter()
    for panel in BOARDS[name]["panels"]:
        place = panel["gridPos"]
        cells.update(
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        )
    depth = max(y for _, y in cells) + 1
    assert cells == Counter((x, y) for x in range(24) for y in range(depth))


@every_board
def test_panels_have_ids(name: str) -> None:
    """Links to a panel lead to the same one after every start."""
    ids = [panel["id"] for panel in BOARDS[name]["panels"]]
    assert sorted(ids) == list(range(1, len(ids) + 1))


@every_board
def test_dashboards_are_linked(name: str) -> None:
    """From each dashboard to the others in a fixed order, with the range and what both have.

    Only named variables are handed on: with all of them "All" became the one host of Host.
    """
    uids = {board["uid"]: board for board in BOARDS.values()}
    links = BOARDS[name]["links"]
    assert [link["title"] for link in links] == list(frame.BOARDS)
    for link in links:
        assert (link["type"], link["keepTime"], link["includeVars"]) == ("link", True, False)
        found = re.fullmatch(r"/d/([\w-]+)\?(.*)", link["url"])
        assert found
        there, here = variables_of(uids[found[1]]), variables_of(BOARDS[name])
        for part in found[2].split("&"):
            kept = re.fullmatch(r"\$\{(\w+):queryparam\}|var-(\w+)=\$\{(\w+):percentencode\}", part)
            assert kept, part
            assert (kept[1] or kept[3]) in here
            assert (kept[1] or kept[2]) in there | {"reports_datasource": 0, "events_datasource": 0}


@every_board
def test_links_of_cells_lead_somewhere(name: str) -> None:
    """They keep the range, and give only variables that the other dashboard has.

    What a cell holds may come from a log: no character of it ends the parameter it stands in.
    """
    uids = {board["uid"]: board for board in BOARDS.values()}
    for url in re.findall(r'"url": "(/d/[^"]*)"', json.dumps(BOARDS[name]["panels"])):
        found = re.fullmatch(r"/d/([\w-]+)\?(.*)", url)
        assert found
        target = variables_of(uids[found[1]])
        time = "from=${__data.fields.since.text}&to=${__data.fields.until.text}"
        assert found[2].startswith(("${__url_time_range}&", f"{time}&"))
        for part in found[2].removeprefix(time).removeprefix("${__url_time_range}").split("&")[1:]:
            cell = r"var-(\w+)=\$\{__[\w.]+:percentencode\}"
            given = re.fullmatch(rf"\$\{{(\w+):queryparam\}}|{cell}", part)
            assert given, part
            assert (given[1] or given[2]) in target, url
            assert given[1] is None or given[1] in variables_of(BOARDS[name])
        kept = {"prometheus_datasource", "events_datasource", "reports_datasource"}
        assert kept <= set(re.findall(r"\{(\w+):queryparam\}", url))


@every_panel
def test_panels_say_what_they_are(name: str, panel: dict[str, Any]) -> None:
    """A title, a description that says what to do, a unit, and a text for when there is nothing."""
    assert re.fullmatch(r"[A-Z].{3,60}", panel["title"])
    assert re.fullmatch(r"[A-Z`].{40,}\.", panel["description"])
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"] in UNITS
    assert len(defaults["noValue"]) >= 3
    for override in panel["fieldConfig"]["overrides"]:
        for prop in override["properties"]:
            assert prop["id"] != "unit" or prop["value"] in UNITS


def test_titles_differ() -> None:
    """Whoever speaks of a panel is understood."""
    titles = Counter((name, panel["title"]) for name, panel in panels())
    assert titles.most_common(1)[0][1] == 1


@every_query
def test_queries_are_about_what_there_is(query: Query) -> None:
    """Each metric, label, measurement, tag and field is one that the code exposes."""
    strange = strange_in_promql if query.is_promql else strange_in_influxql
    assert strange(query.text) == []


@every_query
def test_queries_compare_with_words_that_there_are(query: Query) -> None:
    """Each rule, severity, action, outcome and the like is one that something can have."""
    assert strange_words(query.text) == []


@pytest.mark.parametrize(
    ("query", "strange"),
    [
        ('heptad_findings_total{rule="sprayings"}', ["rule: sprayings"]),
        ('heptad_lines_total{result=~"event|nothing"}', ["result: nothing"]),
        ('auth_events_total{program="sudo", action="login"}', ["no event has"]),
        ('SELECT "count" FROM "findings" WHERE "rule" != \'sesion\'', ["rule: sesion"]),
        ('SELECT "count" FROM "events" WHERE "program" =~ /^(sshd|logn)$/', ["program: logn"]),
        ('auth_events_total{action=~"group_.+", program=~"$program"}', []),
    ],
)
def test_strange_words_are_found(query: str, strange: list[str]) -> None:
    """A word that is misspelt would else only leave a panel empty."""
    found = strange_words(query)
    assert [text.startswith(word) for text, word in zip(found, strange, strict=True)] == [
        True for _ in strange
    ]


@every_query
def test_variables_cannot_end_what_they_stand_in(query: Query) -> None:
    """In InfluxQL each is formatted as a regular expression: Grafana escapes all of it then."""
    if not query.is_promql:
        names = set(re.findall(r"\$\{?(\w+(?::\w+)?)", query.text))
        own = names - {"timeFilter", "__from", "__to", "__interval"}
        assert all(name.endswith(":regex") for name in own), own


@every_panel
def test_colours_are_of_series_that_there_are(name: str, panel: dict[str, Any]) -> None:
    """A graph gives colours to names that its legend can show."""
    if panel["type"] == "timeseries":
        shown: set[str] = set()
        for target in panel["targets"]:
            legend = target["legendFormat"] if "expr" in target else target["alias"]
            label = re.fullmatch(r"\{\{(\w+)\}\}|\$tag_(\w+)", legend)
            shown |= WORDS.get(label[1] or label[2], frozenset()) if label else {legend}
        overrides = panel["fieldConfig"]["overrides"]
        assert {one["matcher"]["options"] for one in overrides} <= shown, name


@every_panel
def test_values_are_put_into_words_that_they_have(name: str, panel: dict[str, Any]) -> None:
    """What is mapped to a word or a colour is a number or a word that something can be."""
    known = {"0", "1", "2"}.union(*WORDS.values())
    config = panel["fieldConfig"]
    props = [p for one in config["overrides"] for p in one["properties"] if p["id"] == "mappings"]
    for mapping in (
        *config["defaults"].get("mappings", ()),
        *(m for p in props for m in p["value"]),
    ):
        if mapping["type"] == "value":
            assert mapping["options"].keys() <= known, name


@every_query
def test_queries_go_to_the_right_bucket(query: Query) -> None:
    """What InfluxDB is asked for is in the bucket of the panel's data source."""
    if not query.is_promql:
        (bucket,) = {BUCKET_OF[name] for name in re.findall(r'FROM "(\w+)"', query.text)}
        assert query.target["datasource"]["uid"] == f"${{{bucket}_datasource}}"


@every_board
def test_rules_of_dashboard_linter(name: str) -> None:
    """Those about variables and the dashboard.

    Exceptions: template-datasource-rule wants `influxdb_datasource`, but there are two of that
    kind, for a data source of InfluxDB reads one database; and `InfluxDB` is written as it is
    written.
    """
    board = BOARDS[name]
    variables = variables_of(board)
    sources = {n: v for n, v in variables.items() if v["type"] == "datasource"}
    for source, variable in sources.items():
        what = source.removesuffix("_datasource")
        assert (variable["query"], variable["label"]) == SOURCES[what]
    for label in {"job", "instance", "host", "node"} & variables.keys():
        variable = variables[label]
        assert variable["type"] == "query"
        if variable["datasource"]["type"] == "influxdb":
            continue
        found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
        assert found
        assert found[2] == ("host" if label == "node" else label)
        assert strange_in_promql(found[1]) == []
    for variable in variables.values():  # template-on-time-change-reload-rule
        assert variable["type"] != "query" or variable["refresh"] == 2
    assert not board["editable"]  # uneditable-dashboard-rule


@every_panel
def test_panels_use_the_variable_of_a_data_source(name: str, panel: dict[str, Any]) -> None:
    """panel-datasource-rule and panel-no-targets-rule: the variable, on the panel and its queries."""
    assert panel["targets"]
    known = {
        f"${{{n}}}" for n, v in variables_of(BOARDS[name]).items() if v["type"] == "datasource"
    }
    uids = {panel["datasource"]["uid"], *(t["datasource"]["uid"] for t in panel["targets"])}
    assert len(uids) == 1
    assert uids <= known


_GROWN = re.compile(r"\((\w+) - \(last_over_time\(\1\[1d\] offset \$__range\) or \1 \* 0\) > 0\)")


@every_query
def test_queries_follow_the_rules_of_dashboard_linter(query: Query) -> None:
    """target-job, -instance, -rate-interval and -counter-agg rules.

    Exception of target-instance-rule: hosts are chosen by their name, which heptad_host_info has,
    and not by instance; what the aggregator tells is about all hosts. Of target-counter-agg-rule: a counter may be
    counted, which gives the number of CPUs, and one that survives restarts compared with its value
    at the beginning of the range, which is exact and does not read the range.
    """
    if not query.is_promql:
        return
    for names, matchers in selectors_of(query.text):
        assert names == ["ALERTS"] or matchers["job"] == ("=~", "$job")
    if query.board in ("host", "itself"):
        for names, matchers in selectors_of(query.text):
            if not all(map(OF_THE_FLEET.match, names)):
                assert matchers["instance"] == ("=~", "$instance")
    ranged = re.sub(r"\{[^{}]*\}", "", query.text)
    assert set(re.findall(r"i?rate\(\s*\w+\[(.*?)\]", ranged)) <= {"$__rate_interval"}
    assert set(re.findall(r"increase\(\s*\w+\[(.*?)\]", ranged)) <= {"$__range", "$__interval"}
    ranged = _GROWN.sub("", ranged)
    for counter in re.finditer(r"\w+_total\b", ranged):
        assert re.search(
            r"(rate|increase|count|count by \([\w, ]+\)) ?\(\s*$", ranged[: counter.start()]
        ), counter[0]


@every_panel
def test_nothing_is_green_without_proof(name: str, panel: dict[str, Any]) -> None:
    """Without an answer a number is grey, and no text for an empty panel says that all is well.

    Grafana gives a panel without a value the lowest colour, and shows the text for an empty panel
    also where the query fails.
    """
    defaults = panel["fieldConfig"]["defaults"]
    if panel["type"] == "stat":
        lowest, *known = defaults["thresholds"]["steps"]
        assert (lowest["value"], lowest["color"]) == (None, UNKNOWN)
        assert all(step["value"] >= 0 for step in known)
    assert not re.search(r"nothing to do|all is well|\bOK\b|[Ee]very line", defaults["noValue"])


@every_query
def test_no_query_makes_a_zero_of_nothing(query: Query) -> None:
    """Where nothing is scraped there is no answer: `vector(0)` would be one."""
    assert "vector(" not in query.text


def test_a_number_of_findings_comes_from_the_query_of_a_table() -> None:
    """On each dashboard: the tile counts exactly the rows that a table lists."""
    tiles = 0
    for board in BOARDS.values():
        asked: dict[str, set[str]] = {"stat": set(), "table": set()}
        for panel in panels_of(board):
            texts = {
                t["query"] for t in panel["targets"] if "findings_current" in t.get("query", "")
            }
            if panel["type"] in asked:
                asked[panel["type"]] |= texts
            tiles += len(texts) * (panel["type"] == "stat")
        assert asked["stat"] <= asked["table"]
    assert tiles >= 6


def test_high_findings_are_the_first_thing_on_the_home_screen() -> None:
    """Also on a phone, which shows panels one below the other."""
    first = min(
        panels_of(BOARDS["now"]), key=lambda panel: (panel["gridPos"]["y"], panel["gridPos"]["x"])
    )
    assert "findings_current" in first["targets"][0]["query"]
    assert first["gridPos"]["w"] == 24
    assert [step["options"]["sort"][0]["field"] for step in first["transformations"]] == [
        "Last seen",
        "level",
    ]


def is_narrowed(query: Query, name: str) -> bool:
    """Whether a query goes by a variable, or is of what does not have it."""
    if re.search(
        rf"\$\{{?{'instance' if name == 'node' and query.is_promql else name}\b", query.text
    ):
        return True
    if query.is_promql:
        names = {one for found, _ in selectors_of(query.text) for one in found}
        return all(OF_THE_FLEET.match(one) or one == "ALERTS" for one in names)
    measured = set(re.findall(r'FROM "(\w+)"', query.text))
    if name == "finding":
        return not measured & OF_A_FINDING
    if name == "action":  # the evidence of a finding is shown whole
        return bool(measured & (OF_NO_EVENT | {"evidence"})) or "action" in query.text
    if name in ("text", "program"):
        return bool(measured & OF_NO_EVENT)
    return OF_ALL_HOSTS in measured


@every_query
def test_variables_narrow_every_panel(query: Query) -> None:
    """No choice at the top of a dashboard leaves a panel as it was that could be narrowed.

    What `shown` chooses is which hosts a table lists.
    """
    for name, variable in variables_of(BOARDS[query.board]).items():
        if name == "address" and query.panel == "Privileges and changes of accounts":
            continue  # sudo and useradd tell no address
        if variable["type"] != "datasource" and name not in ("job", "instance", "shown"):
            assert is_narrowed(query, name), name


def test_cells_have_their_colour_in_both_forms() -> None:
    """Grafana before 9.5 reads `displayMode`, newer ones `cellOptions`.

    Each knows the kind: of one that it does not know 9.4 makes a bar.
    """
    for _, panel in panels():
        for one in panel["fieldConfig"]["overrides"]:
            names = {prop["id"] for prop in one["properties"]}
            assert ("custom.cellOptions" in names) == ("custom.displayMode" in names)
            for prop in one["properties"]:
                if prop["id"] == "custom.cellOptions":
                    assert prop["value"]["type"] in ("color-text", "color-background", "gauge")
                if prop["id"] == "custom.displayMode":
                    assert prop["value"] in ("color-text", "color-background-solid", "basic")


def options_of(value: object, path: str) -> Iterator[str]:
    """The paths of all options that are set, such as ``options.legend.sortBy``."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from options_of(inner, f"{path}.{name}")
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for inner in value:
            yield from options_of(inner, path)
    else:
        yield path


@every_panel
def test_options_are_in_the_schemas_of_grafana(name: str, panel: dict[str, Any]) -> None:
    """Of 10.4, 11.6 and the newest: a misspelt option, or one of another panel, has no effect."""
    config = panel["fieldConfig"]
    used = set(options_of(panel.get("options", {}), "options"))
    used |= set(options_of(config["defaults"].get("custom", {}), "custom"))
    for one in config["overrides"]:
        for prop in one["properties"]:
            if prop["id"].startswith("custom."):
                used |= set(options_of(prop["value"], prop["id"]))
    known = SCHEMAS[panel["type"]]
    assert used - {"custom"} <= {*known["all"], *known.get("newer", ())}, name


@pytest.mark.parametrize(
    "query", [q for q in QUERIES if q.kind == "annotation"], ids=lambda q: q.name
)
def test_annotations_show_words_of_the_vocabulary(query: Query) -> None:
    """Grafana shows their text as HTML: a name in a log must not load a picture from anywhere."""
    found = re.match(r'SELECT "(\w+)" AS "text"', query.text)
    assert found
    assert found[1] in ("rule", "action")
