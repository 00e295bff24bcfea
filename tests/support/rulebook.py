"""The built-in rules, loaded once for all tests that do not change them."""

from typing import Final

from heptad.exporter.parsing.rulebook import load_rulebook

RULEBOOK: Final = load_rulebook()
