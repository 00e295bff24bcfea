"""The wheel in an environment of its own, which has what the wheel declares and no checkout."""

import importlib.metadata
import os
import re
import site
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parents[2]
SOURCES: Final = ("core", "exporter", "aggregator", "cli")
LINE: Final = "2026-03-01T10:00:00+00:00 web-1 sshd[7]: Failed password for root from 203.0.113.9 port 4242 ssh2\n"


def run(command: Path, *words: str | Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Run a program of an environment as a user who has nothing but it."""
    environment = {"PATH": os.defpath, "HOME": str(home), "LC_ALL": "C.UTF-8", "COLUMNS": "100"}
    return subprocess.run(
        list(map(str, (command, *words))),
        cwd=home,
        env=environment,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built without network."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
    build.append(str(folder))
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    return wheel


def list_required(name: str, extras: set[str], found: set[str]) -> None:
    """Add the names of the distributions that one requires, directly or through others."""
    for line in importlib.metadata.requires(name) or ():
        needed = Requirement(line)
        marker = needed.marker
        wanted = marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""})
        key = canonicalize_name(needed.name)
        if wanted and key == "heptad":  # an extra that is made of others
            list_required("heptad", needed.extras, found)
        elif wanted and key not in found:
            found.add(key)
            list_required(key, needed.extras, found)


def make_environment(folder: Path, wheel: Path, *extras: str) -> Path:
    """Install the wheel beside what it declares with these extras; the folder of programs."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    programs = folder / "bin"
    [packages] = folder.glob("lib/python*/site-packages")
    required = set[str]()
    list_required("heptad", set(extras), required)
    for name in required:
        files = importlib.metadata.distribution(name).files or ()
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            source = next(Path(place, top) for place in site.getsitepackages())
            (packages / top).symlink_to(source)
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", wheel], check=True, capture_output=True)
    return programs


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with heptad[all]."""
    return make_environment(tmp_path_factory.mktemp("all"), wheel, "all")


@pytest.fixture(scope="module")
def plain(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with heptad and none of its extras."""
    return make_environment(tmp_path_factory.mktemp("plain"), wheel)


def test_the_wheel_holds_one_namespace_and_all_its_files(wheel: Path) -> None:
    """Only `heptad/` is at its top, and every file of the source folders is in there."""
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names}
    assert {re.sub(r"-.*\.dist-info", ".dist-info", top) for top in tops} == {
        "heptad",
        "heptad.dist-info",
    }
    files = {
        path.relative_to(ROOT / folder).as_posix()
        for folder in SOURCES
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files - names == set()


SHOW_HELP: Final = """
import sys
from heptad.cli.main import main, make_parser

def show(parser, *words):
    sys.stdout.write(f"{words}\\n")
    try:
        main([*words, "--help"])
    except SystemExit as end:
        assert not end.code, words
    for action in parser._subparsers._group_actions if parser._subparsers else ():
        for name, verb in action.choices.items():
            show(verb, *words, name)

show(make_parser())
"""
"""Shows the help of each command and each verb: in one process, for each start takes its time."""
IMPORT_ALL: Final = """
import importlib, pathlib, sys
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    assert pathlib.Path(module.__file__).is_relative_to(sys.prefix), module.__file__
"""


def show_help(programs: Path, home: Path) -> str:
    """What every command prints about itself."""
    shown = run(programs / "python", "-c", SHOW_HELP, home=home)
    assert shown.returncode == 0, shown.stdout
    return shown.stdout


@pytest.mark.long
def test_every_command_and_verb_shows_its_help(programs: Path, tmp_path: Path) -> None:
    """The help of each is there, outside the checkout and with no package but the declared ones."""
    usages = set(
        re.findall("^usage: (heptad(?: [a-z-]+)*)", show_help(programs, tmp_path), re.MULTILINE)
    )
    assert usages >= {"heptad", "heptad status", "heptad grafana push", "heptad influxdb setup"}


@pytest.mark.long
def test_every_module_is_imported_from_the_wheel(
    wheel: Path, programs: Path, tmp_path: Path
) -> None:
    """No module requires one of the checkout, or a package that the wheel does not declare."""
    files = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")]
    names = [name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in files]
    imported = run(programs / "python", "-c", IMPORT_ALL, *names, home=tmp_path)
    assert (imported.returncode, imported.stdout) == (0, "")
    assert len(names) > 100


@pytest.mark.long
def test_the_commands_work(programs: Path, tmp_path: Path) -> None:
    """A line becomes an event and part of a report; the rules and the sample are in the wheel."""
    (tmp_path / "auth.log").write_text(LINE)
    config = tmp_path / "heptad.yaml"
    config.write_text(
        f"sources: [{{name: auth, type: file, paths: [{tmp_path}/auth.log]}}]\n"
        f"store: {{path: {tmp_path}/events.db, max_age: 36500d}}\n"
        f"aggregator: {{store: {{path: {tmp_path}/reports.db}}}}\n"
    )
    heptad = programs / "heptad"

    def told(*words: str | Path) -> str:
        done = run(heptad, *words, home=tmp_path)
        assert done.returncode == 0, done.stdout
        return done.stdout

    assert told("check-config", config).endswith("ok\n")
    empty = run(heptad, "events", "--config", config, home=tmp_path)
    assert (empty.returncode, "heptad exporter" in empty.stdout) == (1, True)
    told("exporter", "--once", "--config", config)
    events = told("events", "--since", "36500d", "--config", config)
    assert "root" in events
    assert "203.0.113.9" in events
    told("aggregator", "--once", "--config", config)
    assert "203.0.113.9" in told("report", "--since", "36500d", "--config", config)
    [sample] = programs.parent.glob("lib/python*/site-packages/heptad/cli/sample_log/auth.log")
    assert "203.0.113.99" in told("parse", sample)
    told("rules", "test")
    assert "sshd" in told("rules", "list")
    assert "complete" in told("--print-completion", "bash")


@pytest.mark.long
def test_a_missing_extra_is_named_by_its_command(plain: Path, tmp_path: Path) -> None:
    """Without heptad[grafana] its command says what to install, and every other command works."""
    (tmp_path / "token").write_text("a-token\n")
    push = ("grafana", "push", "--url", "http://127.0.0.1:1", "--token-file", "token")
    refused = run(plain / "heptad", *push, home=tmp_path)
    assert refused.returncode != 0
    assert "heptad[grafana]" in refused.stdout
    assert "Traceback" not in refused.stdout
    assert "usage: heptad grafana push" in show_help(plain, tmp_path)
