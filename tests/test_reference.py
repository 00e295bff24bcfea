"""The generated pages say what the code says."""

import pathlib

import pytest

from exporter.parsers.engine import check_examples
from exporter.parsers.rule_file import load_rule_files
from heptad import document
from heptad.commands.reference import EXAMPLE, PAGES
from heptad.config import Config, check, expand_environment

DOCS = pathlib.Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_page_is_up_to_date(name: str) -> None:
    """A page differs from the code until `make docs` was run."""
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), "run `make docs`"


def test_example_configuration_is_valid() -> None:
    """The example on the configuration page can be used as it stands."""
    document.parse(EXAMPLE, "example", Config, expand_environment, check)


def test_example_rules_hold(tmp_path: pathlib.Path) -> None:
    """The rule file on the page about rules is one, and its examples hold."""
    page = (DOCS / "rules.md").read_text(encoding="utf-8")
    example = page.split("```yaml\n")[1].split("```")[0]
    (tmp_path / "gatekeeper.yaml").write_text(example, encoding="utf-8")
    assert check_examples(load_rule_files([tmp_path])) == []
