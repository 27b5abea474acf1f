"""Writing: one self-sufficient block per structure in core-dictionary names (cif_core.dic 3.4).

Every block states its formula and Z, so that a reader can tell a whole block from a truncated one.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.bonds import BondGraph
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.io.cif_bonds import format_bonds
from crystaltool.io.provenance import creation_method
from crystaltool.lattice import matrix_to_parameters
from crystaltool.symmetry import operations_to_xyz, space_group
from crystaltool.units import SYMBOLS

if TYPE_CHECKING:
    from crystaltool.asymunit import AsymUnit

MAX_NAME_LENGTH = 75
"""Longest block name of CIF 1.1 (International Tables G, 2.2.7.1.4: 75 characters for names)."""

_NAME_CHARACTERS = re.compile(r"[^A-Za-z0-9_.+\-]")
_BARE = re.compile(r"[A-Za-z0-9+\-][A-Za-z0-9_+\-.:/,%()=*^~|]*$")
_RESERVED = ("data_", "save_", "loop_", "global_", "stop_")
_PROPERTY_NAME = re.compile(r"[a-z][a-z0-9_]*$")


def clean_name(name: str) -> str:
    """A legal block name: letters, digits and `_.+-`, at most 75 characters; `unnamed` if nothing is left."""
    return _NAME_CHARACTERS.sub("_", name.strip())[:MAX_NAME_LENGTH] or "unnamed"


def property_name(text: str) -> str:
    """A name for `_crystaltool_<name>`: lower-case letters, digits, underscores; empty if nothing is left."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return name if not name or name[0].isalpha() else f"n_{name}"


def formula_sum(numbers: Iterable[int] | Int[np.ndarray, " n_atoms"]) -> tuple[str, int]:
    """Hill-ordered formula of one formula unit (`Ca2 O4 Si`) and the number of units in the cell."""
    counts = Counter(SYMBOLS[int(number)] for number in numbers)
    units = math.gcd(*counts.values())
    order = sorted(counts)
    if "C" in counts:
        first = [symbol for symbol in ("C", "H") if symbol in counts]
        order = first + [symbol for symbol in order if symbol not in first]
    parts = [symbol + (str(counts[symbol] // units) if counts[symbol] > units else "") for symbol in order]
    return " ".join(parts), units


def format_asym_unit(
    unit: AsymUnit,
    name: str,
    history: Sequence[str] = (),
    properties: Mapping[str, str] | None = None,
    created: str | None = None,
    charges: Float[np.ndarray, " n_orbits"] | None = None,
) -> str:
    """The block of an asymmetric unit: operations, Wyckoff letters, multiplicities; ends in a newline.

    Args:
        unit: the structure, in the standard setting of its group.
        name: block name; illegal characters become `_`.
        history: lines for `_audit_update_record`.
        properties: values for `_crystaltool_<key>`; keys in lower case.
        created: date for `_audit_creation_date`, left out if `None`.
        charges: partial charges of the sites in e, for `_atom_site_charge`.

    Raises:
        InputError: if a number is not finite or a property has no legal name.
    """
    group = space_group(unit.group)
    multiplicities = unit.multiplicities
    n_general = len(group.rotations)
    formula, units = formula_sum(np.repeat(unit.numbers, multiplicities))
    sites = [
        f"{label} {symbol} {multiplicity} {n_general // multiplicity} {letter} {_coordinates(point)} 1{charge}"
        for label, symbol, multiplicity, letter, point, charge in zip(
            _labels(unit.numbers),
            _symbols(unit.numbers),
            multiplicities,
            unit.letters,
            unit.frac_coords,
            _charge_texts(charges, len(unit.numbers)),
            strict=True,
        )
    ]
    return "".join(
        [
            _head(name, history, created),
            _composition(formula, units),
            _cell(unit.lattice),
            f"_space_group_IT_number {unit.group}\n",
            f"_space_group_name_H-M_alt '{group.symbol}'\n",
            f"_space_group_name_Hall {_quote_hall(group.hall)}\n",
            _properties(properties or {}),
            _operation_loop(unit.group),
            "loop_\n_atom_site_label\n_atom_site_type_symbol\n_atom_site_site_symmetry_multiplicity\n"
            "_atom_site_site_symmetry_order\n_atom_site_Wyckoff_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n"
            "_atom_site_fract_z\n_atom_site_occupancy\n",
            "" if charges is None else "_atom_site_charge\n",
            "\n".join(sites),
            "\n\n",
        ]
    )


def format_crystal(
    crystal: Crystal,
    name: str = "",
    history: Sequence[str] = (),
    properties: Mapping[str, str] | None = None,
    created: str | None = None,
    bonds: BondGraph | None = None,
    charges: Float[np.ndarray, " n_atoms"] | None = None,
) -> str:
    """The block of a structure with every atom written out and the identity as its only operation (P 1).

    Args and errors as `format_asym_unit`; an empty name takes the crystal's. The bonds, with images for the crystal's
    coordinates, go before the sites: a block is whole when its last site is there.
    """
    formula, units = formula_sum(crystal.numbers)
    labels = _labels(crystal.numbers)
    coords = crystal.frac_coords % 1.0
    sites = [
        f"{label} {symbol} {_coordinates(point)} 1{charge}"
        for label, symbol, point, charge in zip(
            labels, _symbols(crystal.numbers), coords, _charge_texts(charges, crystal.n_atoms), strict=True
        )
    ]
    return "".join(
        [
            _head(name or crystal.name, history, created),
            _composition(formula, units),
            _cell(crystal.lattice),
            "_space_group_IT_number 1\n_space_group_name_H-M_alt 'P 1'\n_space_group_name_Hall 'P 1'\n",
            _properties(properties or {}),
            _operation_loop(1),
            _bonds(crystal, labels, coords, bonds) if bonds is not None else "",
            "loop_\n_atom_site_label\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n"
            "_atom_site_fract_z\n_atom_site_occupancy\n",
            "" if charges is None else "_atom_site_charge\n",
            "\n".join(sites),
            "\n\n",
        ]
    )


def _bonds(crystal: Crystal, labels: list[str], coords: Float[np.ndarray, "n_atoms 3"], bonds: BondGraph) -> str:
    """The bond loop, its images counted from the coordinates as they are written, in [0, 1) after rounding."""
    written = np.where(coords.round(8) >= 1.0, 0.0, coords)
    cells = np.rint(crystal.frac_coords - written).astype(np.int64)
    first, second = bonds.pairs.T
    images = bonds.images + cells[second] - cells[first]
    return format_bonds(labels, crystal.lattice, written, BondGraph(bonds.pairs, images, bonds.orders))


def _head(name: str, history: Sequence[str], created: str | None) -> str:
    return f"data_{clean_name(name)}\n" + "".join(_line(*item) for item in record_items(history, created))


def _line(tag: str, value: str) -> str:
    """A tag and its value; a text field begins a line of its own."""
    return tag + ("" if value.startswith("\n") else " ") + value + "\n"


def record_items(history: Sequence[str], created: str | None) -> list[tuple[str, str]]:
    """Tags and written values of the `_audit_*` record."""
    items = []
    if created is not None:
        items.append(("_audit_creation_date", created))
        if method := creation_method(history):
            items.append(("_audit_creation_method", f"'{method}'"))
    if history:
        lines = "\n".join(_plain(line) for line in history)
        items.append(("_audit_update_record", f"\n;\n{lines}\n;"))
    return items


def _composition(formula: str, units: int) -> str:
    return f"_chemical_formula_sum '{formula}'\n_cell_formula_units_Z {units}\n"


def _cell(lattice: np.ndarray) -> str:
    parameters = matrix_to_parameters(lattice)
    if not np.isfinite(parameters).all():
        raise InputError("cell is not finite")
    tags = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = [f"_cell_{tag} {value:.8f}\n" for tag, value in zip(tags, parameters, strict=True)]
    return "".join(lines) + f"_cell_volume {abs(np.linalg.det(lattice)):.6f}\n"


def _quote_hall(symbol: str) -> str:
    """Hall symbols hold double primes, so they go in single quotes; one with a single prime in double quotes."""
    return f'"{symbol}"' if "'" in symbol else f"'{symbol}'"


def _properties(properties: Mapping[str, str]) -> str:
    return "".join(_line(*item) for item in property_items(properties))


def property_items(properties: Mapping[str, str]) -> list[tuple[str, str]]:
    """Tags and written values of properties.

    Raises:
        InputError: if a property has no legal name.
    """
    for key in properties:
        if not _PROPERTY_NAME.match(key):
            raise InputError(f"property name {key!r} is not lower-case letters, digits and underscores")
    return [(f"_crystaltool_{key}", quote(str(value))) for key, value in properties.items()]


def quote(value: str) -> str:
    """A value as CIF 1.1 wants it: bare, in quotes, or as a text field; `?` for nothing; non-ASCII is escaped."""
    line = _plain(value)
    if _BARE.match(line) and not line.lower().startswith(_RESERVED):
        return line
    if not line:
        return "?"
    for mark in ("'", '"'):
        if mark not in line:
            return f"{mark}{line}{mark}"
    return f"\n;{line}\n;"


def _plain(text: str) -> str:
    """One line of printable ASCII."""
    return " ".join(text.encode("ascii", "backslashreplace").decode("ascii").split())


@lru_cache(maxsize=256)
def _operation_loop(number: int) -> str:
    group = space_group(number)
    texts = [operations_to_xyz(r, t) for r, t in zip(group.rotations, group.translations, strict=True)]
    rows = "".join(f"{index} '{text}'\n" for index, text in enumerate(texts, start=1))
    return f"loop_\n_space_group_symop_id\n_space_group_symop_operation_xyz\n{rows}"


def _symbols(numbers: np.ndarray) -> list[str]:
    return [SYMBOLS[int(number)] for number in numbers]


def _labels(numbers: np.ndarray) -> list[str]:
    """`Na1`, `Cl1`, `Cl2`: the symbol and a running number per element."""
    seen: Counter[str] = Counter()
    labels = []
    for symbol in _symbols(numbers):
        seen[symbol] += 1
        labels.append(f"{symbol}{seen[symbol]}")
    return labels


def _charge_texts(charges: Float[np.ndarray, " n"] | None, n: int) -> list[str]:
    """What stands behind each site for its charge: a column of its own, nothing without charges."""
    if charges is None:
        return [""] * n
    if not np.isfinite(charges).all():
        raise InputError("a charge is not finite")
    return [f" {charge:.6f}" for charge in charges]


def _coordinates(point: np.ndarray) -> str:
    """Three coordinates in [0, 1) with 8 decimals; one that rounds up to 1 becomes 0."""
    if not np.isfinite(point).all():
        raise InputError("a coordinate is not finite")
    return " ".join("0.00000000" if (text := f"{value:.8f}") == "1.00000000" else text for value in point)
