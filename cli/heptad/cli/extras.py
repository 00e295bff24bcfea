"""Packages that are only installed with an extra of Heptad."""

from typing import Final

EXTRA_OF: Final = {"grafana_client": "grafana", "requests": "grafana"}
"""Name of the import → the extra that installs it."""


def describe_missing(error: ModuleNotFoundError) -> str | None:
    """Return what to install to fix the import; None if the package belongs to no extra."""
    package = (error.name or "").partition(".")[0]
    if package not in EXTRA_OF:
        return None
    extra = f"heptad[{EXTRA_OF[package]}]"
    return f"this command requires {package}, which is not installed: pip install '{extra}'"
