"""Charges that building blocks can have, so that nets are filled with blocks that are neutral together.

By the valence states that `check`'s rule on the framework's charge knows: its verdict on the MOF follows from these.
"""

from __future__ import annotations

import numpy as np

from crystaltool.arrays import Float
from crystaltool.models.block_encoder.library import Library
from crystaltool.mof.blocks import BuildingBlock
from crystaltool.mof.quotient import find_pieces


def charge_range(block: BuildingBlock) -> Float[np.ndarray, "2"]:
    """The lowest and the highest charge of a block in e; NaN where its metals or valences are not understood.

    Ligands have the charge that they have as a chemist writes them, metals any mean of their oxidation states.
    """
    from crystaltool.checks.mof.elements import CENTRE  # loads all rules: not where charges are stored
    from crystaltool.checks.mof.ligand_charge import as_ligand, cheapest_charge
    from crystaltool.checks.mof.oxidation import OXIDATION_STATES

    centre = CENTRE[block.numbers]
    bound = np.zeros(block.n_atoms, dtype=bool)
    bound[block.connection_atoms] = True
    across = centre[block.bonds].any(axis=1)
    bound[block.bonds[across].ravel()] = True
    inner = block.bonds[~across]
    pieces = find_pieces(block.n_atoms, inner, np.zeros((len(inner), 3), dtype=np.int64))
    charges = np.zeros(2)
    for label in range(len(pieces)):
        atoms = np.flatnonzero(pieces.labels == label)
        if centre[atoms[0]]:
            states = OXIDATION_STATES.get(int(block.numbers[atoms[0]]))
            if states is None:
                return np.full(2, np.nan)
            charges += min(states), max(states)
            continue
        mine = np.searchsorted(atoms, inner[np.isin(inner[:, 0], atoms)]).reshape(-1, 2)
        charge = cheapest_charge(as_ligand(block.numbers[atoms], mine, bound[atoms]))
        if charge is None:
            return np.full(2, np.nan)
        charges += charge
    return charges


def library_charges(library: Library) -> Float[np.ndarray, "n 2"]:
    """`charge_range` of every block of a library: as stored there, or worked out now (8 ms for each identity)."""
    if library.charges is not None:
        return library.charges
    identities = library.blocks.arrays["blocks/identity"].tolist()
    known: dict[tuple[int, int], np.ndarray] = {}
    charges = np.zeros((len(library), 2))
    for row, (identity, k) in enumerate(zip(identities, library.n_connections.tolist(), strict=True)):
        if identity < 0 or (identity, k) not in known:
            known[identity, k] = charge_range(library.block(row))
        charges[row] = known[identity, k]
    return charges
