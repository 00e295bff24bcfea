"""The alerting rules: each fires when it should and only then, and leads to a page that helps."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

from heptad.aggregator.metrics import COUNTERS as AGGREGATOR_COUNTERS
from heptad.aggregator.metrics import GAUGES as AGGREGATOR_GAUGES
from heptad.core.telemetry.metrics import REJECTIONS, RELOADS
from heptad.exporter.collectors import FAMILIES
from heptad.exporter.metrics import COUNTERS, GAUGES
from provisioning.alerts import FILES
from provisioning.alerts.__main__ import main
from provisioning.alerts.page import alerts_page
from provisioning.alerts.rule import (
    DEFAULT,
    SEVERITIES,
    Alert,
    Recording,
    check_names,
    expression,
    load_settings,
    render,
)
from tests.provisioning.alert_cases import CASES
from tests.provisioning.alert_cases.case import Case
from tests.support import needs
from tests.support.exposed import strange_words

ROOT = Path(__file__).resolve().parents[2]
PROVISIONED = ROOT / "provisioning" / "prometheus"
RUNBOOKS = ROOT / "docs" / "runbooks"
SETTINGS = load_settings()
RULES = [rule for group in FILES.values() for rule in group.rules]
ALERTS = {rule.name: rule for rule in RULES if isinstance(rule, Alert)}
FILE_OF = {rule.name: name for name, group in FILES.items() for rule in group.rules}

# Labels that a target has by itself.
TARGET = {"job", "instance"}
# Families of many names, of which these are the ones that rules use.
EXPOSED = {
    **{name: set(labels) for name, (labels, _) in {**RELOADS, **REJECTIONS}.items()},
    **{name: set(labels) for name, (labels, _) in COUNTERS.items()},
    **{name: set(labels) for name, (labels, _) in GAUGES.items()},
    **{name: set(labels) for name, (labels, _) in AGGREGATOR_COUNTERS.items()},
    **{name: set(labels) for name, (labels, _) in AGGREGATOR_GAUGES.items()},
    **{family.name: set(family.labels) for family in FAMILIES},
    "up": set(),
}
FAMILY_OF = {
    r"node_memory_\w+_bytes": "node_memory_<Field>_bytes",
    r"node_vmstat_\w+": "node_vmstat_<field>",
}
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
WORDS = {"and", "or", "unless", "on", "ignoring", "by", "without", "bool", "offset"}


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Debian's promtool."""
    needs.program("promtool")
    command = ["promtool", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def metrics_of(expr: str) -> dict[str, set[str]]:
    """The metrics of an expression, each with the labels that its matchers name."""
    bare = re.sub(
        r"\[[^]]*\]|\b(offset|by|without|on|ignoring|group_left) (\([^)]*\)|\w+)", " ", expr
    )
    found: dict[str, set[str]] = {}
    for name, matchers in re.findall(r"\b([a-z][\w:]*)\b(?!\s*\()(\{[^}]*\})?", _blank(bare)):
        if name not in WORDS:
            labels = set(re.findall(r"(\w+)(?=[=!])", matchers))
            found.setdefault(name, set()).update(labels)
    return found


def _blank(expr: str) -> str:
    return re.sub(r'"[^"]*"', '""', expr)


def labels_between(expr: str) -> set[str]:
    """The labels that an expression matches or sums by."""
    groups = re.findall(r"\b(?:by|without|on|ignoring) \(([^)]*)\)", expr)
    return {label for group in groups for label in re.findall(r"\w+", group)}


@pytest.mark.parametrize("name", FILES)
def test_rule_file_is_up_to_date(name: str) -> None:
    """A rule file differs from the table of alerts until `make rules` was run."""
    written = (PROVISIONED / "rules" / name).read_text(encoding="utf-8")
    assert written == render(FILES[name], SETTINGS), "run `make rules`"


def test_no_other_rule_file_is_loaded() -> None:
    """Prometheus loads every file in the folder: one that nobody writes any more would stay."""
    assert {path.name for path in (PROVISIONED / "rules").iterdir()} == FILES.keys()


def test_page_is_up_to_date() -> None:
    """docs/alerts.md differs from the table of alerts until `make rules` was run."""
    page = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    assert page == alerts_page(FILES, SETTINGS), "run `make rules`"


def test_promtool_finds_no_fault(tmp_path: Path) -> None:
    """The configuration with its rules and targets is one that Prometheus loads."""
    folder = tmp_path / "prometheus"
    shutil.copytree(PROVISIONED, folder)
    checked = promtool("check", "config", folder / "prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    files = sorted((folder / "rules").glob("*.yml"))
    checked = promtool("check", "rules", "--lint=all", "--lint-fatal", *files)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def unit_test(case: Case, alert: Alert) -> dict[str, object]:
    """A case as promtool takes it."""
    expected = []
    if case.labels is not None:
        annotations = {
            "summary": case.summary,
            "description": f"{case.description} First: {alert.first}",
            **links(case, alert),
        }
        labels = {**case.labels, "severity": alert.severity}
        expected = [{"exp_labels": labels, "exp_annotations": annotations}]
    moments = [(case.at, expected)] + ([(case.early, [])] if case.early else [])
    return {
        "interval": case.interval,
        "input_series": [{"series": n, "values": v} for n, v in case.series.items()],
        "alert_rule_test": [
            {"eval_time": at, "alertname": case.alert, "exp_alerts": alerts}
            for at, alerts in moments
        ],
    }


def links(case: Case, alert: Alert) -> dict[str, str]:
    """The links that the alert of a case has to have."""
    labels = case.labels or {}
    begin, end = -7200 + (moment := seconds_of(case.at)), moment
    if case.newest is not None:
        begin, end = case.newest - 7200, case.newest + 300
    host = labels.get("host", "") if case.newest is not None else case.host
    named = f"={quote(host)}" if host not in ("", "other") else ""
    instance = f"&var-instance={quote(labels['instance'])}" if "instance" in labels else ""
    variable = {"heptad-now": "&var-host", "heptad-host": "&var-node"}.get(alert.board.uid, "")
    narrowed = (variable and named and variable + named) if variable else instance
    page = f"http://127.0.0.1:9708/?since=24h{'&host' + named if variable and named else ''}"
    runbook = f"{alert.runbook.removesuffix('.md')}#{alert.name.lower()}"
    grafana = f"http://127.0.0.1:3000/d/{alert.board.uid}"
    return {
        "dashboard_url": f"{grafana}?from={begin}000&to={end}000{narrowed}",
        "page_url": page,
        "runbook_url": f"http://127.0.0.1:9708/runbooks/{runbook}",
    }


def seconds_of(duration: str) -> int:
    """Seconds of a promtool duration such as ``15m`` or ``1d2h``."""
    parts = re.findall(r"(\d+)([smhdw])", duration)
    return sum(int(number) * UNITS[unit] for number, unit in parts)


def judge(folder: Path, cases: Sequence[Case], alert: Alert) -> subprocess.CompletedProcess[str]:
    """What promtool says of cases of one alert, with the same interval."""
    group = FILES[FILE_OF[alert.name]]
    recordings = [rule for rule in group.rules if isinstance(rule, Recording)]
    rules = group._replace(rules=[*recordings, alert])
    (folder / "rules.yml").write_text(render(rules, SETTINGS))
    file = folder / "case.yml"
    content = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": cases[0].interval,
        "tests": [unit_test(case, alert) for case in cases],
    }
    file.write_text(json.dumps(content))  # JSON is YAML
    return promtool("test", "rules", file)


def check(folder: Path, cases: Sequence[Case]) -> None:
    """They are as promtool says."""
    judged = judge(folder, cases, ALERTS[cases[0].alert])
    assert judged.returncode == 0, judged.stdout + judged.stderr


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}: {case.why}")
def test_alert(case: Case, tmp_path: Path) -> None:
    """promtool, given what was scraped, says that the alert fires with its texts, or does not."""
    check(tmp_path, [case])


@pytest.mark.parametrize("name", ALERTS)
def test_alert_has_cases_of_both_kinds(name: str) -> None:
    """For every alert there is a case in which it fires and one in which it does not."""
    assert {case.labels is not None for case in CASES if case.alert == name} == {True, False}


@pytest.mark.parametrize("name", ALERTS)
def test_alert_waits_where_a_case_says_so(name: str, tmp_path: Path) -> None:
    """Every wait has a case that is too early for it, in which the alert would fire without it."""
    early = [case for case in CASES if case.alert == name and case.early]
    assert bool(early) == bool(ALERTS[name].wait)
    impatient = ALERTS[name]._replace(wait="")
    for case in early:
        quiet = case._replace(at=case.early, early="", labels=None)
        assert "FAILED" in judge(tmp_path, [quiet], impatient).stderr


@pytest.mark.parametrize("alert", ALERTS.values(), ids=lambda alert: alert.name)
def test_alert_is_complete(alert: Alert) -> None:
    """It has a summary, a description, a severity that has a meaning, and a page of its own."""
    assert alert.severity in SEVERITIES
    assert alert.summary
    assert not alert.summary.endswith(".")
    assert alert.description.endswith(".")
    assert alert.first.endswith(".")
    assert "{{" not in alert.first
    page = (RUNBOOKS / alert.runbook).read_text(encoding="utf-8")
    assert f"\n## {alert.name}\n" in page


def test_nobody_is_woken_for_what_is_only_late() -> None:
    """While the aggregator does not compute nothing is lost, whatever the reason."""
    late = ("Down", "Behind", "EventsUnreadable", "StoreFailing", "PartFailing")
    assert {ALERTS[f"HeptadAggregator{why}"].severity for why in late} == {"warning"}


def test_runbooks_speak_of_alerts_that_are_there() -> None:
    """No page tells what to do about an alert that was renamed or is gone."""
    told = {
        (page.name, name)
        for page in RUNBOOKS.glob("*.md")
        for name in re.findall(r"^## (\w+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert told == {(alert.runbook, alert.name) for alert in ALERTS.values()}


def test_every_section_of_a_runbook_says_what_to_do() -> None:
    """Each has the meaning, the diagnosis, the action and known false positives."""
    for page in RUNBOOKS.glob("*.md"):
        for section in page.read_text(encoding="utf-8").split("\n## ")[1:]:
            found = re.findall(r"^\*\*(.+?)\*\*", section, re.MULTILINE)
            heading = section.partition("\n")[0]
            assert found == ["Meaning", "Diagnosis", "Action", "False positives"], (
                f"{page.name}: {heading}"
            )


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule_reads_what_is_exposed(rule: Alert | Recording) -> None:
    """Every metric of an expression is one of Heptad's, every label one of that metric's.

    What a label is compared with is a word that it can have.
    """
    expr = expression(rule, SETTINGS)
    recorded = {r.name for r in RULES if isinstance(r, Recording)}
    known = TARGET | {"rule", "severity", "source", "result"}
    found = metrics_of(expr)
    assert found
    for name, labels in found.items():
        if name in recorded:
            continue
        family = next((f for p, f in FAMILY_OF.items() if re.fullmatch(p, name)), name)
        assert family in EXPOSED, f"{name} is not exposed"
        assert labels <= EXPOSED[family] | TARGET, name
        known |= EXPOSED[family]
    assert labels_between(expr) <= known
    assert strange_words(expr) == []


def test_label_in_a_text_is_a_label_of_the_alert() -> None:
    """A text that names a label which the alert does not have would show nothing there."""
    for case in CASES:
        if case.labels is not None:
            alert = ALERTS[case.alert]
            text = alert.summary + alert.description
            named = set(re.findall(r"\$labels\.(\w+)", text))
            assert named <= case.labels.keys() | {"severity"}, case.alert


def test_metrics_of_an_expression_are_found() -> None:
    """Functions, operators, labels and durations are not taken for metrics."""
    expr = 'sum without (a, b) (rate(x_total{c="y z", d=~"e"}[5m] offset 1d)) > bool 0 and on (f) g'
    assert metrics_of(expr) == {"x_total": {"c", "d"}, "g": set()}
    assert labels_between(expr) == {"a", "b", "f"}


def test_thresholds_and_rules_agree() -> None:
    """Every placeholder is a threshold, and every threshold is used."""
    assert check_names(SETTINGS, FILES.values()) == []


def _write(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> int:
    settings = folder / "settings.yml"
    settings.write_text(text, encoding="utf-8")
    output = ["--output", str(folder / "rules")]
    (folder / "rules").mkdir(exist_ok=True)
    monkeypatch.setattr("sys.argv", ["rules", "--settings", str(settings), *output])
    return main()


def test_settings_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A threshold, a job and the base of every link are changed in one file."""
    text = DEFAULT.read_text(encoding="utf-8")
    text = text.replace("value: 50\n", "value: 500\n").replace("exporter: heptad", "exporter: ex")
    text = text.replace("http://127.0.0.1:9708", "https://heptad.example/seen/from/here/")
    text = text.replace("http://127.0.0.1:3000", "https://grafana.example:8443")
    assert _write(tmp_path, monkeypatch, text) == 0
    logins = (tmp_path / "rules" / "logins.yml").read_text(encoding="utf-8")
    assert ">= 500" in logins
    assert "500 is a lot for one host" in logins.replace("\n            ", " ")
    page = "https://heptad.example/seen/from/here"
    rules = yaml.safe_load(logins)["groups"][0]["rules"]
    told = next(rule["annotations"] for rule in rules if rule["alert"] == "HeptadBruteForce")
    assert told["runbook_url"] == f"{page}/runbooks/logins#heptadbruteforce"
    assert f"{page}/?since=24h" in told["page_url"]
    assert "https://grafana.example:8443/d/heptad-now?" in told["dashboard_url"]
    assert "127.0.0.1" not in str([rule["annotations"] for rule in rules])
    assert 'up{job="ex"}' in (tmp_path / "rules" / "exporter.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("  login_failures:", "  login_failurs:", "`login_failures` is missing"),
        ("value: 50\n", "value: a lot\n", "is neither a number nor a duration"),
        ("value: 50\n", "valeu: 50\n", "valeu"),
        ("exporter: heptad", "exporter: 'a\" or b'", "is not the name of a job"),
        ("grafana: http://127.0.0.1:3000", "grafana: grafana", "external_url.grafana"),
        ("page: http://127.0.0.1:9708", "page: docs/runbooks", "external_url.page"),
        ("  page: http://127.0.0.1:9708\n", "", "external_url"),
    ],
)
def test_faulty_settings(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    old: str,
    new: str,
    told: str,
) -> None:
    """What is wrong is told, and no rule file is written."""
    text = DEFAULT.read_text(encoding="utf-8").replace(old, new, 1)
    assert _write(tmp_path, monkeypatch, text) == 2
    assert told in capsys.readouterr().err
    assert list((tmp_path / "rules").iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/runbooks",
        "//heptad.example",
        "heptad.example:9708",
        "ftp://heptad.example",
        "http://",
        "http://:9708",
        "https://user:secret@heptad.example",
        "https://heptad.example/?org=1",
        "https://heptad.example/#x",
        "https://heptad.example:99999",
        "https://heptad.example/{{ $labels.host }}",
        "https://heptad.example/a b",
        "https://[::1",
        "javascript:alert(1)",
    ],
)
@pytest.mark.parametrize("name", ["grafana", "page"])
def test_only_an_absolute_address_is_a_base(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    url: str,
) -> None:
    """No rule file is written with a link that nobody can open; the message names the setting."""
    text = DEFAULT.read_text(encoding="utf-8")
    text = re.sub(rf"^  {name}: http.*$", f"  {name}: {json.dumps(url)}", text, flags=re.MULTILINE)
    assert _write(tmp_path, monkeypatch, text) == 2
    told = capsys.readouterr().err
    shown = re.sub(".*@", "…@", url)
    assert f"external_url.{name}: `{shown}` is not an absolute URL; write http://HOST:PORT" in told
    assert "settings.yml:" in told
    assert list((tmp_path / "rules").iterdir()) == []


def test_a_password_in_a_base_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rules are written in CI, too, whose output many can read."""
    url = "https://grafana:pa55/w0rd@heptad.example"
    text = DEFAULT.read_text(encoding="utf-8").replace("http://127.0.0.1:3000", url)
    assert _write(tmp_path, monkeypatch, text) == 2
    told = capsys.readouterr().err
    assert "external_url.grafana: `…@heptad.example` is not an absolute URL" in told
    assert "pa55" not in told


@pytest.mark.parametrize("url", ["http://127.0.0.1:3000", "https://[2001:db8::1]:3000/sub/path/"])
def test_a_base_may_have_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Behind a proxy Grafana and the page may be below a path."""
    text = DEFAULT.read_text(encoding="utf-8").replace("http://127.0.0.1:3000", url)
    assert _write(tmp_path, monkeypatch, text) == 0
    assert f"{url.rstrip('/')}/d/heptad-now?" in (tmp_path / "rules" / "findings.yml").read_text()


def _durations(texts: Iterable[str]) -> list[str]:
    return [text for text in texts if text and not re.fullmatch(r"<\w+>|\d+[smh]", text)]


def test_waits_are_durations() -> None:
    """Every `for` is a threshold or a duration."""
    assert _durations(alert.wait for alert in ALERTS.values()) == []
