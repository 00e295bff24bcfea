"""Track sizes by name, and find the largest in constant time."""

from collections import OrderedDict
from collections.abc import Iterable


class SizeRanking:
    """Sizes that change by one at a time; zeros are dropped."""

    def __init__(self, sizes: Iterable[tuple[str, int]]) -> None:
        self._names: dict[int, OrderedDict[str, None]] = {}
        self._largest = 0
        for name, size in sizes:
            self.move(name, 0, size)

    def move(self, name: str, before: int, after: int) -> None:
        """Change the size of ``name`` from ``before`` to ``after``."""
        if before:
            names = self._names[before]
            del names[name]
            if not names:
                del self._names[before]
        if after:
            self._names.setdefault(after, OrderedDict())[name] = None
        self._largest = max(self._largest, after)
        while self._largest and self._largest not in self._names:
            self._largest -= 1

    def largest(self) -> str:
        """Return the name with the largest size; of several, the one that has it longest."""
        return next(iter(self._names[self._largest]))
