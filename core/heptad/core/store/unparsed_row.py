"""Lines of known programs that no rule matches, as they are stored beside the events."""

from typing import Final

from heptad.core.store.event_row import UNPARSED
from heptad.core.store.measurements import Field, Measurement

UNPARSED_LINES: Final = Measurement(
    name=UNPARSED,
    about="Lines of known programs that no rule understood, or that were rejected for their "
    "provenance; for `heptad rules apply`.",
    always="count",
    tags={
        "host": "the host the line belongs to",
        "source": "the source's name in the configuration",
        "program": "the program that wrote the line, normalized",
    },
    fields={
        "tag": Field(str, "the program's name as it appears in the line"),
        "pid": Field(str, "the process that wrote it, in digits"),
        "count": Field(int, "number of occurrences: syslog folds repeated lines into one"),
        "begin": Field(int, "where the message starts in `raw`, if it continues to its end"),
        "message": Field(str, "the message, if `raw` does not end with it"),
        "log_host": Field(str, "the host name in the line, if it has one"),
        "path": Field(str, "the log file"),
        "unit": Field(str, "the systemd unit"),
        "trusted": Field(
            bool, ("`true` if the journal verified the following fields, otherwise missing")
        ),
        "exe": Field(str, "the binary that wrote the line"),
        "uid": Field(int, "the user id of the process"),
        "capable": Field(bool, "`true` if the process had capabilities, otherwise missing"),
        "transport": Field(str, "how the line reached the journal"),
        "history": Field(
            bool, ("`true` if the line is older than the first start, otherwise missing")
        ),
        "refused": Field(
            bool, "`true` if the line was rejected for its provenance, otherwise missing"
        ),
        "masked": Field(bool, "`true` if names in the line are already masked, otherwise missing"),
        "raw": Field(str, "the line, as far as privacy settings allow"),
    },
)
