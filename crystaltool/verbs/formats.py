"""Texts of a structure: what the rows of `verbs.format_table.FORMATS` name."""

from __future__ import annotations

from crystaltool.io.extxyz import format_extxyz
from crystaltool.io.poscar import format_poscar
from crystaltool.structure import Structure


def cif(structure: Structure) -> str:
    """One CIF block."""
    return structure.to_cif()


def extxyz(structure: Structure) -> str:
    """One frame of extended XYZ: cell, atoms, name and properties; bonds, charges and symmetry are left out."""
    return format_extxyz(structure.block.crystal, structure.name, structure.properties)


def poscar(structure: Structure) -> str:
    """A POSCAR, atoms of one element together, the name in its first line; all else is left out."""
    return format_poscar(structure.block.crystal, structure.name)
