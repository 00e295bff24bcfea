"""Texts that a user sees are written in the field's words."""

import ast
import re
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Final

import pytest

from heptad.cli.main import make_parser
from heptad.cli.table import HEADINGS

ROOT: Final = Path(__file__).parent.parent.parent
CODE: Final = ("core", "exporter", "aggregator", "cli", "provisioning/alerts", "dashboards")
STATIC: Final = ROOT / "aggregator" / "heptad" / "aggregator" / "web" / "static"

# docs/style.md, rule 4, and what else a translation leaves behind
WRONG: Final = re.compile(
    r"\b(?:tells?|telling|told|stands?|stood|gives?|gave|given|begins?|began|begun|mends?|mended"
    r"|grave|well|somebody|anybody|he|him|his|himself)\b"
    r"|(?<!there )\b(?:is|are|was|were) no (?!longer\b|more\b)\w+",
    re.IGNORECASE,
)
ALLOWED: Final = {
    "stands for": "represents, as in 'the finding stands for many'",
    "begin message": "names of stored fields",
    "as well": "also; in no other sense of the word",
}
REGULAR: Final = re.compile(r"\(\?|\\[bdsw]|\[\^|\)\?|\.\*")
QUERY: Final = re.compile(
    r"\s*(?:SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|WITH|PRAGMA|BEGIN)\b|.* AS \""
)
MATCHERS: Final = ("compile", "fullmatch", "match", "search", "sub", "startswith")


def literals(path: Path) -> Iterator[str]:
    """The texts of a module but for docstrings, patterns, queries and single words."""
    tree = ast.parse(path.read_text())
    skipped = set[ast.AST]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(node.value)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            skipped |= set(node.args) if node.func.attr in MATCHERS else set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.JoinedStr):
            skipped |= set(node.values)
            parts = (p.value if isinstance(p, ast.Constant) else "…" for p in node.values)
            text = "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        if " " in text.strip() and not REGULAR.search(text) and not QUERY.match(text):
            yield text


def texts_of_code() -> Iterator[tuple[str, str]]:
    """Messages, help of options, HELP of metrics, findings, alerts and panels, with their file."""
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for text in literals(path):
                yield str(path.relative_to(ROOT)), text


def texts_of_help() -> Iterator[tuple[str, str]]:
    """What `--help` of every command prints."""
    parsers = [make_parser("?")]
    while parsers:
        parser = parsers.pop()
        yield f"{parser.prog} --help", parser.format_help()
        for action in parser._actions:  # noqa: SLF001 - argparse has no other way to them
            if isinstance(action.choices, dict):
                parsers += action.choices.values()


def texts_of_page() -> Iterator[tuple[str, str]]:
    """What the page and the report as HTML show of their own: markup, and strings of scripts."""
    report = STATIC.parent.parent / "summary" / "report.html"
    for path in (STATIC / "index.html", report):
        yield path.name, unescape(re.sub(r"<[^>]*>|{[{%].*?[%}]}", " ", path.read_text()))
    for script in sorted(STATIC.glob("*.js")):
        if not script.name.startswith("uPlot"):
            code = re.sub(r"^\s*(?://|/?\*).*$", "", script.read_text(), flags=re.MULTILINE)
            for found in re.finditer(r'"([^"\n]*)"|`([^`]*)`', code):
                text = re.sub(r"\$\{[^}]*\}", "…", found[1] or found[2] or "")
                if " " in text:
                    yield script.name, text


def texts_of_files() -> Iterator[tuple[str, str]]:
    """The rule files of Prometheus and the dashboards, as they are shipped."""
    for path in sorted((ROOT / "provisioning" / "prometheus" / "rules").glob("*.yml")):
        for text in re.findall(
            r"(?:summary|description): (.*?)\n *\w+:", path.read_text(), re.DOTALL
        ):
            yield path.name, text
    for path in sorted((ROOT / "dashboards" / "provisioned").glob("*.json")):
        for text in re.findall(r'"(?:title|description)": "((?:[^"\\]|\\.)*)"', path.read_text()):
            yield path.name, text


def texts_of_docs() -> Iterator[tuple[str, str]]:
    """The pages of the documentation, but for code, decisions, and the words of the style guide."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
    pages += [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "running").glob("*.md")]
    pages += (ROOT / "docs" / "runbooks").glob("*.md")
    for path in sorted(set(pages) - {ROOT / "docs" / "style.md"}):
        text = re.sub(r"```.*?```", " ", path.read_text(), flags=re.DOTALL)
        yield str(path.relative_to(ROOT)), re.sub(r"`[^`]*`", "…", text)


def find_wrong_words(text: str) -> list[str]:
    """Words of the list, each with what is around it; what is allowed is left out."""
    text = " ".join(text.split())
    for fragment in ALLOWED:
        text = text.replace(fragment, "")
    return [text[max(0, f.start() - 40) : f.end() + 40] for f in WRONG.finditer(text)]


@pytest.mark.parametrize(
    "texts",
    [texts_of_code, texts_of_help, texts_of_page, texts_of_files, texts_of_docs],
    ids=["code", "help", "page", "files", "docs"],
)
def test_no_word_of_the_style_guide_is_used_in_its_wrong_sense(
    texts: Callable[[], Iterator[tuple[str, str]]],
) -> None:
    """Nothing that a user sees tells, stands, gives, begins or mends, and no user is a "he"."""
    seen = 0
    wrong = []
    for place, text in texts():
        seen += 1
        wrong += [f"{place}: …{words}…" for words in find_wrong_words(text)]
    assert not wrong, "\n".join(wrong)
    assert seen


@pytest.mark.parametrize(
    "text",
    [
        "grafana is no URL",
        "tells what is wrong",
        "Somebody changed his password",
        "mend it",
        "well",
    ],
)
def test_wrong_words_are_found(text: str) -> None:
    """Old messages are found, also at the start of a sentence."""
    assert find_wrong_words(text)


@pytest.mark.parametrize("text", ["there is no store", "is no longer active", "the others"])
def test_right_words_are_left_alone(text: str) -> None:
    """Plain English that has the same letters is not found."""
    assert not find_wrong_words(text)


def test_the_page_and_the_terminal_name_the_columns_of_events_alike() -> None:
    """Both lists of events have the same seven columns."""
    page = (STATIC / "index.html").read_text()
    page = page.partition('<table id="table"')[2].partition("</thead>")[0]
    columns = ["Time", "Host", "Service", "Event", "User", "Source", "Object"]
    assert re.findall(r'scope="col">([^<]+)<', page) == columns
    assert list(HEADINGS) == columns
