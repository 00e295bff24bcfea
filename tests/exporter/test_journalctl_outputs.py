"""What journalctl prints is read, in each of its outputs that tells a time, and in any language."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from heptad.cli.main import main
from tests.support import needs
from tests.support.journal import Journal

pytestmark = pytest.mark.system

BEGIN = 1_772_085_750  # 2026-02-26T06:02:30Z
WRONG = "Failed password for ann from 192.0.2.7 port 22 ssh2"
SOURCES = Path("/usr/share/i18n/locales")


def printed(folder: Path, output: str, locale: str = "C.UTF-8", zone: str = "UTC") -> str:
    """What journalctl prints of a folder of journals."""
    environment = {**os.environ, "TZ": zone, "LC_ALL": locale, "LOCPATH": str(folder.parent)}
    if locale == "C.UTF-8":
        del environment["LOCPATH"]
    command = ["journalctl", f"--directory={folder}", f"--output={output}", "--no-pager"]
    done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE)
    return done.stdout.decode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A journal with two failed logins."""
    folder = tmp_path / "journal"
    folder.mkdir()
    journal = Journal(folder, BEGIN)
    journal.write(WRONG, WRONG)
    return folder


def parse(text: str, path: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """The events that `heptad parse` finds."""
    path.write_text(text)
    main(["parse", "--timezone", "UTC", "--format", "jsonl", str(path)])
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/New_York"])
@pytest.mark.parametrize(
    "output", ["short-full", "short-iso", "short-iso-precise", "short-unix", "with-unit"]
)
def test_outputs_with_a_zone(
    folder: Path, output: str, zone: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The time is the entry's whatever the zone of the machine that printed it."""
    events = parse(printed(folder, output, zone=zone), tmp_path / "log", capsys)
    assert [(e["program"], e["user"], e["pid"], e["host"]) for e in events] == [
        ("sshd", "ann", 7, "gate")
    ] * 2
    assert [str(e["time"])[:19] for e in events] == ["2026-02-26T06:02:31", "2026-02-26T06:02:32"]


@pytest.mark.parametrize("output", ["short", "short-precise"])
@pytest.mark.parametrize(
    "locale", ["C.UTF-8", "fr_FR", "de_DE", "ja_JP", "vi_VN", "ca_ES", "ru_RU"]
)
def test_outputs_in_a_language(
    folder: Path, output: str, locale: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A month's name in the locale's words is read as well."""
    if locale != "C.UTF-8":
        needs.program("localedef")
        needs.path(SOURCES / locale, "locales")
        compiled = str(tmp_path / f"{locale}.UTF-8")
        command = ["localedef", "--quiet", "--force", "-i", locale, "-f", "UTF-8", compiled]
        subprocess.run(command, check=False, stderr=subprocess.DEVNULL)
        locale = f"{locale}.UTF-8"
    text = printed(folder, output, locale)
    assert ("Feb" in text) is (locale in ("C.UTF-8", "de_DE.UTF-8"))
    events = parse(text, tmp_path / "log", capsys)
    assert [str(e["time"])[5:19] for e in events] == ["02-26T06:02:31", "02-26T06:02:32"]


@pytest.mark.parametrize(
    "output", ["cat", "json", "json-pretty", "json-sse", "verbose", "export", "short-monotonic"]
)
def test_outputs_that_are_no_log(
    folder: Path, output: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Output without a time in each line gives no event, and is named with one to use instead."""
    path = tmp_path / "log"
    path.write_text(printed(folder, output))
    assert main(["parse", str(path)]) == 1
    told = capsys.readouterr().err
    assert "use --output=short-iso-precise" in told
