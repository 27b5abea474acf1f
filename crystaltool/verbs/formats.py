"""Texts of a structure: what the rows of `verbs.files.FORMATS` name."""

from __future__ import annotations

from io import StringIO

from crystaltool.errors import InputError
from crystaltool.structure import Structure


def cif(structure: Structure) -> str:
    """One CIF block."""
    return structure.to_cif()


def extxyz(structure: Structure) -> str:
    """One frame of extended XYZ by ASE: cell, atoms, name and properties; bonds and symmetry are left out.

    Raises:
        MissingExtraError: ASE is not installed.
    """
    atoms = structure.to_ase()
    from ase.io import write

    target = StringIO()
    write(target, atoms, format="extxyz")
    return target.getvalue()


def poscar(structure: Structure) -> str:
    """A POSCAR file by pymatgen, atoms of one element together; the name is its comment.

    Raises:
        InputError: it cannot be written.
    """
    from pymatgen.io.vasp import Poscar

    try:
        made = Poscar(structure.to_pymatgen().get_sorted_structure(), comment=structure.name, sort_structure=True)
    except (ValueError, TypeError) as error:
        raise InputError(f"{structure.name}: no POSCAR, {error}") from None
    return made.get_str(significant_figures=10)
