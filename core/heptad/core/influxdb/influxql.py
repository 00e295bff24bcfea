"""InfluxQL as text: quoting, so that no value can end its quotation.

Quoting follows InfluxQL's reference ("Identifiers", "Strings"): a backslash before the enclosing
quote and before a backslash, a line break as ``\\n``. The parser of 1.x and 2.x ends a query at
NUL, so text that contains one cannot be queried; nothing is stored under such a tag either.
"""

from typing import Final

from heptad.core.store.api import TagFilter

_IDENTIFIER: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
_STRING: Final = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n"})
EARLIEST: Final = -(2**63) + 2
LATEST: Final = 2**63 - 1
"""The range of InfluxDB's times, in nanoseconds; ``LATEST`` is exclusive."""


def quote_name(name: str) -> str:
    """Quote an identifier: a database, measurement, tag or field."""
    return f'"{name.translate(_IDENTIFIER)}"'


def quote_text(text: str) -> str:
    """Quote a string."""
    return f"'{text.translate(_STRING)}'"


def in_time(since: int, until: int) -> str:
    """Return the condition since <= time < until (ns)."""
    return f"time >= {max(since, EARLIEST)} AND time < {min(until, LATEST)}"


def where_tags(tags: TagFilter, *, cast: bool) -> str | None:
    """Return the condition to append to another one; None if no point can have such tags.

    ``cast``: refer to the tag even if a field has the same name.
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
    """Return whether a tag can have this value; InfluxDB treats an empty one as "no such tag"."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return value != "" and "\0" not in value
