"""Heptad: who logged in, who tried, who became root - made visible with the tools you run."""

__version__ = "0.2.0"
