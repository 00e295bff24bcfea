"""Show findings on a terminal as one line each, among the events."""

import logging
from collections.abc import Callable

from heptad.aggregator.detection.rules import rules_of
from heptad.cli.screen import COLOURS, PLAIN
from heptad.core.config.findings import FindingsConfig
from heptad.core.terminal import printable


class FindingLines(logging.Filter):
    """Removes findings from the log, and shows each on one line instead.

    ``room`` returns the maximum number of columns of a line, None for no limit.
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
        """Return whether a record stays in the log."""
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
