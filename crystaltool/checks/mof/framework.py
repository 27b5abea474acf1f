"""Rules that look at the structure as a whole: what it is made of and how it hangs together."""

from __future__ import annotations

from collections import Counter

import numpy as np

from crystaltool.arrays import Int
from crystaltool.checks.kind import ATOM_VOLUMES, LIGHT
from crystaltool.checks.mof.coordination import Coordination
from crystaltool.checks.mof.elements import CENTRE
from crystaltool.checks.mof.rules import CARBON, HYDROGEN, Findings
from crystaltool.mof.quotient import find_pieces
from crystaltool.units import SYMBOLS

WHOLE = -1
"""Key of a finding that is no atom's."""


def no_metal(coordination: Coordination) -> Findings:
    """No metal atom, and no germanium, which is bound as tin is."""
    return {} if CENTRE[coordination.numbers].any() else {WHOLE: "no metal"}


def no_carbon(coordination: Coordination) -> Findings:
    """No carbon atom."""
    return {} if (coordination.numbers == CARBON).any() else {WHOLE: "no carbon"}


def no_hydrogen(coordination: Coordination) -> Findings:
    """No hydrogen atom."""
    return {} if (coordination.numbers == HYDROGEN).any() else {WHOLE: "no hydrogen"}


def metals(coordination: Coordination) -> str:
    """The metals of the cell: `Zn8`."""
    return _formula(coordination.numbers[CENTRE[coordination.numbers]])


def carbons(coordination: Coordination) -> str:
    """How many carbon atoms the cell has: `C24`."""
    return _formula(coordination.numbers[coordination.numbers == CARBON])


def hydrogens(coordination: Coordination) -> str:
    """How many hydrogen atoms the cell has: `H12`."""
    return _formula(coordination.numbers[coordination.numbers == HYDROGEN])


def lone_molecule(coordination: Coordination) -> Findings:
    """Atoms or molecules bound to nothing that repeats: solvent, ions, debris. The key is the first atom of each."""
    pieces = coordination.pieces
    found: Findings = {}
    for piece, rank in enumerate(pieces.ranks):
        if rank == 0:
            atoms = np.flatnonzero(pieces.labels == piece)
            found[int(atoms[0])] = f"free {_formula(coordination.numbers[atoms])}"
    return found


def not_three_dimensional(coordination: Coordination) -> Findings:
    """No part of the structure repeats in three directions (Larsen et al., Phys. Rev. Materials 2019, 3, 034003)."""
    rank = max(coordination.pieces.ranks)
    return {} if rank == 3 else {WHOLE: f"bonds reach in {rank} directions"}


DENSE = 1.1
"""Volume of a crystal without room, over that of its atoms, at most; 31 of 33 chains and layers of QMOF have less."""


def inorganic_polymer(coordination: Coordination) -> str:
    """Chains or layers that metals and inorganic ligands make alone, in words; empty of anything else.

    Ligands with carbon only sit on them and link nothing, and the whole fills space: VCl3(NR), layers of oxides with
    amines on them. Such a structure is no framework that has lost its linkers, and no part of it is missing.
    """
    numbers, bonds, rank = coordination.numbers, coordination.bonds, max(coordination.pieces.ranks)
    filled = np.select([numbers == HYDROGEN, numbers <= LIGHT], ATOM_VOLUMES[:2], ATOM_VOLUMES[2]).sum()
    if rank not in (1, 2) or coordination.crystal.volume > DENSE * filled:
        return ""
    centre = CENTRE[numbers]
    apart = ~centre[bonds.pairs].any(axis=1)
    ligands = find_pieces(len(numbers), bonds.pairs[apart], bonds.images[apart])
    organic = np.zeros(len(ligands), dtype=bool)
    organic[ligands.labels[numbers == CARBON]] = True
    rest = ~organic[ligands.labels]
    kept = rest[bonds.pairs].all(axis=1)
    pieces = find_pieces(len(numbers), bonds.pairs[kept], bonds.images[kept])
    if max((pieces.ranks[piece] for piece in np.unique(pieces.labels[rest])), default=0) != rank:
        return ""
    elements = " ".join(sorted({SYMBOLS[number] for number in numbers[rest].tolist()} - {"H"}))
    return f"{'chains' if rank == 1 else 'layers'} of {elements}, which no ligand links"


def _formula(numbers: Int[np.ndarray, " n"]) -> str:
    """`C2H6O`: carbon and hydrogen first."""
    counts = Counter(SYMBOLS[number] for number in numbers.tolist())
    order = sorted(counts, key=lambda symbol: (symbol != "C", symbol != "H", symbol))
    return "".join(f"{symbol}{counts[symbol] if counts[symbol] > 1 else ''}" for symbol in order)
