"""What a block says in its tags, without placing an atom: cell, group, content and values, in a tenth of the time.

Each answer is the one that `cif.parse_block` would give, or none: then the block must be parsed.
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property

import gemmi
import numpy as np

from crystaltool.arrays import Float
from crystaltool.errors import InputError
from crystaltool.io.cif import MAX_ATOMS, PROPERTY_PREFIX, read_cell, read_table
from crystaltool.io.cif_formula import Composition, parse_formula_sum
from crystaltool.io.cif_settings import read_statement
from crystaltool.io.cif_sites import read_sites
from crystaltool.io.cif_symmetry import IDENTITY
from crystaltool.io.cif_table import ABSENT, Table
from crystaltool.numerals import whole_number


class Header:
    """The tags of one block, each read when it is first asked for.

    Args:
        text: of the block.

    Every property raises `InputError` where `parse_block` would.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def table(self) -> Table:
        """Tags and loops."""
        return read_table(self._text)

    @cached_property
    def properties(self) -> dict[str, str]:
        """Values of `_crystaltool_*` that are known, keys without the prefix in lower case."""
        return {
            tag[len(PROPERTY_PREFIX) :]: gemmi.cif.as_string(raw)
            for tag, raw in self.table.pairs.items()
            if tag.startswith(PROPERTY_PREFIX) and raw not in ABSENT
        }

    @cached_property
    def lattice(self) -> Float[np.ndarray, "3 3"]:
        """Rows of the cell in Angstrom."""
        return read_cell(self.table)

    @cached_property
    def declared(self) -> tuple[bool, int | None]:
        """Whether the tags settle the space group, and its number, None where none is declared."""
        statement = read_statement(self.table)
        return statement.listed, statement.declared_group

    @cached_property
    def elements(self) -> frozenset[int] | None:
        """Atomic numbers of the listed sites; None where the formula has to settle one."""
        counted = self._sites
        return None if counted is None else frozenset(counted[0])

    @cached_property
    def content(self) -> tuple[Composition, int] | None:
        """Atoms of the cell by atomic number, and the number of listed sites.

        Known where stated formula, Z and multiplicities of the sites agree, all three of which the writer of the block
        has counted for himself; None otherwise.
        """
        counted, formula = self._sites, self.table.value("_chemical_formula_sum")
        units = whole_number(self.table.value("_cell_formula_units_z") or "")
        if counted is None or formula is None or units is None:
            return None
        numbers, multiplicities = counted
        if multiplicities is None:
            return None
        found: Counter[int] = Counter()
        for number, multiplicity in zip(numbers, multiplicities, strict=True):
            found[number] += multiplicity
        try:
            stated = {number: count * units for number, count in parse_formula_sum(formula).items()}
        except InputError:
            return None
        return (dict(found), len(numbers)) if stated == found and found.total() <= MAX_ATOMS else None

    @cached_property
    def _sites(self) -> tuple[list[int], list[int] | None] | None:
        """Atomic numbers and multiplicities of the listed sites; None where they are open or shared by elements."""
        sites, settled, _ = read_sites(self.table, MAX_ATOMS)
        if settled or sites.occupancies is not None:
            return None
        numbers: list[int] = sites.numbers.tolist()
        raw = self.table.column("_atom_site_site_symmetry_multiplicity")
        counts = [whole_number(text) for text in raw or ()]
        if raw is not None and len(raw) == len(numbers) and None not in counts:
            return numbers, [count for count in counts if count is not None]
        statement = read_statement(self.table)
        alone = statement.listed and statement.candidates[0].texts == IDENTITY
        return numbers, [1] * len(numbers) if alone else None
