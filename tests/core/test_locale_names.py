"""The names of months: complete for every locale that Debian packages."""

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from heptad.core.locale_names import AmbiguousMonth, find_locale, find_month, is_weekday, load_names
from tests.support import needs

ROOT = Path(__file__).resolve().parents[2]
SOURCES = Path("/usr/share/i18n/locales")


@pytest.mark.system
def test_the_table_has_every_locale(tmp_path: Path) -> None:
    """Each name that the installed locales have is in the committed table, with its months."""
    needs.program("localedef")
    needs.path(SOURCES / "fr_FR", "locales")
    written = tmp_path / "names.json"
    script = ROOT / "scripts" / "write_locale_names.py"
    subprocess.run([sys.executable, str(script), str(written)], check=True)
    names, known = json.loads(written.read_text()), load_names()
    assert names["months"].items() <= known.months.items() | {
        (name, month) for name, by in known.ambiguous.items() for month in by.values()
    }
    assert names["ambiguous"].keys() <= known.ambiguous.keys()
    assert set(names["locales"]) <= known.locales
    assert set(names["weekdays"]) <= known.weekdays
    assert len(known.locales) > 300


@pytest.mark.system
@pytest.mark.parametrize(
    "locale", ["fr_FR", "cs_CZ", "hr_HR", "ja_JP", "vi_VN", "ca_ES", "am_ET", "el_GR", "ar_IQ"]
)
def test_what_the_c_library_writes_is_read(locale: str, tmp_path: Path) -> None:
    """Each month and weekday that date(1) writes in a locale is the one that it stands for."""
    needs.program("localedef")
    needs.path(SOURCES / locale, "locales")
    # --force: a warning of the C library's own about a locale is not an error
    command = ["localedef", "--quiet", "--force", "-i", locale, "-f", "UTF-8"]
    subprocess.run([*command, str(tmp_path / locale)], check=False, stderr=subprocess.DEVNULL)
    environment = {**os.environ, "LOCPATH": str(tmp_path), "LC_ALL": f"{locale}.UTF-8"}
    names = set()
    for month in range(1, 13):
        command = ["date", f"--date={date(2026, month, 3)}", "+%b|%a"]
        told = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE)
        name, weekday = told.stdout.decode().rstrip("\n").split("|")
        names.add(name.strip())
        assert find_month(name, locale) == month
        assert is_weekday(weekday)
    assert not names & {"Jan", "Dec"}


def test_a_locale_by_its_usual_names() -> None:
    """With an encoding, with a modifier, or the language alone."""
    assert find_locale("fr_FR.UTF-8") == find_locale("fr_FR") == "fr_FR"
    assert find_locale("be_BY.UTF-8@latin") == "be_BY@latin"
    assert find_locale("hr") == "hr_HR"
    assert find_locale("xx_XX") is None
    assert find_locale("") is None


def test_an_unknown_or_ambiguous_name() -> None:
    """No name is guessed."""
    assert find_month("Foo") is None
    assert find_month("Foo", "fr_FR") is None
    with pytest.raises(AmbiguousMonth, match="`Srp` is month 7 in hr_HR, month 8 in cs_CZ"):
        find_month("Srp")
