"""The project itself: what a reader and a fresh machine rely on."""

import ast
import pathlib
import re
import tomllib
from collections.abc import Iterator

import pytest

from tests.support import needs

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = ("core", "exporter", "aggregator", "cli")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60

PINS = pytest.mark.parametrize(
    "pins", ["constraints.txt", "constraints-dev.txt", "constraints-dist.txt"]
)


def _sources(*folders: str) -> Iterator[pathlib.Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def _functions(source: pathlib.Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(source.read_bytes())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _entries(pins: str) -> list[str]:
    """Return a pinned file's entries, each on one line, without comments."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / pins).read_text(), flags=re.MULTILINE)
    return text.replace("\\\n", " ").splitlines()


@PINS
def test_every_dependency_is_pinned_by_version_and_hash(pins: str) -> None:
    """Each entry names one version and at least one SHA-256, and nothing else is in the file."""
    entries = _entries(pins)
    pinned = re.compile(r"[a-z0-9-]+==\S+( ; [^#]+)?(\s+--hash=sha256:[0-9a-f]{64})+\s*")
    assert entries
    assert [entry for entry in entries if not pinned.fullmatch(entry)] == []


@PINS
def test_constraints_name_no_address(pins: str) -> None:
    """Where packages come from is the machine's configuration, not the project's."""
    assert re.findall("https?:|//", (ROOT / pins).read_text()) == []


@pytest.mark.parametrize("other", ["constraints-dev.txt", "constraints-dist.txt"])
def test_pinned_files_agree(other: str) -> None:
    """`make run`, `make test` and `make dist` use the same version of what they share."""
    run, pinned = (
        dict(entry.split()[0].split("==") for entry in _entries(pins))
        for pins in ("constraints.txt", other)
    )
    assert {name: pinned.get(name, version) for name, version in run.items()} == run


def test_every_declared_dependency_is_pinned() -> None:
    """`make constraints` was run after a dependency was added, as the set-up takes no other."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    run = project["build-system"]["requires"] + project["project"]["dependencies"]
    run += extras["grafana"]
    dev = extras["dev"]
    for pins, declared in (("constraints.txt", run), ("constraints-dev.txt", dev)):
        names = {re.split("[^a-z0-9-]", dependency)[0] for dependency in declared}
        assert names - {entry.split("==")[0] for entry in _entries(pins)} == set(), pins


def test_licence_is_apache_2() -> None:
    """The licence is there in full, from its name to its appendix."""
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "APPENDIX: How to apply the Apache License to your work" in text


def test_files_stay_short() -> None:
    """No file of the packages is too long to be read in one go."""
    lengths = {
        str(f.relative_to(ROOT)): len(f.read_text().splitlines()) for f in _sources(*PACKAGES)
    }
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FILE_LINES} == {}


def test_functions_stay_short() -> None:
    """No function of the packages is too long to be taken in at a glance."""
    lengths = {
        f"{source.relative_to(ROOT)}:{function.name}": function.end_lineno - function.lineno + 1
        for source in _sources(*PACKAGES)
        for function in _functions(source)
        if function.end_lineno is not None
    }
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FUNCTION_LINES} == {}


def test_packages_tell_that_they_are_typed() -> None:
    """A type checker uses the annotations of all four packages (PEP 561)."""
    markers = [ROOT / name / "heptad" / name / "py.typed" for name in PACKAGES]
    assert [str(marker) for marker in markers if not marker.is_file()] == []


def test_every_package_is_installed() -> None:
    """A folder with modules is a package, except ``heptad`` itself, which is a namespace."""
    folders = {source.parent for source in _sources(*PACKAGES)} - {ROOT / "cli" / "heptad"}
    assert [str(f.relative_to(ROOT)) for f in folders if not (f / "__init__.py").is_file()] == []


def test_programs_that_tests_need_can_be_installed() -> None:
    """Each program that a test asks for has a Debian package that `make test` installs."""
    asked = {
        argument.value
        for source in _sources("tests")
        for node in ast.walk(ast.parse(source.read_bytes()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "needs.program"
        for argument in node.args
        if isinstance(argument, ast.Constant)
    }
    assert asked - needs.PACKAGES.keys() == set()
