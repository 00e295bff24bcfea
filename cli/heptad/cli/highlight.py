"""Findings as a person at a terminal sees them: one line each, among the events."""

import logging
from collections.abc import Callable

from heptad.aggregator.detection.rules import rules_of
from heptad.cli.screen import COLOURS, PLAIN
from heptad.core.config.findings import FindingsConfig
from heptad.core.terminal import printable


class FindingLines(logging.Filter):
    """Takes the findings out of the log, and shows each as one line instead.

    ``room`` gives the columns that a line may take, None for any number.
    """

    def __init__(
        self, show: Callable[[str], object], room: Callable[[], int | None], *, colour: bool
    ) -> None:
        super().__init__()
        self._show = show
        self._room = room
        self._colour = colour
        self._titles = {rule.name: rule.title for rule in rules_of(FindingsConfig())}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is for the log."""
        told = vars(record)
        if record.msg != "finding" or "rule" not in told:
            return True
        severity = str(told.get("severity", ""))
        line = printable(f"{severity.upper():<7}{self._describe(told)}", self._room())
        if self._colour and severity in COLOURS:
            line = f"{COLOURS[severity]}{line}{PLAIN}"
        self._show(line)
        return False

    def _describe(self, told: dict[str, object]) -> str:
        title = self._titles.get(str(told["rule"]), str(told["rule"]))
        *people, where = (str(told.get(name, "")) for name in ("from", "who", "whom", "where"))
        told_of = "@".join(filter(None, (" → ".join(filter(None, people)), where)))
        return " · ".join(filter(None, (title, told_of)))
