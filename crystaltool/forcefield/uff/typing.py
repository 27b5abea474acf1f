"""UFF types on a known bond graph: elements, bond orders, and the geometry at each metal.

Radii and angles of the UFF4MOF types were fitted with orders 1/2 for metal to oxygen and 1/4 for metal to metal, and
those are set here whatever the graph states.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.bonds import AROMATIC_ORDER, BondGraph
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.forcefield.uff.parameters import METAL_METAL_ORDER, METAL_OXYGEN_ORDER, atom_types
from crystaltool.forcefield.uff.resonance import Link, links_of, organic_orders
from crystaltool.mof.elements import METAL
from crystaltool.units import SYMBOLS

LINEAR, TRIGONAL, TETRAHEDRAL, SQUARE, BIPYRAMID, OCTAHEDRAL, EIGHTFOLD = 1, 2, 3, 4, 5, 6, 8
GENERAL = 0
"""Geometries at an atom as the third letter of a label tells them; GENERAL: the angle of the type, a single well."""

UNDIRECTED = 9
"""No angle terms: ligands of the atom keep apart by their van der Waals terms."""

PLANAR_ANGLE_SUM = 345.0
"""Degree: three bonds whose angles add to more lie in a plane (360) rather than in a pyramid (328)."""

SQUARE_TAU = 0.5
"""tau_4 = (360 - two largest angles)/141 (Yang, Powell, Houser, Dalton Trans. 2007, 955): 0 square, 1 tetrahedral."""

BIPYRAMID_TAU = 0.5
"""tau_5 = (difference of the two largest angles)/60 (Addison et al., Dalton Trans. 1984, 1349): 1 for a bipyramid."""

OXO_LENGTH = 1.80
"""A: a terminal oxygen nearer to its metal than this is an oxo, beyond it an aqua or hydroxo ligand without its H."""

_ALKALI = {3, 11, 19, 37, 55, 87}
_HALOGENS = {9, 17, 35, 53, 85}
_METALLOID_ANGLE = {14: "Si3", 32: "Ge3", 33: "As3+3", 34: "Se3+2", 50: "Sn3", 51: "Sb3+3", 52: "Te3+2"}
_COMPATIBLE = {
    LINEAR: (1, 2, 3, 4, 6, 8),
    TRIGONAL: (2, 3, 4, 1, 6, 8),
    TETRAHEDRAL: (3, 4, 2, 6, 8, 1),
    SQUARE: (4, 6, 3, 2, 8, 1),
    BIPYRAMID: (4, 6, 3, 8, 2, 1),
    OCTAHEDRAL: (6, 4, 8, 3, 2, 1),
    EIGHTFOLD: (8, 6, 4, 3, 2, 1),
}
"""Types of an element to take, best first, where it has none for the geometry found; the geometry decides the form of
the angle terms all the same."""


@dataclass(frozen=True)
class Typing:
    """What the force field knows of each atom and bond.

    Args:
        rows: row of each atom in the table of types; shape (n_atoms,).
        geometry: form of the angle terms at each atom, a constant of this module; shape (n_atoms,).
        orders: bond orders, none 0; shape (n_bonds,).
    """

    rows: Int[np.ndarray, " n_atoms"]
    geometry: Int[np.ndarray, " n_atoms"]
    orders: Float[np.ndarray, " n_bonds"]

    @property
    def labels(self) -> tuple[str, ...]:
        """Label of each atom's type."""
        return tuple(atom_types().labels[row] for row in self.rows)


def assign_types(crystal: Crystal, bonds: BondGraph) -> Typing:
    """Types, geometries and bond orders.

    Raises:
        InputError: an element beyond Lr, for which UFF has no type.
    """
    numbers = crystal.numbers
    if numbers.max() > atom_types().heaviest:
        raise InputError(
            f"UFF has no parameters for {SYMBOLS[int(numbers.max())]} (Z = {numbers.max()}), "
            f"it ends at Lr (Z = {atom_types().heaviest})"
        )
    orders = organic_orders(numbers, bonds)
    vectors = bonds.vectors(crystal)
    lengths = np.linalg.norm(vectors, axis=1)
    framework = _Framework(numbers, bonds, orders, lengths, vectors / np.maximum(lengths, 1e-9)[:, None])
    shells = [_Shell(framework, atom, some) for atom, some in enumerate(links_of(crystal.n_atoms, bonds))]
    conjugated = np.array([max((orders[bond] for bond in shell.bonds), default=0.0) > 1.0 for shell in shells])
    labels, geometry = [], np.zeros(crystal.n_atoms, dtype=np.int64)
    for atom, shell in enumerate(shells):
        label, geometry[atom] = _type_metal(shell) if METAL[numbers[atom]] else _type_nonmetal(shell, conjugated)
        labels.append(label)
    _set_metal_orders(framework, shells)
    return Typing(np.array([atom_types().row(label) for label in labels]), geometry, orders)


@dataclass(frozen=True)
class _Framework:
    """All atoms and bonds.

    Args:
        numbers: atomic numbers; shape (n_atoms,).
        bonds: the graph.
        orders: of its bonds; shape (n_bonds,).
        lengths: A; shape (n_bonds,).
        units: unit vectors along the bonds; shape (n_bonds, 3).
    """

    numbers: Int[np.ndarray, " n_atoms"]
    bonds: BondGraph
    orders: Float[np.ndarray, " n_bonds"]
    lengths: Float[np.ndarray, " n_bonds"]
    units: Float[np.ndarray, "n_bonds 3"]


class _Shell:
    """An atom and what is bound to it."""

    def __init__(self, framework: _Framework, atom: int, links: list[Link]) -> None:
        numbers, graph = framework.numbers, framework.bonds
        self.number = int(numbers[atom])
        self.bonds = [bond for bond, _, _ in links]
        self.others = [other for _, other, _ in links]
        self.elements = [int(numbers[other]) for other in self.others]
        self.orders = [float(framework.orders[bond]) for bond in self.bonds]
        self.lengths = [float(framework.lengths[bond]) for bond in self.bonds]
        seen: set[int] = set()
        signs = []
        for bond in self.bonds:  # a bond to the atom's own copy is listed twice, once each way
            signs.append(1.0 if graph.pairs[bond, 0] == atom and bond not in seen else -1.0)
            seen.add(bond)
        self.units = framework.units[self.bonds] * np.array(signs)[:, None] if signs else np.zeros((0, 3))

    @property
    def degree(self) -> int:
        return len(self.bonds)

    @property
    def n_metals(self) -> int:
        return sum(bool(METAL[element]) for element in self.elements)

    @property
    def n_ligands(self) -> int:
        return self.degree - self.n_metals

    def angles(self) -> np.ndarray:
        """Angles between the bonds in degree, ascending."""
        first, second = np.triu_indices(self.degree, 1)
        cosines = (self.units[first] * self.units[second]).sum(axis=1)
        return np.sort(np.degrees(np.arccos(np.clip(cosines, -1, 1))))

    def is_planar(self) -> bool:
        return self.degree == 3 and float(self.angles().sum()) > PLANAR_ANGLE_SUM


def _type_nonmetal(shell: _Shell, conjugated: np.ndarray) -> tuple[str, int]:
    z = shell.number
    if z == 1:
        return ("H_b", UNDIRECTED) if shell.elements.count(5) > 1 else ("H_", UNDIRECTED)
    if z in _HALOGENS:
        return {9: "F_", 17: "Cl", 35: "Br", 53: "I_", 85: "At"}[z], UNDIRECTED
    special = {5: _boron, 6: _carbon, 7: _nitrogen, 8: _oxygen, 15: _phosphorus, 16: _sulfur}.get(z)
    if special is not None:
        label = special(shell, conjugated)
    else:
        label = _METALLOID_ANGLE.get(z) or _any_of_element(z)
    return label, _form_of(label)


def _form_of(label: str) -> int:
    """n-fold forms for linear and trigonal types whose angle is exactly 180 or 120 degrees, else the single well."""
    angle = atom_types().angle[atom_types().row(label)]
    if label[2:3] in ("R", "2") and angle == 120.0:
        return TRIGONAL
    if angle == 180.0:
        return LINEAR
    return GENERAL


def _any_of_element(z: int) -> str:
    return atom_types().labels[int(np.flatnonzero(atom_types().numbers == z)[0])]


def _boron(shell: _Shell, conjugated: np.ndarray) -> str:
    return "B_2" if shell.degree <= 3 else "B_3"


def _carbon(shell: _Shell, conjugated: np.ndarray) -> str:
    if shell.degree >= 4:
        return "C_3"
    if AROMATIC_ORDER in shell.orders:
        return "C_R"
    if 3.0 in shell.orders or shell.orders.count(2.0) > 1:
        return "C_1"
    if max(shell.orders, default=0.0) > 1.0:
        return "C_2"
    if shell.degree == 3:
        return "C_2" if shell.is_planar() else "C_3"
    if shell.degree == 2:
        return "C_1" if shell.angles()[0] > 150.0 else "C_2"
    return "C_3"


def _nitrogen(shell: _Shell, conjugated: np.ndarray) -> str:
    if shell.degree >= 4:
        return "N_3"
    if AROMATIC_ORDER in shell.orders or any(1.0 < order < AROMATIC_ORDER for order in shell.orders):
        return "N_R"
    if 3.0 in shell.orders or shell.orders.count(2.0) > 1:
        return "N_1"
    if 2.0 in shell.orders:
        return "N_2"
    beside_pi = any(conjugated[other] for other in shell.others)
    if shell.degree == 3:
        return "N_R" if shell.is_planar() and beside_pi else "N_3"
    return "N_R" if shell.degree == 2 and beside_pi else "N_3"


def _oxygen(shell: _Shell, conjugated: np.ndarray) -> str:
    metals, ligands = shell.n_metals, shell.n_ligands
    hydrogens = shell.elements.count(1)
    if AROMATIC_ORDER in shell.orders and ligands == 2:
        return "O_R"
    if 3.0 in shell.orders:
        return "O_1"
    if ligands == 0:
        if metals >= 4:
            return "O_3_f"
        if metals == 3:
            return "O_2_z" if shell.is_planar() else "O_3_f"
        if metals == 2 or (metals == 1 and shell.lengths[0] < OXO_LENGTH):
            return "O_3_z" if set(shell.elements) <= {13} else "O_2"
        return "O_3"
    if hydrogens == ligands:
        return {0: "O_3", 1: "O_3", 2: "O_2_z"}.get(metals, "O_3_f") if hydrogens == 1 else "O_3"
    if set(shell.elements) <= {14, 13} and shell.degree == 2:
        return "O_3_z"
    if max(shell.orders) > 1.0:
        attached = [element for element in shell.elements if not METAL[element]]
        return "O_R" if attached == [7] else "O_2"
    on_pi = any(conjugated[other] for other, z in zip(shell.others, shell.elements, strict=True) if z == 6)
    return "O_2" if ligands == 1 and metals and on_pi else "O_3"


def _phosphorus(shell: _Shell, conjugated: np.ndarray) -> str:
    if shell.degree <= 3:
        return "P_3+3"
    return "P_3+q" if shell.n_metals else "P_3+5"


def _sulfur(shell: _Shell, conjugated: np.ndarray) -> str:
    if AROMATIC_ORDER in shell.orders and shell.n_ligands == 2:
        return "S_R"
    if shell.degree >= 3 and shell.n_ligands <= 1:
        return "S_3_f"
    if shell.n_ligands >= 4:
        return "S_3+6"
    if shell.n_ligands == 3:
        return "S_3+4"
    return "S_2" if 2.0 in shell.orders else "S_3+2"


def _type_metal(shell: _Shell) -> tuple[str, int]:
    geometry = _metal_geometry(shell)
    wanted = EIGHTFOLD if geometry == UNDIRECTED else geometry
    table = atom_types()
    candidates = np.flatnonzero(table.numbers == shell.number).tolist()
    preference = _COMPATIBLE[wanted]

    def rank(row: int) -> tuple[int, int]:
        digit = table.labels[row][2:3]
        place = preference.index(int(digit)) if digit in "12345678" and digit and int(digit) in preference else 9
        return place, -int(table.source[row])

    label = table.labels[min(candidates, key=rank)]
    if geometry == EIGHTFOLD and label[2:3] != "8":
        geometry = UNDIRECTED
    return label, geometry


def _metal_geometry(shell: _Shell) -> int:
    n = shell.degree
    if n <= 1:
        return LINEAR
    if n >= 5 and shell.number in _ALKALI:
        return UNDIRECTED
    angles = shell.angles()
    if n == 2:
        return LINEAR if angles[0] > 150.0 else TETRAHEDRAL
    if n == 3:
        return TRIGONAL if shell.is_planar() else TETRAHEDRAL
    if n == 4:
        return SQUARE if (360.0 - angles[-1] - angles[-2]) / 141.0 < SQUARE_TAU else TETRAHEDRAL
    if n == 5:
        return BIPYRAMID if (angles[-1] - angles[-2]) / 60.0 > BIPYRAMID_TAU else SQUARE
    if n == 6:
        return OCTAHEDRAL
    return EIGHTFOLD if n == 8 else UNDIRECTED


def _set_metal_orders(framework: _Framework, shells: list[_Shell]) -> None:
    """Set the orders of bonds to metals, in place."""
    numbers, bonds, orders = framework.numbers, framework.bonds, framework.orders
    metals = METAL[numbers[bonds.pairs]]
    elements = numbers[bonds.pairs]
    both, one = metals.all(axis=1), metals.any(axis=1) & ~metals.all(axis=1)
    to_oxygen = one & (elements == 8).any(axis=1)
    orders[one] = 1.0
    orders[to_oxygen] = METAL_OXYGEN_ORDER
    orders[both] = METAL_METAL_ORDER
    for bond in np.flatnonzero(to_oxygen & (framework.lengths < OXO_LENGTH)).tolist():
        oxygen = int(bonds.pairs[bond][np.flatnonzero(elements[bond] == 8)[0]])
        if shells[oxygen].degree == 1:  # a terminal oxo
            orders[bond] = 2.0
