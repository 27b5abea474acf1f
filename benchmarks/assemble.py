"""Assembly of fragmented MOFs: how many close, how many are the right crystal, at what cost, beside the reference.

    python benchmarks/assemble.py FOLDER_OF_CIFS -n 200 --rows rows.tsv -o benchmarks/results/assemble.md

Random MOFs of 4 to 20 blocks are cut, their rotations and connections forgotten, noise put on centres and cell, and
put together again. A row per MOF and case goes to --rows as it is done; a run that was stopped goes on from there.
The reference is the objective of MOFDiff (arXiv 2310.10732, appendix), rotations only, one start, one MOF at a time.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment, minimize

from crystaltool.errors import CrystaltoolError
from crystaltool.io.cif import parse_crystal
from crystaltool.mof.assemble import AssemblyConfig, assemble
from crystaltool.mof.assemble.compare import rmsd
from crystaltool.mof.blocks import NODE, CoarseMOF
from crystaltool.mof.fragment import fragment
from crystaltool.mof.perception import perceive_bonds

CASES = {
    "true": (0.0, 0.0, 0.99),
    "0.3 A": (0.3, 0.0, 0.95),
    "0.6 A": (0.6, 0.0, 0.90),
    "0.3 A, cell 2 %": (0.3, 0.02, None),
}
"""Name: Gaussian error of the centres (A, each direction), of the strain of the cell, goal for the part that closes."""

REFERENCE = "reference"
MAX_CLOSURE = 0.5
"""A, far below what `relax` closes: here blocks go back to where they came from."""

RIGHT = 0.5
"""A: root mean square distance of the atoms below which the crystal is the right one."""

COLUMNS = ("case", "name", "blocks", "connections", "atoms", "reason", "closure", "angle", "contacts", "rmsd", "cpu_s")


def choose(folder: Path, n: int, seed: int) -> list[CoarseMOF]:
    """The first `n` usable MOFs of 4 to 20 blocks of a shuffled folder."""
    files = sorted(folder.glob("*.cif"))
    found: list[CoarseMOF] = []
    for index in np.random.default_rng(seed).permutation(len(files)):
        try:
            crystal = parse_crystal(files[index].read_text())
            mof = fragment(crystal, perceive_bonds(crystal))
        except CrystaltoolError:
            continue
        if 4 <= mof.n_blocks <= 20:
            found.append(replace(mof, name=files[index].stem))
        if len(found) == n:
            break
    return found


def spoil(mof: CoarseMOF, noise: float, strain: float, seed: tuple[int, ...]) -> CoarseMOF:
    """The MOF without its pose, with errors of centres and cell."""
    rng = np.random.default_rng(seed)
    tilt = rng.normal(size=(3, 3)) * strain
    lattice = mof.lattice @ (np.eye(3) + (tilt + tilt.T) / 2)
    centres = mof.centres @ lattice + rng.normal(size=mof.centres.shape) * noise
    return replace(mof, lattice=lattice, centres=centres @ np.linalg.inv(lattice), rotations=None, connections=None)


def reference(mof: CoarseMOF, seed: int) -> float:
    """Largest gap in A after MOFDiff's assembly in Cartesian coordinates; centres and cell stay."""
    lattice = torch.as_tensor(mof.lattice)
    inverse = torch.linalg.inv(lattice)
    centres = torch.as_tensor(mof.centres) @ lattice
    points = torch.as_tensor(np.concatenate([block.connection_coords for block in mof.blocks]))
    owner = torch.as_tensor(np.repeat(np.arange(mof.n_blocks), [block.n_connections for block in mof.blocks]))
    metal = torch.as_tensor(np.array([block.kind == NODE for block in mof.blocks]))[owner]

    def distances(angles: torch.Tensor) -> torch.Tensor:
        placed = (points.unsqueeze(1) @ _matrices(angles)[owner]).squeeze(1) + centres[owner]
        frac = (placed[metal][:, None] - placed[~metal][None]) @ inverse
        return ((frac - frac.round().detach()) @ lattice).square().sum(-1).add(1e-12).sqrt()

    angles = np.random.default_rng(seed).normal(size=(mof.n_blocks, 3))
    for width, nearest in ((3.0, 30), (1.65, 16), (0.3, 1)):

        def objective(flat: np.ndarray, width: float = width, nearest: int = nearest) -> tuple[float, np.ndarray]:
            x = torch.tensor(flat.reshape(-1, 3), requires_grad=True)
            table = distances(x)
            k = min(nearest, table.shape[1])
            near = torch.cat([table.topk(k, dim=1, largest=False)[0], table.T.topk(k, dim=1, largest=False)[0]])
            loss = -torch.exp(-near / width).sum(1).mean()
            (gradient,) = torch.autograd.grad(loss, x)
            return loss.item(), gradient.numpy().ravel()

        angles = minimize(objective, angles.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
    table = distances(torch.as_tensor(angles.reshape(-1, 3))).numpy()
    return float(table[linear_sum_assignment(table)].max())


def _matrices(vectors: torch.Tensor) -> torch.Tensor:
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    return torch.matrix_exp(cross).mT


def measure(mofs: list[CoarseMOF], case: str, index: int, seed: int, config: AssemblyConfig) -> tuple:
    """The row of a MOF in a case."""
    mof = mofs[index]
    size = (case, mof.name, mof.n_blocks, len(mof.connections or ()), mof.n_atoms)
    if case == REFERENCE:
        start = time.process_time()
        gap = reference(mof, seed)
        return (*size, "" if gap <= config.max_closure else "closure", gap, 0, 0, 0, time.process_time() - start)
    noise, strain, _ = CASES[case]
    given = spoil(mof, noise, strain, (seed, index))
    start = time.process_time()
    made = assemble(given, config, seed, index)
    spent = time.process_time() - start
    return (*size, made.reason, made.closure_max, made.angles.max(), made.n_contacts, rmsd(mof, made.mof), spent)


def report(rows: list[dict[str, str]], config: AssemblyConfig, n: int, seed: int, days: str) -> str:
    """The table as Markdown."""
    by_case: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        by_case[row["case"]].append(row)
    lines = [
        "# Assembly",
        "",
        f"{days}, {platform.machine()}, one thread of a shared two-core machine, seed {seed}; {n}",
        "random QMOF structures of 4 to 20 blocks asked for, `benchmarks/assemble.py`;",
        f"{config.starts} starts, at most {config.rounds} rounds. Closed: every gap at most {config.max_closure} A.",
        "Good: no overlap and three-dimensional too. Right crystal: atoms, up to a movement of the whole, within",
        f"{RIGHT} A (root mean square) of the true ones, element by element.",
        "",
        "| centres and cell | MOFs | closed (95 % Wilson) | goal | good | right of all | median rmsd of good, A "
        "| median / 90 % / mean cpu s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case, found in by_case.items():
        closure, spent = (np.array([float(row[key]) for row in found]) for key in ("closure", "cpu_s"))
        good = np.array([not row["reason"] for row in found])
        apart = np.array([float(row["rmsd"]) for row in found])
        closed = closure <= config.max_closure
        low, high = _wilson(int(closed.sum()), len(closed))
        goal = CASES[case][2] if case in CASES else None
        own = case != REFERENCE
        lines.append(
            f"| {case} | {len(found)} | {100 * closed.mean():.1f} % ({low:.1f}-{high:.1f}) | "
            f"{f'{100 * goal:.0f} %' if goal else '-'} | {f'{100 * good.mean():.1f} %' if own else '-'} | "
            f"{f'{100 * (apart[good] < RIGHT).sum() / len(good):.1f} %' if own else '-'} | "
            f"{f'{np.median(apart[good]):.2f}' if own else '-'} | "
            f"{np.median(spent):.2f} / {np.percentile(spent, 90):.2f} / {spent.mean():.2f} |"
        )
    if REFERENCE in by_case and "true" in by_case:
        lines += ["", *_throughput(by_case[REFERENCE], by_case["true"], config)]
    return "\n".join(lines) + "\n"


def _throughput(theirs: list[dict[str, str]], all_ours: list[dict[str, str]], config: AssemblyConfig) -> list[str]:
    """Two rates of both on the MOFs of the reference, in true cells with true centres."""
    names = {row["name"] for row in theirs}
    ours = [row for row in all_ours if row["name"] in names]
    rates = []
    for rows in (ours, theirs):
        spent = sum(float(row["cpu_s"]) for row in rows)
        closed = sum(float(row["closure"]) <= config.max_closure for row in rows)
        rates.append((len(rows) / spent, closed / spent))
    lines = [
        f"On the {len(ours)} MOFs of the reference, true centres and cells: {rates[0][0]:.2f} MOFs a cpu second, "
        f"the reference {rates[1][0]:.2f}: {rates[0][0] / rates[1][0]:.1f} times its throughput.",
        f"MOFs that close a cpu second: {rates[0][1]:.2f}, the reference {rates[1][1]:.2f}"
        + (f": {rates[0][1] / rates[1][1]:.0f} times." if rates[1][1] else "."),
    ]
    return lines


def _wilson(k: int, n: int) -> tuple[float, float]:
    z = 1.96
    middle, half = (k + z * z / 2) / (n + z * z), z * np.sqrt(k * (n - k) / n + z * z / 4) / (n + z * z)
    return 100 * (middle - half), 100 * (middle + half)


def main() -> None:
    """Measure what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-n", type=int, default=200)
    parser.add_argument("--reference", type=int, default=20, metavar="N", help="MOFs for the reference objective")
    parser.add_argument("--case", action="append", choices=[*CASES], help="by default the three with a goal")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = AssemblyConfig(max_closure=MAX_CLOSURE)
    mofs = choose(arguments.folder, arguments.n, arguments.seed)
    if not arguments.rows.exists():
        arguments.rows.write_text("\t".join(COLUMNS) + "\n")
    done = {tuple(line.split("\t")[:2]) for line in arguments.rows.read_text().splitlines()}
    cases = [*(arguments.case or [case for case, (*_, goal) in CASES.items() if goal]), REFERENCE]
    with arguments.rows.open("a") as out:
        for index, mof in enumerate(mofs):  # all cases of a MOF, so that a run stopped early says something of each
            for case in cases:
                if (case, mof.name) in done or (case == REFERENCE and index >= arguments.reference):
                    continue
                row = measure(mofs, case, index, arguments.seed, config)
                print(*(f"{x:.4g}" if isinstance(x, float) else x for x in row), sep="\t", file=out, flush=True)
    rows = [dict(zip(COLUMNS, line.split("\t"), strict=True)) for line in arguments.rows.read_text().splitlines()[1:]]
    text = report(rows, config, arguments.n, arguments.seed, datetime.date.today().isoformat())
    if arguments.output is not None:
        arguments.output.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
