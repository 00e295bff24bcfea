"""Lines of known programs that no rule understood, as they are stored beside the events."""

from typing import Final

from heptad.core.store.event_row import UNPARSED
from heptad.core.store.measurements import Field, Measurement

UNPARSED_LINES: Final = Measurement(
    name=UNPARSED,
    about="Lines of known programs that no rule understood or that were refused, for "
    "`heptad rules apply`.",
    always="count",
    tags={
        "host": "the host the line belongs to",
        "source": "the source's name in the configuration",
        "program": "the program that wrote it, normalised",
    },
    fields={
        "tag": Field(str, "the program's name as it stood in the line"),
        "pid": Field(str, "the process that wrote it, in digits"),
        "count": Field(int, "how often: syslog folds repeated lines into one"),
        "begin": Field(int, "where in `raw` the message begins, if it goes on to its end"),
        "message": Field(str, "the message, if `raw` does not end with it"),
        "log_host": Field(str, "the line's own host name, if it has one"),
        "path": Field(str, "the log file"),
        "unit": Field(str, "the systemd unit"),
        "trusted": Field(bool, "`true` where the journal vouches for what follows, else missing"),
        "exe": Field(str, "the binary that wrote it"),
        "uid": Field(int, "the user id that it ran as"),
        "capable": Field(bool, "`true` where it had capabilities, else missing"),
        "transport": Field(str, "how it reached the journal"),
        "history": Field(bool, "`true` where it is older than the first start, else missing"),
        "refused": Field(
            bool, "`true` where the program is not believed to have written it, else missing"
        ),
        "masked": Field(bool, "`true` where names in it are masked already, else missing"),
        "raw": Field(str, "the line, as far as it may be kept"),
    },
)
