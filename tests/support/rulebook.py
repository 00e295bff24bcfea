"""The built-in rules, read once for all tests that change nothing of them."""

from typing import Final

from heptad.exporter.parsing.rulebook import load_rulebook

RULEBOOK: Final = load_rulebook()
