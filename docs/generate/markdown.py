"""Format Markdown for the generated pages."""

from collections.abc import Iterable
from typing import Final

WRITTEN: Final = "<!-- Written by `make docs` from the code; change it there. -->\n"


def table(heading: tuple[str, ...], rows: Iterable[Iterable[str]]) -> str:
    lines = ["| " + " | ".join(heading) + " |", "|" + " --- |" * len(heading)]
    for row in rows:
        cells = [str(cell).replace("|", "\\|").replace("\n", " ") for cell in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
