"""Heptad: who logged in, who tried, who became root."""

__version__ = "0.2.0"
