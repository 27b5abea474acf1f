"""Imports point one way: a module imports only from rooms above its own, and some rooms keep light company."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, tool_environment

PACKAGE = ROOT / "crystaltool"

ROOMS = (
    "errors",
    "defaults",
    "threads",
    "engine",
    "executor",
    "arrays",
    "units",
    "numerals",
    "ranges",
    "lattice",
    "crystal",
    "bonds",
    "symmetry",
    "asymunit",
    "declared_unit",
    "io",  # above checks: a check judges a block, what it declares as much as its atoms
    "structure",
    "mof",
    "forcefield",
    "measure",
    "checks",
    "batch",
    "diffusion",
    "nn",
    "training",  # above models: the loop, its files and the run around it know no model, a model brings its task
    "models",
    "evaluation",
    "verbs",
    "view",  # above cli: filters, orders and writes what every other room can say of a structure
    "statistics",
    "cli",
    "__main__",
)
"""From the top down."""

LIGHT = {"diffusion": {"torch"}, "nn": {"torch", "torch_geometric"}}
"""All that these rooms import from other projects."""

FORBIDDEN_IN_TRAINING = (
    "pymatgen",
    "rdkit",
    "gemmi",
    "moyopy",
    "spglib",
    "typer",
    "rich",
    "openbabel",
    "smact",
    "chgnet",
)
"""A host that trains from a prepared HDF5 file has none of these."""

MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """The room of a file: its folder below the package, or its own name."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Dotted names that a file imports anywhere, also inside functions and under TYPE_CHECKING."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names.add(node.module or "")
            if node.module == "crystaltool":
                names.update(f"crystaltool.{alias.name}" for alias in node.names)
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_rooms_above(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":  # the front door names its rooms as text, and to type checkers
        return
    assert room in ROOMS, f"{room} is a new room: give it its place in ROOMS and in the architecture"
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "crystaltool" and len(parts) > 1 and parts[1] in ROOMS:
            assert ROOMS.index(parts[1]) <= ROOMS.index(room), f"{room} imports {name}, which lies below it"


@pytest.mark.parametrize("path", [p for p in MODULES if room_of(p) in LIGHT], ids=lambda p: str(p.relative_to(PACKAGE)))
def test_light_rooms_keep_light_company(path: Path) -> None:
    others = {name.split(".")[0] for name in imported(path)} - set(sys.stdlib_module_names) - {"crystaltool"}
    assert others <= LIGHT[room_of(path)]


BLOCKED_IMPORT = """
import importlib, importlib.abc, pkgutil, sys
FORBIDDEN = {forbidden!r}
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in FORBIDDEN:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Blocker())
room = importlib.import_module({room!r})
count = 0
for module in pkgutil.walk_packages(room.__path__, {room!r} + "."):
    importlib.import_module(module.name)
    count += 1
print(count)
"""


@pytest.mark.parametrize("room", ["diffusion", "nn", "models", "training"])
def test_training_needs_only_torch_numpy_and_h5py(room: str) -> None:
    """Every module of the room can be imported where the others are not installed."""
    code = BLOCKED_IMPORT.format(forbidden=FORBIDDEN_IN_TRAINING, room=f"crystaltool.{room}")
    done = subprocess.run(
        [sys.executable, "-c", code], env=tool_environment(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) == len([p for p in MODULES if room_of(p) == room]) - 1


def test_openbabel_is_imported_in_one_place_at_most() -> None:
    """It is the one GPL dependency."""
    users = [path for path in MODULES if any(name.split(".")[0] == "openbabel" for name in imported(path))]
    assert len(users) <= 1


def test_nothing_prints_to_standard_output() -> None:
    """Standard output is data: a stray print would end up in a CIF stream."""
    for path in MODULES:
        calls = [
            node
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            if not any(keyword.arg == "file" for keyword in node.keywords)
        ]
        allowed = path.name.startswith("build_")  # generators of data tables
        assert allowed or not calls, f"{path} prints"


def test_files_stay_small() -> None:
    """Growth by files: 500 lines are the end."""
    long = {str(path): n for path in MODULES if (n := path.read_text().count("\n")) > 500}
    assert not long


def test_the_arrow_names_every_room() -> None:
    present = {room_of(path) for path in MODULES} - {"__init__"}
    assert present <= set(ROOMS)
