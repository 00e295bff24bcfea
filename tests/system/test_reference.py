"""The generated pages say what the code says."""

import pathlib

import pytest

from docs.generate.configuration import EXAMPLE
from docs.generate.reference import PAGES
from heptad.core.config import strict_yaml
from heptad.core.config.schema import Config, check, expand_environment
from heptad.exporter.parsing.rule_file import load_rule_files
from heptad.exporter.parsing.rulebook import check_examples

DOCS = pathlib.Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_page_is_up_to_date(name: str) -> None:
    """A page differs from the code until `make docs` was run."""
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), "run `make docs`"


def test_example_configuration_is_valid() -> None:
    """The example on the configuration page can be used as it stands."""
    strict_yaml.parse(EXAMPLE, "example", Config, expand_environment, check)


def test_example_rules_hold(tmp_path: pathlib.Path) -> None:
    """The rule file on the page about rules is one, and its examples hold."""
    page = (DOCS / "rules.md").read_text(encoding="utf-8")
    example = page.split("```yaml\n")[1].split("```")[0]
    (tmp_path / "gatekeeper.yaml").write_text(example, encoding="utf-8")
    assert check_examples(load_rule_files([tmp_path])) == []
