#!/usr/bin/env python3
"""Write the names of months and weekdays of all locales of glibc.

``write_locale_names.py [OUTPUT [FOLDER]]`` reads the sources of the locales (Debian's package
`locales` has them in /usr/share/i18n/locales) and writes core/heptad/core/locale_names.json, which
core/heptad/core/locale_names.py loads.
"""

import json
import re
import sys
from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
OUTPUT: Final = ROOT / "core" / "heptad" / "core" / "locale_names.json"
SOURCES: Final = Path("/usr/share/i18n/locales")
_NO_LOCALE: Final = re.compile(r"(?:translit_.*|i18n.*|iso14651.*|POSIX)")


@lru_cache(maxsize=1024)
def read_names(path: Path, keyword: str) -> tuple[str, ...]:
    """Return the values of a keyword in LC_TIME, also if it copies another locale's; else none."""
    text = path.read_text("utf-8", errors="replace")
    section = re.search(r"^LC_TIME$(.*?)^END LC_TIME", text, re.MULTILINE | re.DOTALL)
    if section is None:
        return ()
    escape = re.search(r"^escape_char\s+(\S)", text, re.MULTILINE)
    body = re.sub(re.escape(escape[1] if escape else "\\") + r"\n\s*", "", section[1])
    found = re.search(rf"^{keyword}\s+(.*)$", body, re.MULTILINE)
    if found is None:
        copied = re.search(r'^copy\s+"([^"]+)"', body, re.MULTILINE)
        return read_names(path.with_name(copied[1]), keyword) if copied else ()
    names = re.findall(r'"([^"]*)"', found[1])
    return tuple(re.sub(r"<U([0-9A-Fa-f]+)>", lambda m: chr(int(m[1], 16)), n) for n in names)


def collect(folder: Path) -> dict[str, object]:
    """Return the table of all locales of a directory, as the file contains it."""
    sys.path.insert(0, str(ROOT / "core"))
    from heptad.core.locale_names import normalize_name  # noqa: PLC0415 - a script has no package

    months: defaultdict[str, dict[str, int]] = defaultdict(dict)
    weekdays, locales = set(), set()
    for path in sorted(folder.iterdir()):
        names = read_names(path, "abmon")
        if _NO_LOCALE.fullmatch(path.name) or len(names) != 12:
            continue
        locales.add(path.name)
        for month, name in enumerate(names, 1):
            months[normalize_name(name)][path.name] = month
        for keyword in ("ab_alt_mon",):
            for month, name in enumerate(read_names(path, keyword), 1):
                months[normalize_name(name)].setdefault(path.name, month)
        weekdays |= {normalize_name(name) for name in read_names(path, "abday")}
    several = {name for name, meanings in months.items() if len(set(meanings.values())) > 1}
    return {
        "months": {n: min(m.values()) for n, m in sorted(months.items()) if n not in several},
        "ambiguous": {name: months[name] for name in sorted(several)},
        "weekdays": sorted(weekdays),
        "locales": sorted(locales),
    }


def main() -> None:
    """Write the table."""
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else SOURCES
    text = json.dumps(collect(folder), ensure_ascii=False, indent=1)
    output.write_text(f"{text}\n", "utf-8")


if __name__ == "__main__":
    main()
