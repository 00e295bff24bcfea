"""Heptad: who logged in, who tried, who became root - made visible with the tools you run."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("heptad")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
