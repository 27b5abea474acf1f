"""`Structure`: the noun that travels between verbs, in Python as between commands: what one block of a stream says.

A structure is what its CIF block says, to the last digit that is written: every verb works on `Structure.block`. So a
chain of verbs in Python and a pipe of commands give the same structures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.asymunit import AsymUnit, expand
from crystaltool.bonds import BondGraph, assert_bonds
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError, MissingExtraError
from crystaltool.io.annotate import annotate, without_record
from crystaltool.io.cif import CifBlock, parse_block
from crystaltool.io.cif_format import clean_name, format_asym_unit, format_crystal, formula_sum, property_items
from crystaltool.units import SYMBOLS

if TYPE_CHECKING:
    import ase
    import pymatgen.core

SAME_PLACE = 1e-6
"""Fractional distance between a structure's atoms and those of its block: 8 decimals are written."""


class Structure:
    """A crystal or an asymmetric unit, and what travels with it. Immutable: arrays are read-only, changes make another.

    Args:
        form: every atom of the cell (`Crystal`), or the asymmetric unit in the standard setting (`AsymUnit`).
        name: legal name of a CIF block; empty takes that of the form; other characters become `_`.
        bonds: of a crystal, with images for its coordinates as they are.
        charges: partial charges in e of the atoms, or of the orbits; shape (n_atoms,) or (n_orbits,).
        properties: values by lower-case key, numbers or text; they become text.
        history: a line for each command or verb that made it.
        source: the input that it was read from, empty if from none.

    Raises:
        InputError: bonds or charges that do not fit the atoms, bonds on an asymmetric unit, a key with other characters
            than lower-case letters, digits and underscores.
    """

    __slots__ = ("_block", "_form", "bonds", "charges", "history", "name", "properties", "source")

    bonds: BondGraph | None
    charges: Float[np.ndarray, " n_sites"] | None
    history: tuple[str, ...]
    name: str
    properties: Mapping[str, str]
    source: str

    def __init__(
        self,
        form: Crystal | AsymUnit,
        *,
        name: str = "",
        bonds: BondGraph | None = None,
        charges: Float[np.ndarray, " n_sites"] | None = None,
        properties: Mapping[str, Any] | None = None,
        history: Sequence[str] = (),
        source: str = "",
    ) -> None:
        n_sites = len(form.numbers)
        if bonds is not None:
            if isinstance(form, AsymUnit):
                raise InputError("bonds are stated between all atoms of a cell, not in an asymmetric unit")
            assert_bonds(bonds, n_sites)
            bonds = BondGraph(*map(_read_only, (bonds.pairs, bonds.images, bonds.orders)))
        if charges is not None and np.shape(charges) != (n_sites,):
            raise InputError(f"charges of the shape {np.shape(charges)}, expected ({n_sites},)")
        texts = {key: str(value) for key, value in (properties or {}).items()}
        property_items(texts)
        self._set(
            _form=_frozen(form),
            name=clean_name(name or form.name),
            bonds=bonds,
            charges=None if charges is None else _read_only(np.asarray(charges, dtype=float)),
            properties=MappingProxyType(texts),
            history=tuple(history),
            source=source,
            _block=None,
        )

    @classmethod
    def from_block(cls, block: CifBlock) -> Structure:
        """The structure that a CIF block holds; it is written as it came until something is changed."""
        made = cls(
            block.crystal,
            name=block.name,
            bonds=block.bonds,
            charges=block.atom_charges,
            history=block.history,
            source=block.source,
        )
        made._set(_block=block, properties=MappingProxyType(dict(block.properties)))
        return made

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Structure is immutable; with_properties and renamed make another ({name})")

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {"properties": dict(self.properties)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._set(**state | {"properties": MappingProxyType(state["properties"]), "_form": _frozen(state["_form"])})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Structure) and self.to_cif() == other.to_cif()

    def __hash__(self) -> int:
        return hash(self.to_cif())

    def __repr__(self) -> str:
        group = self.space_group
        declared = "" if group is None else f", space group {group}"
        return f"<Structure {self.name}: {self.formula}, {self.n_atoms} atoms{declared}>"

    # ---- what it is

    @property
    def block(self) -> CifBlock:
        """The CIF block of the structure: the one it was read from, else the one that it is written as."""
        if self._block is None:
            text = self.to_cif()
            self._set(_block=parse_block(text, self.source or self.name, 0, self.name))
        assert self._block is not None
        return self._block

    @property
    def crystal(self) -> Crystal:
        """Every atom of the cell: of an asymmetric unit the conventional one."""
        return _frozen(expand(self._form)) if isinstance(self._form, AsymUnit) else self._form

    @property
    def unit(self) -> AsymUnit | None:
        """The asymmetric unit, where the structure is one or declares a group above P 1 in the standard setting.

        Raises:
            InputError: the declared group does not suit the cell.
        """
        if isinstance(self._form, AsymUnit):
            return self._form
        return declared_unit_of(self.block)

    @property
    def space_group(self) -> int | None:
        """Number of the declared space group, 1-230; 1 says nothing; None where none is declared."""
        return self._form.group if isinstance(self._form, AsymUnit) else self.block.declared_group

    @property
    def n_atoms(self) -> int:
        """Atoms in the cell."""
        form = self._form
        return int(form.multiplicities.sum()) if isinstance(form, AsymUnit) else form.n_atoms

    @property
    def lattice(self) -> Float[np.ndarray, "3 3"]:
        """Rows a, b, c in Angstrom."""
        return self._form.lattice

    @property
    def numbers(self) -> Int[np.ndarray, " n_atoms"]:
        """Atomic numbers of all atoms."""
        return self.crystal.numbers

    @property
    def formula(self) -> str:
        """Hill formula of one formula unit, such as `Ca2 O4 Si`."""
        return formula_sum(self.numbers)[0]

    # ---- another one

    def with_properties(self, **values: Any) -> Structure:
        """The structure with these properties added or replaced; all else stays as it is written."""
        texts = {key: str(value) for key, value in values.items()}
        if self._block is not None:
            return self._again(annotate(self._block, texts))
        return self._with({"properties": {**self.properties, **texts}})

    def renamed(self, name: str) -> Structure:
        """The structure under another name."""
        if self._block is not None:
            return self._again(annotate(replace(self._block, name=clean_name(name)), {}))
        return self._with({"name": name})

    def _with(self, changes: Mapping[str, Any]) -> Structure:
        names = ("name", "bonds", "charges", "properties", "history", "source")
        values: dict[str, Any] = {name: getattr(self, name) for name in names}
        return Structure(self._form, **{**values, **changes})

    def _again(self, text: str) -> Structure:
        return Structure.from_block(parse_block(text, self.source or self.name, 0))

    # ---- other forms

    def to_cif(self, created: str | None = None, provenance: bool = True) -> str:
        """The CIF block, ending in a blank line; one that was read is written as it came.

        Args:
            created: date for `_audit_creation_date` of a block that was made here, left out if None.
            provenance: write the history.
        """
        if self._block is not None:
            text = self._block.text if provenance else without_record(self._block)
            return text if text.endswith("\n") else text + "\n"
        history = self.history if provenance else ()
        if isinstance(self._form, AsymUnit):
            return format_asym_unit(self._form, self.name, history, self.properties, created, self.charges)
        return format_crystal(self._form, self.name, history, self.properties, created, self.bonds, self.charges)

    def to_ase(self) -> ase.Atoms:
        """All atoms for ASE: name and properties in `info`, charges as initial charges; no bonds or symmetry.

        Raises:
            MissingExtraError: ASE is not installed.
        """
        try:
            from ase import Atoms
        except ImportError:
            raise MissingExtraError("ASE is not installed, install it with: pip install 'crystaltool[ase]'") from None
        block = self.block
        crystal = block.crystal
        atoms = Atoms(
            numbers=crystal.numbers, scaled_positions=crystal.frac_coords, cell=crystal.lattice, pbc=True,
            charges=block.atom_charges,
        )  # fmt: skip
        atoms.info.update({"name": self.name, **self.properties})
        return atoms

    @classmethod
    def from_ase(cls, atoms: ase.Atoms, name: str = "", **options: Any) -> Structure:
        """All atoms of an `ase.Atoms`, its name from `info["name"]` if not given.

        Args:
            atoms: periodic in three directions, with a right-handed cell.
            name: of the structure. options: as for `Structure`: bonds, charges, properties, history, source.

        Raises:
            InputError: it is not periodic in three directions, has occupancies, or is no crystal.
        """
        if not atoms.pbc.all():
            raise InputError(f"atoms with pbc {atoms.pbc.tolist()}, expected periodic in three directions")
        if "occupancy" in atoms.info:
            raise InputError("atoms with occupancies, expected each site wholly occupied")
        crystal = Crystal(np.array(atoms.cell), atoms.get_scaled_positions(wrap=False), atoms.numbers.astype(np.int64))
        return cls(crystal, name=name or str(atoms.info.get("name", "")) or _plain_formula(crystal), **options)

    def to_pymatgen(self) -> pymatgen.core.Structure:
        """All atoms for pymatgen: properties as `properties`, charges as a site property; bonds are left out."""
        from pymatgen.core import Lattice
        from pymatgen.core import Structure as PymatgenStructure

        block = self.block
        crystal, charges = block.crystal, block.atom_charges
        return PymatgenStructure(
            Lattice(crystal.lattice),
            crystal.numbers.tolist(),
            crystal.frac_coords,
            site_properties=None if charges is None else {"charge": charges.tolist()},
            properties={"name": self.name, **self.properties},
        )

    @classmethod
    def from_pymatgen(cls, structure: pymatgen.core.Structure, name: str = "", **options: Any) -> Structure:
        """All atoms of a pymatgen `Structure`, its name from `properties["name"]` if not given.

        Args:
            structure: ordered. name, options: as for `from_ase`.

        Raises:
            InputError: it is disordered, not periodic in three directions, or no crystal.
        """
        if not structure.is_ordered:
            raise InputError("a disordered structure, expected each site wholly occupied by one element")
        if not all(structure.lattice.pbc):
            raise InputError(f"a lattice with pbc {structure.lattice.pbc}, expected periodic in three directions")
        crystal = Crystal(
            np.array(structure.lattice.matrix),
            np.array(structure.frac_coords),
            np.array([site.specie.Z for site in structure], dtype=np.int64),
        )
        known = str((structure.properties or {}).get("name", ""))
        return cls(crystal, name=name or known or _plain_formula(crystal), **options)


def declared_unit_of(block: CifBlock) -> AsymUnit | None:
    """The asymmetric unit that a block declares in the standard setting; None for P 1, which most programs write.

    Raises:
        InputError: if the cell does not belong to the group's crystal system.
    """
    from crystaltool.declared_unit import declared_unit

    if block.declared_group is None or block.declared_group == 1:
        return None
    return declared_unit(block.crystal, block.declared_group, block.rotations, block.translations, block.atom_to_site)


def assert_structure(structure: Structure) -> None:
    """The invariant: a structure is what its block says, so atoms, name, bonds and properties agree with it.

    Raises:
        InputError: with what differs.
    """
    block, crystal = structure.block, structure.crystal
    again = parse_block(block.text, name=block.name)
    if again.name != structure.name or dict(again.properties) != dict(structure.properties):
        raise InputError("name or properties differ from those of the block")
    if again.crystal.numbers.tolist() != crystal.numbers.tolist():
        raise InputError("atoms differ from those of the block")
    apart = again.crystal.frac_coords - crystal.frac_coords
    if np.abs(apart - np.round(apart)).max() > SAME_PLACE:
        raise InputError("coordinates differ from those of the block")
    if (structure.bonds is None) != (again.bonds is None):
        raise InputError("bonds differ from those of the block")
    if structure.bonds is not None and again.bonds is not None and len(structure.bonds) != len(again.bonds):
        raise InputError(f"{len(structure.bonds)} bonds, {len(again.bonds)} in the block")


def _frozen(form: Any) -> Any:
    """A crystal or an asymmetric unit whose arrays are read-only."""
    arrays = {name: _read_only(value) for name, value in vars(form).items() if isinstance(value, np.ndarray)}
    return replace(form, **arrays)


def _read_only(array: np.ndarray) -> np.ndarray:
    view = np.array(array)
    view.flags.writeable = False
    return view


def _plain_formula(crystal: Crystal) -> str:
    """`NaCl`, for what has no name."""
    counts = Counter(SYMBOLS[int(number)] for number in crystal.numbers)
    return "".join(symbol + (str(n) if n > 1 else "") for symbol, n in counts.items())
