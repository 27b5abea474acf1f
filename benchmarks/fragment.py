"""Fragmentation of a whole database, against a prototype's verdicts and MOFid: `python benchmarks/fragment.py`.

    --qmof qmof_cif.tar.xz       QMOF, one process; verdicts, processor time, and every usable MOF put together again
    --index qmof_index.csv       the prototype's verdict on each, to compare
    --mofid FOLDER               a folder for each MOF with mof_asr.cif, nodes.cif, linkers.cif, node_bridges.cif
    --orders N                   bond orders of N linkers, also by Open Babel and RDKit from the geometry

Prints Markdown to standard output or to `-o FILE`. Run it with OMP_NUM_THREADS=1. Times are processor times, which a
busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import csv
import platform
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy.spatial import KDTree

from crystaltool.bonds import BondGraph
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.io.names import file_stem
from crystaltool.io.stream import BadRecord, RawBlock, iter_blocks, iter_raw, parse_raw, read_raw
from crystaltool.mof.blocks import BRIDGE, LINKER, NODE, BuildingBlock
from crystaltool.mof.elements import COVALENT_RADIUS, METAL
from crystaltool.mof.fragment import FragmentError, Limits, fragment
from crystaltool.mof.identity import hill_formula
from crystaltool.mof.perception import neighbours, perceive_bonds
from crystaltool.mof.quotient import find_pieces
from crystaltool.mof.rebuild import to_crystal
from crystaltool.verbs.fragment import Cut, FragmentSettings, Refusal, cut

SETTINGS = FragmentSettings()
DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "mof"


@dataclass
class Outcome:
    """What became of a structure."""

    name: str
    verdict: str
    seconds: float
    dimension: int | None
    counts: tuple[int, int, int] = (0, 0, 0)
    n_nets: int = 0
    farthest: float = 0.0


def measure(archive: Path) -> tuple[list[Outcome], list[BuildingBlock]]:
    """Fragment everything; put together again what could be cut. Also the different linkers found."""
    outcomes, linkers = [], {}
    for number, raw in enumerate(iter_raw([str(archive)])):
        if isinstance(raw, BadRecord):
            raise SystemExit(raw.message)
        start = time.process_time()
        try:
            result = cut(SETTINGS, read_raw(raw).crystal)
        except InputError as error:
            result = error
        seconds = time.process_time() - start
        name = file_stem(raw.source)
        if isinstance(result, Cut):
            kinds = Counter(block.kind for block in result.mof.blocks)
            counts = (kinds[NODE], kinds[LINKER], kinds[BRIDGE])
            outcome = Outcome(name, "ok", seconds, 3, counts, result.n_nets, _farthest(raw, result))
            linkers |= {block.identity: block for block in result.mof.blocks if block.kind == LINKER}
        elif isinstance(result, Refusal):
            outcome = Outcome(name, result.reason, seconds, result.dimension)
        else:
            outcome = Outcome(name, "unreadable", seconds, None)
        outcomes.append(outcome)
        if number % 1000 == 999:
            print(f"{datetime.now().strftime('%H:%M:%S')} {number + 1}", file=sys.stderr, flush=True)
    return outcomes, list(linkers.values())


def _farthest(raw: RawBlock, result: Cut) -> float:
    """How far (A) the farthest atom of the crystal put together again lies from its original, bonds included."""
    block = parse_raw(raw)
    assert not isinstance(block, BadRecord)
    crystal = block.crystal
    again, _ = to_crystal(result.mof)
    wrapped = [c.frac_coords - np.floor(c.frac_coords) for c in (again, crystal)]
    cells = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    ghosts = (wrapped[1][None] + cells[:, None]).reshape(-1, 3)
    near = ((ghosts > -0.2) & (ghosts < 1.2)).all(axis=1)
    distances, found = KDTree(ghosts[near] @ crystal.lattice).query(wrapped[0] @ crystal.lattice)
    originals = np.tile(np.arange(crystal.n_atoms), len(cells))[near][found]
    if again.n_atoms != crystal.n_atoms or len(set(originals.tolist())) != crystal.n_atoms:
        return float("inf")
    if (crystal.numbers[originals] != again.numbers).any():
        return float("inf")
    return float(distances.max())


def verdict_lines(outcomes: list[Outcome]) -> Iterator[str]:
    """Verdicts, times and reassembly."""
    seconds = np.array([outcome.seconds for outcome in outcomes])
    usable = [outcome for outcome in outcomes if outcome.verdict == "ok"]
    farthest = np.array([outcome.farthest for outcome in usable])
    yield "## Verdicts"
    yield ""
    yield f"- {len(outcomes)} structures in one run, one process, none crashed; usable: {len(usable)}"
    yield (
        f"- processor seconds a structure (parse, bonds, cut, identities): median {np.median(seconds):.4f}, "
        f"mean {seconds.mean():.4f}, 99th percentile {np.percentile(seconds, 99):.3f}, most {seconds.max():.2f}"
    )
    mine = np.array([outcome.seconds for outcome in usable])
    yield f"- of the usable ones alone: median {np.median(mine):.4f}, most {mine.max():.2f}"
    yield (
        f"- put together again from blocks, centres and rotations: {np.isfinite(farthest).sum()} of {len(usable)} have "
        f"all their atoms, the farthest {farthest[np.isfinite(farthest)].max():.1e} A from its place"
    )
    yield f"- with bridges of rods as blocks: {sum(outcome.counts[2] > 0 for outcome in usable)}"
    yield f"- with two or more interpenetrating nets: {sum(outcome.n_nets > 1 for outcome in usable)}"
    yield ""
    yield "| verdict | structures |"
    yield "|---|---|"
    for verdict, count in Counter(outcome.verdict for outcome in outcomes).most_common():
        yield f"| {verdict} | {count} |"


def agreement_lines(outcomes: list[Outcome], index: Path, archive: Path) -> Iterator[str]:
    """Our verdicts against the prototype's."""
    with index.open(newline="") as handle:
        theirs = {row["qmof_id"]: row for row in csv.DictReader(handle)}
    both = [(outcome, theirs[outcome.name]) for outcome in outcomes if outcome.name in theirs]
    same = sum(outcome.dimension == int(row["dim"]) for outcome, row in both)
    usable = [(o, row) for o, row in both if o.verdict == "ok" and row["verdict"] == "ok"]
    alike = sum(o.counts[:2] == (int(row["nodes"]), int(row["linkers"])) for o, row in usable)
    yield "## Against the prototype's index"
    yield ""
    yield f"- dimension alike: {same} of {len(both)}"
    yield f"- usable for both: {len(usable)}, of these {alike} with as many nodes and linkers"
    yield ""
    yield "| prototype | ours | structures |"
    yield "|---|---|---|"
    for (their, our), count in Counter((row["verdict"], o.verdict) for o, row in both).most_common():
        yield f"| {their} | {our} | {count} |"
    yield ""
    yield "What decides where the prototype's `ok` is refused here, or a structure of fewer dimensions is usable here:"
    yield ""
    yield "| case | cause | structures |"
    yield "|---|---|---|"
    causes: Counter[tuple[str, str]] = Counter()
    wanted = {}
    for outcome, row in both:
        if row["verdict"] == "ok" and outcome.verdict not in ("ok", "dimension"):
            causes["prototype ok", f"`{outcome.verdict}` here"] += 1
        elif row["verdict"] == "ok" and outcome.verdict == "dimension":
            wanted[outcome.name] = "prototype ok, fewer dimensions here"
        elif row["verdict"] != "ok" and outcome.verdict == "ok":
            if int(row["dim"]) < 3:
                wanted[outcome.name] = "usable here, fewer dimensions there"
            elif row["verdict"] == "infinite_node(rod)":
                causes[
                    "usable here, refused there", "rods: their bridging atoms are blocks, or metals stand alone"
                ] += 1
            else:
                causes["usable here, refused there", f"`{row['verdict']}` there"] += 1
    for raw in iter_raw([str(archive)]):
        if isinstance(raw, RawBlock) and file_stem(raw.source) in wanted:
            block = parse_raw(raw)
            assert not isinstance(block, BadRecord)
            causes[wanted[file_stem(raw.source)], deciding_bond(block.crystal)] += 1
    for (case, cause), count in sorted(causes.items(), key=lambda item: (item[0][0], -item[1])):
        yield f"| {case} | {cause} | {count} |"


def deciding_bond(crystal: Crystal) -> str:
    """The bond of a metal, by its excess over the covalent radii, without or with which the dimension is another."""
    first, second, images, distances = neighbours(crystal, 4.2)
    numbers = crystal.numbers
    excess = distances - COVALENT_RADIUS[numbers[first]] - COVALENT_RADIUS[numbers[second]]
    bonds = perceive_bonds(crystal)
    known = set(map(tuple, np.column_stack([bonds.pairs, bonds.images]).tolist()))
    known |= set(map(tuple, np.column_stack([bonds.pairs[:, ::-1], -bonds.images]).tolist()))
    kept = np.array([row in known for row in map(tuple, np.column_stack([first, second, images]).tolist())])
    pairs = np.column_stack([first, second])
    whole = max(find_pieces(crystal.n_atoms, pairs[kept], images[kept]).ranks) == 3
    metal = METAL[numbers[first]] | METAL[numbers[second]]
    candidates = np.flatnonzero(metal & (kept == whole) & (numbers[first] != 1) & (numbers[second] != 1))
    for bond in candidates[np.argsort(-excess[candidates] if whole else excess[candidates])]:
        kept[bond] = not whole
        if (max(find_pieces(crystal.n_atoms, pairs[kept], images[kept]).ranks) == 3) != whole:
            break
    else:
        return "no single sort of bond"
    metals = METAL[numbers[[first[bond], second[bond]]]].sum()
    amount = float(excess[bond])
    if metals == 2:
        return f"metal-metal contact of {'silver' if 47 in numbers[[first[bond], second[bond]]] else 'other metals'}"
    if whole:
        return "a bond of usual length (excess up to 0.2 A)" if amount <= 0.2 else "a long bond (excess 0.2 to 0.4 A)"
    return "a longer contact (excess above 0.3 A)"


def pieces_of_file(path: Path) -> Counter[str]:
    """Formulas of the connected pieces of a CIF with bonds; empty if it has no atoms."""
    record = next(iter(iter_blocks([str(path)])))
    if isinstance(record, BadRecord):
        return Counter()
    crystal = record.crystal
    bonds = record.bonds or BondGraph(np.zeros((0, 2), int), np.zeros((0, 3), int), np.zeros(0))
    pieces = find_pieces(crystal.n_atoms, bonds.pairs, bonds.images)
    return Counter(hill_formula(tuple(crystal.numbers[pieces.labels == k].tolist())) for k in range(len(pieces)))


def mofid_lines(folder: Path) -> Iterator[str]:
    """Block multisets against MOFid's metal-oxo deconstruction, formula by formula."""
    kinds = {NODE: "nodes", LINKER: "linkers", BRIDGE: "node_bridges"}
    same, lines = 0, []
    names = sorted(path.name for path in folder.iterdir() if (path / "mof_asr.cif").exists())
    for name in names:
        record = next(iter(iter_blocks([str(folder / name / "mof_asr.cif")])))
        if isinstance(record, BadRecord):
            lines.append(f"| {name} | cannot be read: {record.message} | |")
            continue
        crystal = record.crystal
        bonds = perceive_bonds(crystal)
        try:
            mof = fragment(crystal, bonds, Limits(1000, 10000, 1000), remove_guests=True)
        except FragmentError as error:
            lines.append(f"| {name} | refused: {error} | |")
            continue
        differing = []
        for kind, file in kinds.items():
            ours = Counter(hill_formula(tuple(b.numbers.tolist())) for b in mof.blocks if b.kind == kind)
            theirs = pieces_of_file(folder / name / f"{file}.cif")
            if ours != theirs:
                differing.append(f"{file}: MOFid {_formulas(theirs)}, ours {_formulas(ours)}")
        same += not differing
        if differing:
            lines.append(f"| {name} | {'; '.join(differing)} | {_bond_differences(crystal, bonds, record.bonds)} |")
    yield "## Against MOFid's metal-oxo deconstruction"
    yield ""
    yield f"Multisets of formulas of nodes, linkers and node bridges alike: {same} of {len(names)}."
    if lines:
        yield ""
        yield "| MOF | blocks that differ | bonds that only one side has |"
        yield "|---|---|---|"
        yield from lines


def _formulas(counts: Counter[str]) -> str:
    return " ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


def _bond_differences(crystal: Crystal, ours: BondGraph, theirs: BondGraph | None) -> str:
    """Kinds of bonds that one side has and the other has not, with their lengths."""
    if theirs is None:
        return "MOFid gives no bonds"
    found = []
    for name, one, other in (("MOFid", theirs, ours), ("ours", ours, theirs)):
        has = set(map(tuple, np.column_stack([other.pairs, other.images]).tolist()))
        has |= set(map(tuple, np.column_stack([other.pairs[:, ::-1], -other.images]).tolist()))
        lengths: dict[str, list[float]] = {}
        for pair, image, length in zip(one.pairs.tolist(), one.images.tolist(), one.lengths(crystal), strict=True):
            if (*pair, *image) not in has:
                kind = "-".join(sorted(hill_formula((int(z),)) for z in crystal.numbers[pair]))
                lengths.setdefault(kind, []).append(float(length))
        found += [f"{name} only: {len(x)} {kind} {min(x):.2f}-{max(x):.2f} A" for kind, x in lengths.items()]
    return "; ".join(found) or "none"


def order_lines(linkers: list[BuildingBlock], n: int, seed: int) -> Iterator[str]:
    """Bond orders from the graph beside those that Open Babel and RDKit perceive."""
    rng = np.random.default_rng(seed)
    chosen = [linkers[k] for k in rng.permutation(len(linkers))[:n]]
    yield "## Bond orders"
    yield ""
    yield f"{len(chosen)} different linkers (seed {seed}), orders over our own bonds. A wrong carbon has another number"
    yield "of bonds than four though no metal binds it. Linkers agree if each element has as many atoms of a valence."
    yield ""
    yield "| method | ms, median | ms, 99th percentile | failed | linkers with a wrong carbon | agree with ours |"
    yield "|---|---|---|---|---|---|"
    mine = [_ours(block) for block in chosen]
    for name, method in (("graph, integer program (ours)", _ours), ("Open Babel", _open_babel), ("RDKit", _rdkit)):
        seconds, failed, wrong, alike = [], 0, 0, 0
        for block, reference in zip(chosen, mine, strict=True):
            start = time.process_time()
            try:
                orders = method(block)
            except Exception:
                orders = None
            seconds.append(time.process_time() - start)
            if orders is None:
                failed += 1
                continue
            wrong += _has_wrong_carbon(block, orders)
            alike += _valences(block, orders) == _valences(block, reference)
        times = 1e3 * np.array(seconds)
        yield (
            f"| {name} | {np.median(times):.2f} | {np.percentile(times, 99):.1f} | {failed} | {wrong} | "
            f"{alike} ({100 * alike / len(chosen):.1f} %) |"
        )


def _valences(block: BuildingBlock, orders: np.ndarray) -> Counter[tuple[int, int]]:
    total = np.bincount(block.bonds.ravel(), np.repeat(orders, 2), block.n_atoms)
    return Counter(zip(block.numbers.tolist(), np.rint(total).astype(int).tolist(), strict=True))


def _has_wrong_carbon(block: BuildingBlock, orders: np.ndarray) -> bool:
    total = np.bincount(block.bonds.ravel(), np.repeat(orders, 2), block.n_atoms)
    free = np.ones(block.n_atoms, dtype=bool)
    free[block.connection_atoms] = False
    return bool(((block.numbers == 6) & free & (np.abs(total - 4) > 0.1)).any())


def _ours(block: BuildingBlock) -> np.ndarray:
    from crystaltool.mof.bond_orders import perceive_orders

    at_metal = np.zeros(block.n_atoms, dtype=bool)
    at_metal[block.connection_atoms] = True
    return perceive_orders(block.numbers, block.bonds, at_metal)


def _open_babel(block: BuildingBlock) -> np.ndarray:
    from openbabel import openbabel

    openbabel.obErrorLog.SetOutputLevel(0)
    mol = openbabel.OBMol()
    mol.BeginModify()
    for number, place in zip(block.numbers.tolist(), block.cart_coords.tolist(), strict=True):
        atom = mol.NewAtom()
        atom.SetAtomicNum(number)
        atom.SetVector(*place)
    for i, j in block.bonds.tolist():
        mol.AddBond(i + 1, j + 1, 1)
    mol.EndModify()
    mol.PerceiveBondOrders()
    return np.array([mol.GetBond(i + 1, j + 1).GetBondOrder() for i, j in block.bonds.tolist()], dtype=float)


def _rdkit(block: BuildingBlock) -> np.ndarray:
    """With the charge that our orders give; RDKit must be told one."""
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDetermineBonds

    from crystaltool.mof.bond_orders import formal_charges

    at_metal = np.zeros(block.n_atoms, dtype=bool)
    at_metal[block.connection_atoms] = True
    charge = int(formal_charges(block.numbers, block.bonds, _ours(block), at_metal).sum())
    mol = Chem.RWMol()
    for number in block.numbers.tolist():
        atom = Chem.Atom(number)
        atom.SetNoImplicit(True)
        mol.AddAtom(atom)
    for i, j in block.bonds.tolist():
        mol.AddBond(i, j, Chem.BondType.SINGLE)
    conformer = Chem.Conformer(block.n_atoms)
    conformer.SetPositions(np.ascontiguousarray(block.cart_coords))
    mol.AddConformer(conformer)
    with rdBase.BlockLogs():
        rdDetermineBonds.DetermineBondOrders(mol, charge=charge, maxIterations=10000)
    Chem.Kekulize(mol, clearAromaticFlags=True)
    return np.array([mol.GetBondBetweenAtoms(i, j).GetBondTypeAsDouble() for i, j in block.bonds.tolist()])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qmof", type=Path, default=DATA / "qmof_cif.tar.xz")
    parser.add_argument("--index", type=Path, default=DATA / "qmof_index.csv")
    parser.add_argument("--mofid", type=Path)
    parser.add_argument("--orders", type=int, default=500, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    outcomes, linkers = measure(arguments.qmof)
    lines = ["# Fragmentation of metal-organic frameworks", ""]
    names = ("numpy", "scipy", "rdkit", "openbabel-wheel", "gemmi")
    tools = ", ".join([f"python {platform.python_version()}", *(f"{name} {version(name)}" for name in names)])
    lines += [f"- {datetime.now(UTC).strftime('%Y-%m-%d')}, {tools}", "", *verdict_lines(outcomes), ""]
    lines += [*agreement_lines(outcomes, arguments.index, arguments.qmof), ""]
    if arguments.mofid is not None:
        lines += [*mofid_lines(arguments.mofid), ""]
    lines += [*order_lines(linkers, arguments.orders, arguments.seed)]
    text = "\n".join(lines) + "\n"
    if arguments.output is None:
        print(text, end="")
    else:
        arguments.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
