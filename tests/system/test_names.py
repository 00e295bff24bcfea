"""The words of the code: one meaning for each name, and none of the names that were given up."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PRODUCT: Final = ("core", "exporter", "aggregator", "cli", "dashboards", "provisioning")
GIVEN_UP: Final = frozenset(
    "Segment Fate Lane lane lanes Interpreter interpret Record Origin strangers Strangers"
    " leftovers left_over LEFT_OVER Reapplication pulse Account beat Parcel pack TryAgain Hold"
    " refused Tally left_out LEFT_OUT seal rendering look redo feed Read Cells is_idle passed KEEP"
    " Watch ledger dense novelty wrong_where wants tell Book folding Fold composition arrivals"
    " document Surgery spans placing slices bounds garbage Crew Stop Position head Result Job"
    " Reading Found".split()
)
"""Names that were replaced by a standard term; docs/glossary.md has the terms."""


def modules() -> Iterator[tuple[Path, ast.Module]]:
    """Every module of the product, parsed."""
    for folder in PRODUCT:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_bytes())


def identifiers(tree: ast.Module) -> Iterator[str]:
    """Every name that a module defines or uses."""
    for node in ast.walk(tree):
        match node:
            case ast.Name():
                yield node.id
            case ast.Attribute():
                yield node.attr
            case ast.arg():
                yield node.arg
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.keyword(arg=str(name)):
                yield name
            case ast.alias():
                yield node.asname or node.name.rpartition(".")[2]
            case _:
                pass


def test_no_name_that_was_given_up() -> None:
    """No identifier and no module bears a name that a standard term has replaced."""
    found = {
        f"{path}: {name}"
        for path, tree in modules()
        for name in {path.stem, *identifiers(tree)}
        if name.lstrip("_") in GIVEN_UP
    }
    assert found == set()


def test_a_type_name_has_one_meaning() -> None:
    """No class name is defined in two modules, except a nested `Config`."""
    homes: defaultdict[str, set[str]] = defaultdict(set)
    for path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                homes[node.name].add(str(path))
    assert {
        name: sorted(at) for name, at in homes.items() if len(at) > 1 and name != "Config"
    } == {}
