"""What the Debian package is made of; `make dist-test` installs and purges the whole package."""

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from docs.generate.man_pages import write_pages
from heptad.cli.commands import COMMANDS
from heptad.core.config.schema import load_config
from tests.support import needs

ROOT: Final = Path(__file__).resolve().parents[2]
UNITS: Final = ROOT / "provisioning" / "systemd"
DEBIAN: Final = ROOT / "packaging" / "debian"


def settings_of(unit: str) -> set[str]:
    """The lines of a unit that are not comments."""
    return {line for line in unit.splitlines() if line and not line.startswith("#")}


@pytest.mark.parametrize("part", ["exporter", "aggregator"])
def test_units_of_the_package_keep_state_and_hardening(part: str, tmp_path: Path) -> None:
    """They differ from the documented units in program and user alone: the state stays in place."""
    source = UNITS / f"heptad-{part}.service"
    command = ["sed", "-f", str(DEBIAN / "units.sed"), str(source)]
    made = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    documented, packaged = settings_of(source.read_text()), settings_of(made)
    config = f"{part} --config /etc/heptad/heptad.yaml"
    assert documented - packaged == {
        "DynamicUser=yes",
        f"ExecStart=/opt/heptad/bin/heptad {config}",
    }
    assert packaged - documented == {f"ExecStart=/usr/bin/heptad {config}"}
    assert packaged >= {"StateDirectory=heptad", "User=heptad"}
    assert "DynamicUser" not in made
    assert re.match("u heptad ", (DEBIAN / "heptad.sysusers").read_text())


def test_the_default_configuration_sets_nothing() -> None:
    """A host that has not changed it runs with the defaults that the documentation names."""
    assert load_config(ROOT / "packaging" / "heptad.yaml") == load_config(None)


def test_every_command_has_a_man_page(tmp_path: Path) -> None:
    """A page for each, also with the options of its verbs, and none left over."""
    write_pages(tmp_path)
    pages = {page.stem: page.read_text() for page in tmp_path.iterdir()}
    assert set(pages) == {"heptad", *(f"heptad-{name}" for name in COMMANDS)}
    for name in COMMANDS:
        page = pages[f"heptad-{name}"].replace(r"\-", "-")
        assert page.startswith(f".TH HEPTAD-{name.upper()} 1 ")
        assert ".SH EXIT STATUS" in page
    push = pages["heptad-grafana"].replace(r"\-", "-")
    assert re.findall("^[.]B .*--renew-secrets$", push, re.MULTILINE)


def test_man_pages_are_shown_without_a_warning(tmp_path: Path) -> None:
    """groff understands every line, and shows the text of the help as it is written."""
    needs.program("groff")
    write_pages(tmp_path)
    for page in tmp_path.iterdir():
        command = ["groff", "-man", "-Tutf8", "-Kutf8", "-ww", str(page)]
        shown = subprocess.run(command, check=True, capture_output=True, text=True)
        assert shown.stderr == "", page.name
