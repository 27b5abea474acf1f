"""What new structures are compared with: a data set of asymmetric units, of MOFs, or CIFs of MOFs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from crystaltool.checks.kind import MOF, kind_of
from crystaltool.errors import InputError
from crystaltool.io.hdf5 import ASYM_UNIT_KIND, open_checked, read_asym_units

if TYPE_CHECKING:
    from crystaltool.checks.matching import Reference
    from crystaltool.checks.mof.identity import MOFReference

_HDF5_SIGNATURE = b"\x89HDF"
_HDF5_SUFFIXES = (".h5", ".hdf5")
"""A file of this name that is none is called a damaged one, not a CIF."""


@dataclass(frozen=True)
class References:
    """Known structures; one of the two is None."""

    crystals: Reference | None
    mofs: MOFReference | None


def read_references(path: str) -> References:
    """Read `--reference`: HDF5 of `asym-unit` or `fragment`, or CIFs of MOFs.

    Raises:
        InputError: nothing to compare with in it.
    """
    try:
        with Path(path).open("rb") as handle:
            is_hdf5 = handle.read(4) == _HDF5_SIGNATURE
    except IsADirectoryError:
        is_hdf5 = False
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    if not is_hdf5 and Path(path).suffix not in _HDF5_SUFFIXES:
        return References(None, _read_cifs(path))
    with open_checked(path) as file:
        kind = file.attrs.get("kind")
    if kind == ASYM_UNIT_KIND:
        from crystaltool.checks.matching import Reference

        return References(Reference(read_asym_units(path)), None)
    from crystaltool.checks.mof.identity import MOFReference
    from crystaltool.mof.table import MOF_KIND, read_mofs

    if kind != MOF_KIND:
        raise InputError(f"{path}: an HDF5 file of kind {kind}, expected {ASYM_UNIT_KIND} or {MOF_KIND}")
    return References(None, MOFReference.of_table(read_mofs(path), path))


def _read_cifs(path: str) -> MOFReference:
    """The MOFs among CIFs; what is no framework, or cannot be cut, is left out."""
    from crystaltool.checks.mof.identity import MOFReference, identify_mof
    from crystaltool.io.stream import BadRecord, iter_blocks

    known, reason = [], "no structures"
    for block in iter_blocks([path]):
        if isinstance(block, BadRecord):
            reason = block.message
            continue
        if kind_of(block) != MOF:
            reason = f"{block.name} is no MOF; inorganic references come as HDF5 of crystaltool asym-unit"
            continue
        try:
            known.append((identify_mof(block.crystal), block.name))
        except InputError as error:
            reason = f"{block.name}: {error}"
    if not known:
        raise InputError(f"{path}: no MOF to compare with ({reason})")
    return MOFReference(known)
