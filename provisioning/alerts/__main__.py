"""Write the rule files, and docs/alerts.md if they are those of the repository."""

import argparse
import sys
from pathlib import Path
from typing import Final

from heptad.core.config.strict_yaml import DocumentError
from provisioning.alerts import FILES
from provisioning.alerts.page import alerts_page
from provisioning.alerts.rule import DEFAULT, check_names, load_settings, render

_ROOT: Final = Path(__file__).parent.parent.parent
_RULES: Final = _ROOT / "provisioning" / "prometheus" / "rules"
_PAGE: Final = _ROOT / "docs" / "alerts.md"


def main() -> int:
    """Return 0, or 2 if the settings cannot be used."""
    parser = argparse.ArgumentParser(prog="make rules", description=__doc__)
    parser.add_argument("--settings", type=Path, default=DEFAULT, metavar="FILE")
    parser.add_argument("--output", type=Path, default=_RULES, metavar="DIR")
    arguments = parser.parse_args()
    try:
        settings = load_settings(arguments.settings)
        if problems := check_names(settings, FILES.values()):
            told = [f"{arguments.settings}: {problem}" for problem in problems]
            print(*told, sep="\n", file=sys.stderr)  # noqa: T201 - printed to standard error
            return 2
        for name, group in FILES.items():
            (arguments.output / name).write_text(render(group, settings), encoding="utf-8")
        if arguments.output == _RULES:
            _PAGE.write_text(alerts_page(FILES, settings), encoding="utf-8")
    except (DocumentError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - printed to standard error
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
