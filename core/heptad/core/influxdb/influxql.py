"""InfluxQL as text: what is quoted, and how; nothing that was given can end a quotation.

Quoting as InfluxQL's reference gives it ("Identifiers", "Strings"): a backslash before the own
quote and before a backslash, a line break as ``\\n``. NUL ends a query for the parser of 1.x and
2.x, so text that holds one cannot be asked for; nothing is stored under such a tag either.
"""

from typing import Final

from heptad.core.store.api import TagFilter

_IDENTIFIER: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
_STRING: Final = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n"})
EARLIEST: Final = -(2**63) + 2
LATEST: Final = 2**63 - 1
"""The range of InfluxDB's times, in nanoseconds; ``LATEST`` lies behind it."""


def quote_name(name: str) -> str:
    """An identifier: a database, measurement, tag or field."""
    return f'"{name.translate(_IDENTIFIER)}"'


def quote_text(text: str) -> str:
    """A string."""
    return f"'{text.translate(_STRING)}'"


def in_time(since: int, until: int) -> str:
    """The condition since <= time < until (ns)."""
    return f"time >= {max(since, EARLIEST)} AND time < {min(until, LATEST)}"


def where_tags(tags: TagFilter, *, cast: bool) -> str | None:
    """The condition, to be put behind another one; None where no point can have such tags.

    ``cast``: so that it is of the tag where a field has the same name.
    """
    kind = "::tag" if cast else ""
    text = ""
    for name, wanted in tags.items():
        values = sorted({wanted} if isinstance(wanted, str) else set(wanted))
        parts = [f"{quote_name(name)}{kind} = {quote_text(v)}" for v in values if _can_be_a_tag(v)]
        if not parts:
            return None
        text += f" AND ({' OR '.join(parts)})"
    return text


def _can_be_a_tag(value: str) -> bool:
    """Not empty: InfluxDB takes an empty value for "has no such tag", which nobody asks for."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return value != "" and "\0" not in value
