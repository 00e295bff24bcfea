"""Packages that only an extra of Heptad installs."""

from typing import Final

EXTRA_OF: Final = {"grafana_client": "grafana", "requests": "grafana"}
"""Package as it is imported → the extra that installs it."""


def describe_missing(error: ModuleNotFoundError) -> str | None:
    """What to install so that the import works, or None for a package of no extra."""
    package = (error.name or "").partition(".")[0]
    if package not in EXTRA_OF:
        return None
    extra = f"heptad[{EXTRA_OF[package]}]"
    return f"this command requires {package}, which is not installed: pip install '{extra}'"
