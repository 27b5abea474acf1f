"""One CIF block <-> one structure. Reading: core-dictionary names, the deprecated `_symmetry_*` ones too.

A block is refused, with the reason, when its atoms are not certain: partial occupancy, disorder, unknown coordinates or
elements, a missing cell, a symmetry that is modulated, contradictory or left open. What is odd but certain is remarked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import gemmi
import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.bonds import BondGraph
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.io.cif_bonds import parse_bonds, states_bonds
from crystaltool.io.cif_choice import STRAIN_LIMITS, choose_setting
from crystaltool.io.cif_format import clean_name, format_asym_unit, format_crystal, formula_sum
from crystaltool.io.cif_formula import disagreement
from crystaltool.io.cif_merge import COINCIDENCE_DISTANCE, Placed, Sites, bonds_between_kept, place_sites
from crystaltool.io.cif_settings import Candidate, read_statement
from crystaltool.io.cif_sites import read_charges, read_sites
from crystaltool.io.cif_stated import (
    density_otherwise,
    formula_remarks,
    sites_otherwise,
    stated_content,
    wyckoff_columns,
)
from crystaltool.io.cif_symmetry import (
    IDENTITY,
    IDENTITY_OPERATIONS,
    SPECIAL_POSITION_DISTANCE,
    Operations,
    group_of_operations,
    parse_operations,
)
from crystaltool.io.cif_table import ABSENT, Table, table_of, to_number
from crystaltool.io.cif_tolerant import mend
from crystaltool.io.remarks import DETAIL, NOTE, WARNING, Remark
from crystaltool.lattice import parameters_to_matrix
from crystaltool.symmetry.operations import cell_strain

__all__ = [
    "MAX_ATOMS",
    "CifBlock",
    "clean_name",
    "format_asym_unit",
    "format_crystal",
    "formula_sum",
    "parse_block",
    "parse_crystal",
]

MAX_ATOMS = 20_000
"""Atoms in one cell; larger cells are refused: the quadratic steps that follow would not end."""

PROPERTY_PREFIX = "_crystaltool_"

VOLUME_TOLERANCE = 0.02
"""Relative: rounded lengths and angles make a hundredth of a percent."""

MAX_SAID = 3
"""Breaches of the syntax that a remark names; the others are counted."""

_OPERATION_TAGS = ("_space_group_symop_operation_xyz", "_space_group_symop.operation_xyz", "_symmetry_equiv_pos_as_xyz")

_CELL_TAGS = tuple(f"_cell_length_{axis}" for axis in "abc") + tuple(
    f"_cell_angle_{angle}" for angle in ("alpha", "beta", "gamma")
)


@dataclass(frozen=True)
class CifBlock:
    """One `data_` block and the structure in it.

    Args:
        name: block name without `data_`, unique in its stream.
        source: input as the user gave it, `-` for standard input. line: 1-based line of the block in it.
        text: the block's text as read.
        crystal: every atom of the cell.
        declared_group: space-group number the block declares, `None` if it doesn't.
        rotations, translations: the operations, the identity first; shapes (n, 3, 3), (n, 3).
        formula_sum: `_chemical_formula_sum`. formula_units_z: `_cell_formula_units_Z`.
        history: lines of `_audit_update_record`.
        properties: single values of `_crystaltool_*`, keys without the prefix, in lower case.
        site_labels, site_numbers, site_frac_coords: the listed sites without those that repeat one, on their special
            positions; shape (n_sites, 3).
        site_letters, site_multiplicities: the Wyckoff columns, `None` where the block has none.
        sites_otherwise: what multiplicities and Wyckoff letters state of sites and is not so, each with both values.
        density_otherwise: the same of `_exptl_crystal_density_diffrn`, empty where it is so or not stated.
        atom_to_site: index of the site of each atom of `crystal`.
        bonds: stated bonds, images for the coordinates as written; `None` where none are stated or the block is not in
            P 1 with unique labels.
        site_charges: `_atom_site_charge` of the listed sites in e; `None` if not every site has one. shape (n_sites,).
        remarks: what the reader has to say beside it.
    """

    name: str
    source: str
    line: int
    text: str
    crystal: Crystal
    declared_group: int | None
    rotations: Int[np.ndarray, "n_ops 3 3"]
    translations: Float[np.ndarray, "n_ops 3"]
    formula_sum: str | None
    formula_units_z: int | None
    history: tuple[str, ...]
    site_labels: tuple[str, ...]
    site_numbers: Int[np.ndarray, " n_sites"]
    site_frac_coords: Float[np.ndarray, "n_sites 3"]
    site_letters: tuple[str, ...] | None
    site_multiplicities: tuple[int, ...] | None
    atom_to_site: Int[np.ndarray, " n_atoms"]
    properties: dict[str, str] = field(default_factory=dict)
    bonds: BondGraph | None = None
    site_charges: Float[np.ndarray, " n_sites"] | None = None
    sites_otherwise: tuple[str, ...] = ()
    density_otherwise: str = ""
    remarks: tuple[Remark, ...] = ()

    @property
    def atom_charges(self) -> Float[np.ndarray, " n_atoms"] | None:
        """Partial charges of the atoms of `crystal` in e, `None` where not every site has one."""
        return None if self.site_charges is None else self.site_charges[self.atom_to_site]


def parse_crystal(text: str) -> Crystal:
    """The structure in the text of one block; see `parse_block`."""
    return parse_block(text).crystal


def parse_block(text: str, source: str = "-", line: int = 1, name: str | None = None) -> CifBlock:
    """Read one block.

    Args:
        text: the block's text. source, line: where it comes from, kept for messages.
        name: block name to use in place of the written one.

    Raises:
        InputError: if it is no CIF or its structure is not certain; one sentence that names the site or tag.
    """
    document, mended = read_document(text)
    written_name, table = document[0].name, table_of(document[0], mended)
    name = clean_name(written_name) if name is None else name
    lattice, remarks = _cell(table)
    sites, settled, said = read_sites(table, MAX_ATOMS)
    remarks += (*table.remarks, *said)
    setting, placed, operations, declared, said = _expand(table, lattice, sites)
    remarks += said + placed.remarks
    crystal = Crystal(lattice, placed.frac_coords, placed.numbers, name)
    formula, units_z = stated_content(table)
    remarks += formula_remarks(table, crystal.numbers, settled)
    letters, multiplicities = wyckoff_columns(table, placed)
    wrong = sites_otherwise(table, placed, sites.labels, operations, setting.texts)
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        remarks += (Remark(WARNING, f"{wrong[0]}{more}; operations and coordinates count"),)
    if density := density_otherwise(table, lattice, placed.numbers):
        remarks += (Remark(WARNING, density),)
    bonds, said = _bonds(table, lattice, sites, placed, in_p1=setting.texts == IDENTITY)
    charges, more = read_charges(table, len(sites.labels))
    remarks += said + more
    return CifBlock(
        name=name,
        source=source,
        line=line,
        text=text,
        crystal=crystal,
        declared_group=declared,
        rotations=operations.rotations,
        translations=operations.translations,
        formula_sum=formula,
        formula_units_z=units_z,
        history=_history(table),
        site_labels=placed.of_kept(sites.labels),
        site_numbers=sites.numbers[placed.kept],
        site_frac_coords=placed.site_coords,
        site_letters=letters,
        site_multiplicities=multiplicities,
        atom_to_site=placed.atom_to_site,
        properties=_properties(table),
        bonds=bonds,
        site_charges=None if charges is None else charges[placed.kept],
        sites_otherwise=wrong,
        density_otherwise=density,
        remarks=remarks,
    )


def read_table(text: str) -> Table:
    """The tags of one block, its structure not read.

    Raises:
        InputError: if it is no CIF.
    """
    document, remarks = read_document(text)
    return table_of(document[0], remarks)


def read_cell(table: Table) -> Float[np.ndarray, "3 3"]:
    """The cell that the tags state, rows in Angstrom.

    Raises:
        InputError: it is missing or no cell.
    """
    return _cell(table)[0]


def read_document(text: str) -> tuple[gemmi.cif.Document, tuple[Remark, ...]]:
    """The one block in the text, its syntax mended where that is needed, and what was mended.

    Raises:
        InputError: it cannot be read, or is not one block.
    """
    remarks: tuple[Remark, ...] = ()
    try:
        document = gemmi.cif.read_string(text, 0)
        if _has_open_operations(document):
            raise ValueError("operations without quotes")
    except (ValueError, RuntimeError) as error:
        mended, said = mend(text)
        try:
            document = gemmi.cif.read_string(mended, 0)
        except (ValueError, RuntimeError):
            document = gemmi.cif.Document()
        if len(document) == 0:
            raise InputError(f"not a readable CIF block: {str(error).removeprefix('string:')}") from None
        said = said or ["blanks or signs that CIF does not have"]
        more = f"; {len(said) - MAX_SAID} more" if len(said) > MAX_SAID else ""
        remarks = (Remark(WARNING, f"syntax mended: {'; '.join(said[:MAX_SAID])}{more}"),)
    if len(document) != 1:
        raise InputError(f"{len(document)} data blocks, expected 1")
    return document, remarks


def _has_open_operations(document: gemmi.cif.Document) -> bool:
    """Whether `x, y, z` without quotes was read as three values."""
    return any(value.endswith(",") for block in document for tag in _OPERATION_TAGS for value in block.find_values(tag))


def _cell(table: Table) -> tuple[Float[np.ndarray, "3 3"], tuple[Remark, ...]]:
    """Row matrix of the cell in Angstrom; an angle that is not stated is 90 degrees (core dictionary)."""
    values, assumed = [], []
    for tag in _CELL_TAGS:
        raw, *more = table.column(tag) or (None,)
        if more:
            raise InputError(f"{tag} has {1 + len(more)} values, expected 1")
        if raw in (None, ".") and "angle" in tag:
            assumed.append(tag)
            raw = "90"
        if raw is None:
            raise InputError(f"no {tag}, the cell is missing")
        number = to_number(raw)
        if number is None:
            raise InputError(f"{tag} is {raw!r}, expected a number")
        values.append(number)
    if max(values[3:]) >= 180.0 or min(values[3:]) <= 0.0:
        raise InputError(f"cell angles {values[3]:g} {values[4]:g} {values[5]:g} are not between 0 and 180 degrees")
    remarks = (Remark(DETAIL, f"no {', '.join(assumed)}: 90 degrees"),) if assumed else ()
    lattice = parameters_to_matrix(*values)
    stated = to_number(table.value("_cell_volume") or "")
    if stated is not None and abs(stated - (volume := float(np.linalg.det(lattice)))) > VOLUME_TOLERANCE * volume:
        text = f"_cell_volume is {stated:g}, lengths and angles make {volume:.1f} A^3"
        remarks = (*remarks, Remark(WARNING, f"{text}; these count"))
    return lattice, remarks


def _expand(
    table: Table, lattice: Float[np.ndarray, "3 3"], sites: Sites
) -> tuple[Candidate, Placed, Operations, int | None, tuple[Remark, ...]]:
    """The setting that the block means, the atoms it makes of the sites, its operations and group, and remarks."""
    statement = read_statement(table)

    def operations_of(texts: tuple[str, ...]) -> Operations:
        return IDENTITY_OPERATIONS if texts == IDENTITY else parse_operations(texts)

    def agrees(placed: Placed) -> bool:
        return disagreement(*stated_content(table), placed.numbers) is None

    def place(texts: tuple[str, ...]) -> Placed:
        return _place(lattice, sites, operations_of(texts), agrees)

    if not statement.listed:
        setting, placed, said = choose_setting(statement.candidates, lattice, place, agrees)
        group = group_of_operations(setting.texts)
        return setting, placed, operations_of(setting.texts), group, statement.remarks + said
    (setting,) = statement.candidates
    operations, remarks = operations_of(setting.texts), statement.remarks
    if len(operations) > 1 and (strain := cell_strain(lattice, operations.rotations)) > STRAIN_LIMITS[0]:
        if strain > STRAIN_LIMITS[1]:
            raise InputError(f"the listed symmetry operations do not keep the cell: off by {strain:.1%}")
        remarks += (Remark(WARNING, f"the cell misses its symmetry operations by {strain:.2%}"),)
    return setting, place(setting.texts), operations, statement.declared_group, remarks


def _place(
    lattice: Float[np.ndarray, "3 3"], sites: Sites, operations: Operations, agrees: Callable[[Placed], bool]
) -> Placed:
    """The atoms; those that are close together stay apart where the stated formula counts them so."""
    if len(sites.labels) * len(operations) > MAX_ATOMS * 192:
        said = f"{len(sites.labels)} sites with {len(operations)} operations"
        raise InputError(f"{said}, the limit is {MAX_ATOMS} atoms in a cell")
    placed = place_sites(lattice, sites, operations, MAX_ATOMS, SPECIAL_POSITION_DISTANCE)
    if not placed.merged or agrees(placed):
        return placed
    apart = place_sites(lattice, sites, operations, MAX_ATOMS, COINCIDENCE_DISTANCE)
    return apart if agrees(apart) else placed


def _bonds(
    table: Table, lattice: Float[np.ndarray, "3 3"], sites: Sites, placed: Placed, in_p1: bool
) -> tuple[BondGraph | None, tuple[Remark, ...]]:
    """The stated bonds between the atoms, which are read in P 1 alone, and what is remarked."""
    bonds, odd = parse_bonds(table.columns, sites.labels, lattice, sites.frac_coords) if in_p1 else (None, "")
    if bonds is None:
        why = "labels repeat" if in_p1 else "they are read in P 1 alone"
        stated = states_bonds(table.columns)
        return None, (Remark(NOTE, f"stated bonds are passed over, {why}"),) if stated else ()
    kept = bonds_between_kept(bonds, placed, sites) if len(placed.kept) < len(sites.labels) else bonds
    return kept, (Remark(WARNING, f"{odd}; the atoms count"),) if odd else ()


def _properties(table: Table) -> dict[str, str]:
    """What the block says in tags of this tool, by their names without the prefix."""
    return {
        tag[len(PROPERTY_PREFIX) :]: gemmi.cif.as_string(raw)
        for tag, raw in table.pairs.items()
        if tag.startswith(PROPERTY_PREFIX)
    }


def _history(table: Table) -> tuple[str, ...]:
    """Non-empty lines of `_audit_update_record`."""
    raw = table.pairs.get("_audit_update_record")
    if raw is None or raw in ABSENT:
        return ()
    return tuple(line.strip() for line in gemmi.cif.as_string(raw).splitlines() if line.strip())
