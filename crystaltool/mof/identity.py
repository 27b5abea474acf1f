"""What a building block is chemically: a text that names it, a fingerprint, and its bond orders.

Linkers are named by a canonical SMILES of the free ion with a dummy atom for every metal that it binds (`*<-[O-]...`),
nodes and bridges by Hill formula, number of connection points and a hash of the labelled graph. Both follow from
the graph alone: neither the order of the atoms nor their coordinates matter. `name_ligand` names the free ion whatever
it binds. Fingerprints are ECFP4: Morgan, radius 2,
2,048 bits, connection points as dummy atoms, no chirality (Rogers and Hahn, J. Chem. Inf. Model. 2010, 50, 742).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdFingerprintGenerator

from crystaltool.arrays import Float, Int
from crystaltool.bonds import AROMATIC_ORDER, UNKNOWN_ORDER
from crystaltool.mof.blocks import LINKER, BuildingBlock
from crystaltool.mof.bond_orders import formal_charges, perceive_orders
from crystaltool.mof.elements import METAL

FINGERPRINT_BITS = 2048
FINGERPRINT_RADIUS = 2
CACHE_SIZE = 20000
"""Different graphs kept in a process; a database of 10,000 MOFs has about as many."""

HASH_DIGITS = 10
_ROUNDS = 8
_DUMMY, _HYDROGEN, _CARBON, _NITROGEN, _OXYGEN = 0, 1, 6, 7, 8
_AMMONIUM_BONDS = 4
_NO_ANION = 3
"""Neighbours with which an atom is no anion that binds metals: the nitrogen of a nitrate, the sulfur of a sulfonate."""
_PERIODIC_TABLE = Chem.GetPeriodicTable()
_GENERATOR = rdFingerprintGenerator.GetMorganGenerator(
    radius=FINGERPRINT_RADIUS, fpSize=FINGERPRINT_BITS, includeChirality=False
)


@dataclass(frozen=True)
class Identity:
    """The chemistry of a block.

    Args:
        text: names it.
        bits: ECFP4, 2,048 bits packed; shape (256,).
        bond_orders: 1, 2, 3, 1.5 aromatic or delocalised, 0 for bonds to metals; shape (n_bonds,).
    """

    text: str
    bits: np.ndarray
    bond_orders: Float[np.ndarray, " n_bonds"]


def identify(block: BuildingBlock) -> Identity:
    """The identity of a block; blocks that differ in atom order or geometry only have the same."""
    graph, bond_rows = _canonical(block)
    text, bits, orders = _identify(graph, block.kind == LINKER)
    bond_orders = np.zeros(len(block.bonds))
    bond_orders[bond_rows] = orders
    return Identity(text, np.frombuffer(bits, dtype=np.uint8), bond_orders)


def name_ligand(numbers: Int[np.ndarray, " n"], bonds: Int[np.ndarray, "n_bonds 2"]) -> tuple[str, int]:
    """Canonical SMILES of a free ligand, and its charge; the same whichever of its atoms bind metals.

    In the SMILES acids stand as their anions and ammonium as the amine, in the charge they do not. Metals inside stand
    apart.

    Args:
        numbers: atomic numbers. bonds: atoms i, j of each bond inside the ligand.
    """
    acidic = _acidic_hydrogens(numbers, bonds)
    graph = _free_graph(numbers, bonds)
    name, charge = _free_name(*graph)
    if acidic.any():
        place = np.cumsum(~acidic) - 1
        kept = ~acidic[bonds].any(axis=1)
        name, _ = _free_name(*_free_graph(numbers[~acidic], place[bonds[kept]]))
    return name, charge


def _acidic_hydrogens(numbers: np.ndarray, bonds: np.ndarray) -> np.ndarray:
    """Hydrogens on oxygen, and the last one of a nitrogen with four neighbours."""
    first, second = np.concatenate([bonds, bonds[:, ::-1]]).T
    acidic = np.zeros(len(numbers), dtype=bool)
    acidic[first[(numbers[first] == _HYDROGEN) & (numbers[second] == _OXYGEN)]] = True
    n_near = np.bincount(first, minlength=len(numbers))
    for atom in np.flatnonzero((numbers == _NITROGEN) & (n_near == _AMMONIUM_BONDS)).tolist():
        hydrogens = second[(first == atom) & (numbers[second] == _HYDROGEN)]
        acidic[hydrogens[:1]] = True
    return acidic


_FreeGraph = tuple[tuple[int, ...], tuple[tuple[int, int], ...], tuple[bool, ...]]
"""Atomic numbers, bonds between nonmetals, which atoms bind a metal inside; atoms in canonical order."""


def _free_graph(numbers: np.ndarray, bonds: np.ndarray) -> _FreeGraph:
    to_metal = METAL[numbers[bonds]].any(axis=1)
    inner = bonds[~to_metal]
    ringed = np.zeros(len(numbers), dtype=bool)
    ringed[bonds[to_metal].ravel()] = True
    mol = _single_bonded(numbers.tolist(), inner.tolist(), [0] * len(numbers))
    ranks = np.array(list(Chem.CanonicalRankAtoms(mol, breakTies=True, includeChirality=False)), dtype=np.int64)
    order = np.argsort(ranks)
    ends = np.sort(ranks[inner], axis=1)
    pairs = tuple(sorted((int(i), int(j)) for i, j in ends))
    return tuple(numbers[order].tolist()), pairs, tuple(ringed[order].tolist())


@lru_cache(maxsize=CACHE_SIZE)
def _free_name(
    numbers: tuple[int, ...], bonds: tuple[tuple[int, int], ...], ringed: tuple[bool, ...]
) -> tuple[str, int]:
    elements, pairs = np.array(numbers), np.array(bonds, dtype=np.int64).reshape(-1, 2)
    free = np.ones(len(elements), dtype=bool)
    few = np.bincount(pairs.ravel(), minlength=len(elements)) < _NO_ANION
    anions = few & ~np.isin(elements, (_HYDROGEN, _CARBON)) | np.array(ringed)
    orders = perceive_orders(elements, pairs, anions)
    charges = formal_charges(elements, pairs, orders, free)
    charges[METAL[elements]] = 0
    graph = (numbers, bonds, (0,) * len(numbers))
    try:
        with rdBase.BlockLogs():
            text = Chem.MolToSmiles(_ligand(graph, orders.tolist(), charges.tolist()))
    except (ValueError, RuntimeError):
        text = _graph_text(graph)
    return text, int(charges.sum())


_Graph = tuple[tuple[int, ...], tuple[tuple[int, int], ...], tuple[int, ...]]
"""Atomic numbers, bonds, connection points of each atom; atoms in canonical order."""


def _canonical(block: BuildingBlock) -> tuple[_Graph, Int[np.ndarray, " n_bonds"]]:
    """The graph with its atoms in canonical order, and the block's bond of each of its bonds."""
    counts = np.bincount(block.connection_atoms, minlength=block.n_atoms)
    mol = _single_bonded(block.numbers.tolist(), block.bonds.tolist(), counts.tolist())
    ranks = np.array(list(Chem.CanonicalRankAtoms(mol, breakTies=True, includeChirality=False))[: block.n_atoms])
    place = np.argsort(np.argsort(ranks))
    order = np.argsort(place)
    ends = np.sort(place[block.bonds], axis=1).reshape(-1, 2)
    rows = np.lexsort((ends[:, 1], ends[:, 0]))
    graph = (
        tuple(block.numbers[order].tolist()),
        tuple((int(i), int(j)) for i, j in ends[rows]),
        tuple(counts[order].tolist()),
    )
    return graph, rows


def _single_bonded(numbers: list[int], bonds: list[list[int]], connections: list[int]) -> Chem.RWMol:
    """All bonds single, a dummy atom for each connection point, nothing checked."""
    mol = Chem.RWMol()
    for number in numbers:
        atom = Chem.Atom(number)
        atom.SetNoImplicit(True)
        mol.AddAtom(atom)
    for i, j in bonds:
        mol.AddBond(int(i), int(j), Chem.BondType.SINGLE)
    for atom, count in enumerate(connections):
        for _ in range(count):
            mol.AddBond(atom, mol.AddAtom(Chem.Atom(_DUMMY)), Chem.BondType.SINGLE)
    mol.UpdatePropertyCache(strict=False)
    Chem.FastFindRings(mol)
    return mol


@lru_cache(maxsize=CACHE_SIZE)
def _identify(graph: _Graph, organic: bool) -> tuple[str, bytes, tuple[float, ...]]:
    numbers, bonds, connections = graph
    orders, charges = _ligand_orders(numbers, bonds, connections)
    single = _single_bonded(list(numbers), [list(pair) for pair in bonds], list(connections))
    if not organic:
        return _graph_text(graph), _fingerprint(single), tuple(orders)
    try:
        with rdBase.BlockLogs():
            mol = _ligand(graph, orders, charges)
            text, bits = Chem.MolToSmiles(mol), _fingerprint(mol)
            orders = _with_aromatic(mol, bonds, orders, charges)
    except (ValueError, RuntimeError):  # a chemistry that RDKit does not hold possible: the graph alone names it
        text, bits = _graph_text(graph), _fingerprint(single)
    return text, bits, tuple(orders)


def _ligand_orders(
    numbers: tuple[int, ...], bonds: tuple[tuple[int, int], ...], connections: tuple[int, ...]
) -> tuple[list[float], list[int]]:
    """Orders of all bonds (0 to metals) and charges of all atoms (0 on metals)."""
    elements, pairs = np.array(numbers), np.array(bonds, dtype=np.int64).reshape(-1, 2)
    metal = METAL[elements]
    inside = ~metal[pairs].any(axis=1)
    at_metal = np.array(connections) > 0
    at_metal[pairs[~inside].ravel()] = True
    orders = np.full(len(pairs), UNKNOWN_ORDER)
    orders[inside] = perceive_orders(elements, pairs[inside], at_metal)
    charges = formal_charges(elements, pairs[inside], orders[inside], at_metal)
    charges[metal] = 0
    return orders.tolist(), charges.tolist()


def _ligand(graph: _Graph, orders: list[float], charges: list[int]) -> Chem.Mol:
    """The free ligand, dummy atoms bound by dative bonds, hydrogens implied, aromatic rings found."""
    numbers, bonds, connections = graph
    mol = Chem.RWMol()
    for number, charge in zip(numbers, charges, strict=True):
        atom = Chem.Atom(number)
        atom.SetNoImplicit(True)
        atom.SetFormalCharge(charge)
        mol.AddAtom(atom)
    types = {1.0: Chem.BondType.SINGLE, 2.0: Chem.BondType.DOUBLE, 3.0: Chem.BondType.TRIPLE}
    for (i, j), order in zip(bonds, orders, strict=True):
        mol.AddBond(i, j, types.get(order, Chem.BondType.SINGLE))
    for atom, count in enumerate(connections):
        for _ in range(count):
            mol.AddBond(atom, mol.AddAtom(Chem.Atom(_DUMMY)), Chem.BondType.DATIVE)
    for k in range(len(numbers)):
        mol.GetAtomWithIdx(k).SetIntProp("place", k)
    mol.UpdatePropertyCache(strict=False)
    Chem.SanitizeMol(mol, Chem.SANITIZE_ALL ^ Chem.SANITIZE_PROPERTIES)
    mol = Chem.RemoveHs(mol, sanitize=False)
    Chem.FastFindRings(mol)
    return mol


def _with_aromatic(
    mol: Chem.Mol, bonds: tuple[tuple[int, int], ...], orders: list[float], charges: list[int]
) -> list[float]:
    """Orders with 1.5 in aromatic rings and in carboxylates, nitro groups and the like, whose ends are alike."""
    result = list(orders)
    row = {pair: k for k, pair in enumerate(bonds)}
    for bond in mol.GetBonds():
        if bond.GetIsAromatic():
            ends = sorted(atom.GetIntProp("place") for atom in (bond.GetBeginAtom(), bond.GetEndAtom()))
            result[row[ends[0], ends[1]]] = AROMATIC_ORDER
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() not in (6, 7):
            continue
        centre, double, anions = atom.GetIntProp("place"), [], []
        for other in atom.GetNeighbors():
            if other.GetAtomicNum() in (8, 16) and sum(n.GetAtomicNum() > 0 for n in other.GetNeighbors()) == 1:
                end = other.GetIntProp("place")
                bond = row[min(centre, end), max(centre, end)]
                if orders[bond] == 2:
                    double.append(bond)
                elif charges[end] == -1:
                    anions.append(bond)
        if len(double) == 1 and anions:
            for bond in (*double, *anions):
                result[bond] = AROMATIC_ORDER
    return result


def _fingerprint(mol: Chem.Mol) -> bytes:
    packed = np.packbits(_GENERATOR.GetFingerprintAsNumPy(mol).astype(np.uint8))
    return packed.tobytes()


def _graph_text(graph: _Graph) -> str:
    """Hill formula, number of connection points, hash: `OZn4_12_3fa9c1d2e4`."""
    numbers, bonds, connections = graph
    labels = [f"{number}*{count}" for number, count in zip(numbers, connections, strict=True)]
    digest = refine(labels, [(i, j, "") for i, j in bonds])
    return f"{hill_formula(numbers)}_{sum(connections)}_{digest}"


def refine(labels: list[str], edges: list[tuple[int, int, str]]) -> str:
    """Weisfeiler-Lehman hash of a labelled graph (J. Mach. Learn. Res. 2011, 12, 2539)."""
    neighbours: list[list[tuple[int, str]]] = [[] for _ in labels]
    for i, j, label in edges:
        neighbours[i].append((j, label))
        neighbours[j].append((i, label))
    for _ in range(_ROUNDS):
        labels = [
            _digest(label + "(" + ",".join(sorted(edge + labels[j] for j, edge in around)) + ")")
            for label, around in zip(labels, neighbours, strict=True)
        ]
    return _digest(",".join(sorted(labels)))[:HASH_DIGITS]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def hill_formula(numbers: tuple[int, ...]) -> str:
    """Carbon, hydrogen, then the others by symbol; without carbon all by symbol."""
    counts: dict[str, int] = {}
    for number in numbers:
        symbol = _PERIODIC_TABLE.GetElementSymbol(number)
        counts[symbol] = counts.get(symbol, 0) + 1
    first = [symbol for symbol in ("C", "H") if "C" in counts and symbol in counts]
    rest = sorted(symbol for symbol in counts if symbol not in first)
    return "".join(f"{symbol}{counts[symbol] if counts[symbol] > 1 else ''}" for symbol in (*first, *rest))
