"""What `stability.py` asks of each structure besides what the subcommands say: templates and substitutions."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from crystaltool.asymunit import AsymUnitTable, expand
from crystaltool.checks.density import mass_density
from crystaltool.checks.formula import composition, reduced
from crystaltool.checks.matching import ReducedStructure
from crystaltool.crystal import Crystal
from crystaltool.errors import CrystaltoolError
from crystaltool.evaluation.profile import detected_template
from crystaltool.evaluation.report import read_sample
from crystaltool.evaluation.templates import Template, merge, template
from crystaltool.executor import map_ordered
from crystaltool.io.hdf5 import read_asym_units
from crystaltool.io.stream import RawBlock, iter_raw, parse_raw
from crystaltool.measure.hull import SHIPPED_NAME, load_hull
from crystaltool.symmetry import space_group

CENTRING_ORDER = {"P": 1, "A": 2, "B": 2, "C": 2, "I": 2, "R": 3, "F": 4}
"""Lattice points in the conventional cell."""

MOST_CANDIDATES, FROM_OTHERS = 200, 3
"""Training crystals that one is compared with, whatever the elements: of its own template, and of each other."""

Pattern = tuple[tuple[int, ...], int]
"""Sorted counts of the reduced formula, and number of atoms in the primitive cell."""


class Prototypes:
    """The training crystals by anonymous formula, atoms in the primitive cell, and template."""

    def __init__(self, table: AsymUnitTable) -> None:
        self._table = table
        self.templates: set[Template] = set()
        self._rows: dict[Pattern, dict[Template, list[int]]] = {}
        for row, unit in enumerate(table):
            merged = merge(template(unit.group, unit.positions))
            self.templates.add(merged)
            numbers = np.repeat(unit.numbers, unit.multiplicities)
            n_atoms = len(numbers) // CENTRING_ORDER[space_group(unit.group).centring]
            self._rows.setdefault((anonymous(numbers), n_atoms), {}).setdefault(merged, []).append(row)
        self._reduced: dict[int, ReducedStructure] = {}

    def match(self, crystal: Crystal, merged: Template) -> str | None:
        """Name of a training crystal that this one is when elements are replaced, None if there is none."""
        from pymatgen.core.structure_matcher import StructureMatcher

        mine = ReducedStructure(crystal).structure
        if mine is None:
            return None
        known = dict(self._rows.get((anonymous(crystal.numbers), len(mine)), {}))
        chosen = [known.pop(merged, [])[:MOST_CANDIDATES], *(rows[:FROM_OTHERS] for rows in known.values())]
        for row in chain.from_iterable(chosen):
            other = self._structure(row)
            if other is not None and len(other) == len(mine):
                with contextlib.suppress(Exception):  # flat cells fail in many ways inside the matcher
                    if StructureMatcher().fit_anonymous(mine, other, skip_structure_reduction=True):
                        return self._table.names[row] or f"entry {row}"
        return None

    def _structure(self, row: int) -> Any:
        if row not in self._reduced:
            self._reduced[row] = ReducedStructure(expand(self._table[row]))
        return self._reduced[row].structure


def anonymous(numbers: np.ndarray) -> tuple[int, ...]:
    """Sorted counts of the reduced formula: (1, 3) of TiO3."""
    return tuple(sorted(reduced(composition(numbers)).values()))


_prototypes: dict[str, Prototypes] = {}


def open_training(path: str) -> None:
    """Read the training set once in this process."""
    if path not in _prototypes:
        _prototypes[path] = Prototypes(read_asym_units(path))


def row_of(raw: RawBlock, train: str, relaxed: bool) -> dict[str, Any]:
    """What is asked of one structure, as JSON holds it."""
    block = parse_raw(raw)
    if not hasattr(block, "crystal"):
        return {"name": raw.name, "reason": getattr(block, "message", "")}
    crystal: Crystal = block.crystal  # ty: ignore
    found = detected_template(crystal)
    row: dict[str, Any] = {"name": raw.name, "n_elements": len(np.unique(crystal.numbers)), "group": None}
    row |= {"density": mass_density(crystal), "n_atoms": crystal.n_atoms}
    if found is None:
        return row
    merged = merge(found)
    row |= {"group": found[0], "n_orbits": len(found[1]), "template": [merged[0], list(merged[1])]}
    if relaxed:
        prototypes = _prototypes[train]
        row["new_template"] = merged not in prototypes.templates
        row["substitution_of"] = prototypes.match(crystal, merged)
        if "e_above_hull" in block.properties:  # ty: ignore
            row |= distances(block.properties, crystal.numbers)  # ty: ignore
        row["converged"] = block.properties.get("relax_converged") == "yes"  # ty: ignore
    return row


def distances(properties: Mapping[str, str], numbers: np.ndarray) -> dict[str, float]:
    """Energy above the hull as measured, and above that of the published energies alone, eV/atom."""
    published = load_hull(SHIPPED_NAME).stability(numbers, float(properties["hull_energy_per_atom"]))
    return {"e_above_hull": float(properties["e_above_hull"]), "e_above_published": round(published.above_hull, 6)}


def make_rows(folder: Path, train: Path, jobs: int) -> None:
    """`raw_rows.jsonl` and `relaxed_rows.jsonl`, a line a structure; lines that are there are kept."""
    for source, target, relaxed in (("structures.cif", "raw_rows.jsonl", 0), ("measured.cif", "relaxed_rows.jsonl", 1)):
        path = folder / target
        known = {row["name"] for row in read_rows(path)}
        todo = (raw for raw in iter_raw([str(folder / source)]) if isinstance(raw, RawBlock) and raw.name not in known)
        work = partial(row_of, train=str(train), relaxed=bool(relaxed))
        prepare = partial(open_training, str(train)) if relaxed else None
        with path.open("a") as out, contextlib.closing(map_ordered(work, todo, jobs, prepare)) as results:
            for result in results:
                if isinstance(result, CrystaltoolError):
                    raise SystemExit(f"{result}\n{getattr(result, 'details', '')}")
                out.write(json.dumps(result) + "\n")
                out.flush()


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file of JSON Lines; a last line that was cut off is dropped, from the file too."""
    return list(_whole_lines(path)) if path.exists() else []


def _whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        path.write_bytes(whole)
    for line in whole.splitlines():
        yield json.loads(line)


def test_figures(source: Path, cache: Path, jobs: int) -> dict[str, np.ndarray]:
    """Density, number of elements and space group of MP-20 test, worked out once."""
    if not cache.exists():
        sample = read_sample([str(source)], None, False, jobs)
        if not sample.profiles:
            raise SystemExit(f"{source}: no crystals to compare with, see --data")
        np.savez(
            cache,
            density=np.array([profile.density for profile in sample.profiles]),
            n_elements=np.array([profile.n_elements for profile in sample.profiles]),
            group=np.array([profile.template[0] for profile in sample.profiles if profile.template is not None]),
        )
    with np.load(cache) as arrays:
        return {name: arrays[name] for name in arrays.files}
