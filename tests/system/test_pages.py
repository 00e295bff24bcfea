"""The pages that people write: their links lead somewhere, and their examples work."""

import re
import subprocess
from pathlib import Path

import pytest

from heptad.cli.main import make_parser
from heptad.core.config.schema import load_config
from provisioning.alerts import FILES
from provisioning.alerts.rule import Alert, load_settings
from tests.support import needs
from tests.support.exposed import labels_of
from tests.support.grafana import BOARDS, panels_of

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PARTS = ("core", "exporter", "aggregator", "cli", "provisioning")
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted(DOCS.rglob("*.md")),
]
RUNNING = sorted((ROOT / "docs/running").glob("*.md"))
HELP = {
    **{page.name: page.read_text() for page in (ROOT / "docs/runbooks").glob("*.md")},
    **{
        f"{name}: {panel['title']}": panel["description"]
        for name, board in BOARDS.items()
        for panel in panels_of(board)
    },
    **{
        rule.name: f"{rule.description} {rule.first}"
        for group in FILES.values()
        for rule in group.rules
        if isinstance(rule, Alert)
    },
}
"""What somebody reads who was woken."""
UNITS = {path.stem for path in (ROOT / "provisioning/systemd").iterdir()}


def blocks(page: Path, first: str) -> list[str]:
    """The YAML of a page that begins with one of these lines."""
    found = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    return [block for block in found if re.match(first, block)]


def links(page: Path) -> list[str]:
    """The targets of a page's links, without those in examples."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    return re.findall(r"\]\(([^)\s]+)\)", text)


def anchors(page: Path) -> set[str]:
    """What a link into a page may name: its headings, as GitHub writes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """What a page links to in this repository is there, with the heading that is named."""
    broken = []
    for link in links(page):
        target, _, heading = link.partition("#")
        place = page.parent / target if target else page
        if "://" in link:
            continue
        if not place.exists() or (heading and heading not in anchors(place)):
            broken.append(link)
    assert broken == []


def test_index_leads_to_every_page() -> None:
    """docs/index.md links every page of docs/, for a folder with a README also through that."""
    lists = [DOCS / "index.md", *DOCS.glob("*/README.md")]
    linked = {(page.parent / link).resolve() for page in lists for link in links(page)}
    decisions = set(DOCS.glob("decisions/*.md"))
    assert set(DOCS.rglob("*.md")) - decisions - linked - {DOCS / "index.md"} == set()
    assert DOCS / "decisions" in linked


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/architecture.md", "docs/glossary.md"])
def test_code_that_a_page_names_exists(name: str) -> None:
    """Each path and each type in backquotes is one of this repository."""
    code = set(re.findall(r"`(\w[\w./-]*)`", (ROOT / name).read_text()))
    tree = [path for path in ROOT.iterdir() if not path.name.startswith(".")]
    tree += [path for folder in tree for path in folder.rglob("*")]
    files = [f"/{path.relative_to(ROOT)}" for path in tree]
    product = [path for part in PARTS for path in (ROOT / part).rglob("*.py")]
    types = set(
        re.findall(
            r"^(?:class )?([A-Z]\w+)(?=[(:]| = )",
            "\n".join(p.read_text() for p in product),
            re.MULTILINE,
        )
    )
    named = {word for word in code if re.fullmatch(r"([A-Z][a-z]+)+", word)}
    paths = {word for word in code if re.search(r"\w/|\.(py|yaml|yml)$", word)}
    assert named - types == set()
    missing = {path for path in paths if not any(f.endswith("/" + path.rstrip("/")) for f in files)}
    made = "dist/"  # by `make dist`
    assert {p for p in missing if p != made and not re.search("NAME|SUBJECT|PROGRAM", p)} == set()


@pytest.mark.parametrize("page", RUNNING, ids=lambda page: page.name)
def test_configurations_are_valid(
    page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Heptad takes each configuration that a way to run it shows."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/heptad")
    for number, block in enumerate(blocks(page, "# /etc/heptad/heptad.yaml|sources:")):
        config = tmp_path / f"{number}.yaml"
        config.write_text(block)
        load_config(config)


@pytest.mark.parametrize("page", [ROOT / "README.md", *RUNNING], ids=lambda page: page.name)
def test_prometheus_takes_the_examples(page: Path, tmp_path: Path) -> None:
    """promtool takes each piece of a prometheus.yml."""
    needs.program("promtool")
    for number, block in enumerate(blocks(page, "# prometheus.yml|scrape_configs:")):
        config = tmp_path / f"{number}.yml"
        config.write_text(re.sub("/etc/prometheus/(?=.*token)", f"{tmp_path}/", block))
        (tmp_path / "grafana-cloud.token").touch()
        checked = subprocess.run(
            ["promtool", "check", "config", str(config)],
            check=False,
            capture_output=True,
            text=True,
        )
        assert checked.returncode == 0, checked.stderr


def commands_of(text: str) -> list[str]:
    """What stands in backquotes, in one line each."""
    return [" ".join(command.split()) for command in re.findall(r"`([^`]+)`", text)]


@pytest.mark.parametrize("place", HELP)
def test_commands_for_whoever_was_woken_exist(place: str) -> None:
    """Each `heptad …` is one that the command line takes as it stands there."""
    for command in commands_of(HELP[place]):
        if command.startswith("heptad ") and command != "heptad …":
            arguments = re.sub(r"…|\b[A-Z]+\b", "1h", command).split()[1:]
            make_parser(arguments[0]).parse_args(arguments)


@pytest.mark.parametrize("place", HELP)
def test_units_for_whoever_was_woken_exist(place: str) -> None:
    """systemctl and journalctl are asked for the units that are shipped."""
    for command in commands_of(HELP[place]):
        if re.match("systemctl|journalctl", command):
            assert set(re.findall(r"\bheptad\S*", command)) <= UNITS, command


@pytest.mark.parametrize("place", HELP)
def test_metrics_and_settings_for_whoever_was_woken_exist(place: str) -> None:
    """What somebody is told to look at or to change is exposed, and is a key of a configuration."""
    configuration = (ROOT / "docs/configuration.md").read_text()
    for code in commands_of(HELP[place]):
        for name in re.findall(r"\b(?:heptad|node|auth)_\w+", code):
            assert labels_of(name) is not None, name
        if re.fullmatch(r"(aggregator|exporter|store|influxdb)\.[a-z_.]+", code):
            assert f"`{code}" in configuration or code.endswith(".yml"), code
    for name in re.findall(r"(?:[Rr]aise|[Ll]ower)\s+`(\w+)`", HELP[place]):
        assert name in load_settings().thresholds, name
