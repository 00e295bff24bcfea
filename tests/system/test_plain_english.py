"""Texts that a user sees are written in the field's words."""

import re
from pathlib import Path

from heptad.cli.table import HEADINGS

ROOT = Path(__file__).parents[2]
INDEX = ROOT / "aggregator" / "heptad" / "aggregator" / "web" / "static" / "index.html"


def test_the_page_and_the_terminal_name_the_columns_of_events_alike() -> None:
    """Both lists of events have the same seven columns."""
    page = INDEX.read_text().partition('<table id="table"')[2].partition("</thead>")[0]
    columns = ["Time", "Host", "Service", "Event", "User", "Source", "Object"]
    assert re.findall(r'scope="col">([^<]+)<', page) == columns
    assert list(HEADINGS) == columns
