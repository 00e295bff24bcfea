"""The built-in rules, read once for all tests that change nothing of them."""

from typing import Final

from exporter.parsers.engine import load_rulebook

RULEBOOK: Final = load_rulebook()
