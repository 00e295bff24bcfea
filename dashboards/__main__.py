"""Write every dashboard in both flavours: `make dashboards`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dashboards import host, hosts, investigate, itself, logins, now, privileges
from dashboards.flavours import importable, provisioned, written

FOLDER: Final = Path(__file__).parent
_MODULES: Final = (now, investigate, logins, privileges, hosts, host, itself)
BOARDS: Final = {module.__name__.rpartition(".")[2]: module for module in _MODULES}
"""File name → the module that builds the dashboard."""


def files() -> Iterator[tuple[Path, str]]:
    """Yield the path and content of each file."""
    for name, module in BOARDS.items():
        content = provisioned(module.build())
        yield FOLDER / "provisioned" / f"{name}.json", written(content)
        yield FOLDER / "import" / f"{name}.json", written(importable(content))


def main() -> None:
    for path, text in files():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
