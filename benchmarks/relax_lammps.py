"""Cells relaxed by LAMMPS and by us, on equal terms: `python benchmarks/relax_lammps.py --qmof FOLDER --data FOLDER`.

Experimental MOFs of QMOF of at most 200 atoms, in random order, until `-n` are typed alike by lammps-interface and by
us with energies within 1e-3. Each is relaxed by both codes from the same start. LAMMPS is also started from our end,
and we from LAMMPS'; where the cells differ by more than 2 % these decide what happened. A structure is a process of its
own, since LAMMPS may end the process it runs in; `--keep` names a file of what is done, so that a run goes on where it
stopped.

    --only ID ...   these instead of random ones
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import random
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.lammps_cell import INNER, OUTER, PATIENCE, LammpsCell, LammpsEnd, interface_files
from crystaltool.crystal import Crystal
from crystaltool.errors import CrystaltoolError
from crystaltool.forcefield.minimise import EV_PER_CUBIC_ANGSTROM_IN_GPA, Criteria
from crystaltool.forcefield.uff.parameters import KCAL_PER_MOL
from crystaltool.forcefield.uff.relaxation import MOFRelaxation, relax_mof
from crystaltool.forcefield.uff.system import System, VanDerWaals
from crystaltool.forcefield.uff.topology import Topology, build_topology
from crystaltool.forcefield.uff.typing import assign_types
from crystaltool.io.cif import parse_crystal
from crystaltool.lattice import matrix_to_parameters
from crystaltool.mof.perception import perceive_bonds
from tests.parity.lammps_reference import type_counts

SEED = "cell"
MAX_ATOMS = 200
EXPERIMENTAL = ("CSD", "CoRE")
RULE = VanDerWaals(OUTER, OUTER - INNER, arithmetic=True)
"""The van der Waals sum of both codes; distances mixed as lammps-interface has them."""

TIGHT_FORCE, TIGHT_STRESS = 0.001, 0.002 / EV_PER_CUBIC_ANGSTROM_IN_GPA
"""eV/A and eV/A^3 (2 MPa)."""

ENERGY_TOLERANCE, CELL_TOLERANCE = 1e-3, 0.02
TIME_LIMIT = 3600


def measure(crystal: Crystal) -> dict[str, Any]:
    """Everything that is compared, of one structure; `fate` says why it is not, if so."""
    topology = build_topology(crystal, perceive_bonds(crystal))
    try:
        lammps = LammpsCell(crystal)
    except ValueError as error:
        return {"fate": str(error)}
    theirs, ours = float(lammps.energies().sum()), energy(crystal, topology)
    if abs(ours / theirs - 1) > ENERGY_TOLERANCE:
        return {"fate": "other terms", "energies": [ours, theirs]}
    result: dict[str, Any] = {"fate": "compared", "n_atoms": crystal.n_atoms, "energies": [ours, theirs]}
    loose, result["loose_seconds"] = timed(crystal, topology, LOOSE)
    tight, result["tight_seconds"] = timed(crystal, topology, TIGHT)
    begun = time.process_time()
    end = lammps.relax()
    result["lammps_seconds"] = time.process_time() - begun
    result["start"] = parameters(crystal)
    result["ours_loose"], result["ours"] = of_ours(loose), of_ours(tight)
    result["lammps"] = of_lammps(end)
    lammps.put(tight.crystal)
    result["lammps_at_ours"] = float(lammps.energies().sum())
    result["lammps_from_ours"] = of_lammps(lammps.relax())
    result["ours_at_lammps"] = energy(end.crystal, topology)
    result["ours_from_lammps"] = of_ours(timed(end.crystal, topology, TIGHT)[0])
    return result


def screen(crystal: Crystal) -> str:
    """Why the structure cannot be compared; empty if both codes type it alike."""
    try:
        types = Counter(assign_types(crystal, perceive_bonds(crystal)).labels)
    except CrystaltoolError as error:
        return f"not typed by us: {error}"
    try:
        data, _ = interface_files(crystal)
    except subprocess.SubprocessError:
        return "lammps-interface fails"
    counts = type_counts(data)
    n_repeats = counts.total() // crystal.n_atoms
    alike = counts == Counter({label: count * n_repeats for label, count in types.items()})
    return "" if alike else "other types"


LOOSE = Criteria(max_stress=0.1 / EV_PER_CUBIC_ANGSTROM_IN_GPA)
"""0.05 eV/A and the stress to which crystals are relaxed."""

TIGHT = Criteria(TIGHT_FORCE, max_steps=5000, max_stress=TIGHT_STRESS)


def energy(crystal: Crystal, topology: Topology) -> float:
    """Of all terms, kcal/mol a cell."""
    system = System([topology], RULE)
    cart_coords, lattices = system.start([crystal])
    found = system.evaluate(cart_coords, lattices, system.pairs(cart_coords, lattices))
    return float(found.energies[0]) / KCAL_PER_MOL


def timed(crystal: Crystal, topology: Topology, criteria: Criteria) -> tuple[MOFRelaxation, float]:
    """Relaxed by us, and the processor seconds it took."""
    begun = time.process_time()
    end = relax_mof(crystal, topology, criteria, RULE)
    return end, time.process_time() - begun


def of_ours(end: MOFRelaxation) -> dict[str, Any]:
    """What is kept of one of our relaxations."""
    total = end.energy_per_atom * end.crystal.n_atoms / KCAL_PER_MOL
    return {"cell": parameters(end.crystal), "energy": total, "at_rest": end.converged, "steps": end.steps}


def of_lammps(end: LammpsEnd) -> dict[str, Any]:
    """What is kept of a relaxation by LAMMPS."""
    rest = {"at_rest": end.at_rest, "cycles": end.cycles, "spread": end.spread}
    return {"cell": parameters(end.crystal), "energy": end.energy, **rest}


def parameters(crystal: Crystal) -> list[float]:
    """a, b, c in A, angles in degrees, and the cube root of the volume."""
    return [*matrix_to_parameters(crystal.lattice).tolist(), crystal.volume ** (1 / 3)]


def apart(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Largest relative difference of the edges and of the volume's cube root."""
    first, second = (np.array(end["cell"])[[0, 1, 2, 6]] for end in (one, other))
    return float(np.abs(first / second - 1).max())


def settlement(row: dict[str, Any]) -> str:
    """Which of the two ends is what."""
    ours, lammps = row["ours"], row["lammps"]
    if apart(ours, lammps) <= CELL_TOLERANCE:
        return "within 2 %"
    stays = apart(row["lammps_from_ours"], ours) <= CELL_TOLERANCE
    follows = apart(row["ours_from_lammps"], ours) <= CELL_TOLERANCE
    remains = apart(row["ours_from_lammps"], lammps) <= CELL_TOLERANCE
    if stays and follows and ours["energy"] < lammps["energy"]:
        return "LAMMPS had not come to rest: we go on from its end to ours, LAMMPS stays at ours"
    if stays and remains:
        return f"two minima, {'ours' if ours['energy'] < lammps['energy'] else 'that of LAMMPS'} is lower"
    if stays and row["ours_from_lammps"]["at_rest"]:
        lower = "ours" if ours["energy"] < row["ours_from_lammps"]["energy"] else "the other"
        return f"two minima, {lower} is lower: LAMMPS stays at ours, and was on its way to the other one, where we end"
    return "open"


def report(rows: dict[str, dict[str, Any]], chosen: str) -> list[str]:
    """Markdown."""
    compared = {name: row for name, row in rows.items() if row["fate"] == "compared"}
    fates = Counter(row["fate"] for row in rows.values())
    verdicts = {name: settlement(row) for name, row in compared.items()}
    direct = sum(verdict == "within 2 %" for verdict in verdicts.values())
    still = [apart(row["ours"], row["lammps"]) for row in compared.values() if row["lammps"]["at_rest"]]
    worst = max(abs(ours / theirs - 1) for ours, theirs in (row["energies"] for row in compared.values()))
    there = [row["lammps_at_ours"] / row["ours"]["energy"] - 1 for row in compared.values()]
    loose = [apart(row["ours_loose"], row["ours"]) for row in compared.values()]
    lines = [
        "# Cells relaxed by LAMMPS and by us",
        "",
        f"`benchmarks/relax_lammps.py`: {chosen}. Both codes take the same van der Waals sum (switched off from "
        f"{INNER:g} to {OUTER:g} A), no charges. LAMMPS {version('lammps')}: `fix box/relax tri`, conjugate gradients, "
        f"begun anew until forces, pressure and energy are at rest or {PATIENCE:.0f} s are spent; ours to 0.001 eV/A "
        f"and 2 MPa. One thread of a shared {platform.machine()} machine, {datetime.now(UTC).date()}.",
        "",
        f"- Tried: {len(rows)}; {', '.join(f'{fate}: {count}' for fate, count in fates.most_common())}.",
        f"- Energies of the starts: the largest relative difference is {worst:.1e}; of our relaxed structures "
        f"{np.abs(there).max():.1e}.",
        f"- Relaxed cells within 2 %, edges and cube root of the volume: {direct} of {len(compared)} directly; LAMMPS "
        f"came to rest on {len(still)}, of these {sum(value <= CELL_TOLERANCE for value in still)}.",
        f"- LAMMPS put into our relaxed structure keeps its cell within 2 % on "
        f"{sum(apart(row['lammps_from_ours'], row['ours']) <= CELL_TOLERANCE for row in compared.values())} of "
        f"{len(compared)}.",
        f"- Settled: {sum(verdict != 'open' for verdict in verdicts.values())} of {len(compared)}.",
        f"- Limits of 0.05 eV/A and 0.1 GPa end {np.median(loose):.1%} from the tight ones at the median, "
        f"{max(loose):.1%} at most.",
        f"- Processor seconds, median and most: ours with these "
        f"{_times(compared, 'loose_seconds')}, tight {_times(compared, 'tight_seconds')}, LAMMPS (replicated cell) "
        f"{_times(compared, 'lammps_seconds')}.",
        "",
        "Energies in kcal/mol a cell; apart: the largest relative difference of an edge or of the volume's cube root.",
        "",
        "| MOF | atoms | our energy | LAMMPS' | LAMMPS at rest | apart | angles apart | LAMMPS from ours: energy, "
        "apart from ours | ours from LAMMPS': energy, apart from ours, from LAMMPS' | verdict |",
        "|---" * 10 + "|",
    ]
    for name, row in compared.items():
        ours, lammps, forth, back = (row[key] for key in ("ours", "lammps", "lammps_from_ours", "ours_from_lammps"))
        angles = np.abs(np.array(ours["cell"])[3:6] - np.array(lammps["cell"])[3:6]).max()
        cells = [
            name,
            str(row["n_atoms"]),
            f"{ours['energy']:.2f}",
            f"{lammps['energy']:.2f}",
            "yes" if lammps["at_rest"] else f"no, {lammps['cycles']} cycles",
            f"{apart(ours, lammps):.2%}",
            f"{angles:.1f}",
            f"{forth['energy']:.2f}, {apart(forth, ours):.2%}",
            f"{back['energy']:.2f}, {apart(back, ours):.2%}, {apart(back, lammps):.2%}",
            verdicts[name],
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _times(rows: dict[str, dict[str, Any]], key: str) -> str:
    seconds = [row[key] for row in rows.values()]
    return f"{np.median(seconds):.1f} and {max(seconds):.1f}"


def candidates(data: Path) -> list[str]:
    """Experimental, three-dimensional, small enough; in the order of the seed."""
    with (data / "qmof_index.csv").open(newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row["source"] in EXPERIMENTAL and row["dim"] == "3"]
    names = [row["qmof_id"] for row in rows if int(row["n_atoms"]) <= MAX_ATOMS]
    random.Random(SEED).shuffle(names)
    return names


def load(path: Path) -> Crystal:
    """The crystal of a CIF of one block."""
    return parse_crystal(path.read_text(encoding="utf-8"))


def in_child(qmof: Path, name: str) -> dict[str, Any]:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, "--qmof", str(qmof), "--one", name]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired:
        return {"fate": f"over {TIME_LIMIT} s"}
    if ended.returncode:
        print(ended.stderr[-500:], file=sys.stderr)
        return {"fate": "LAMMPS refuses the files of lammps-interface"}
    return json.loads(ended.stdout.splitlines()[-1])


def main() -> None:
    """Run what is not done yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qmof", type=Path, required=True, help="folder of QMOF's CIFs")
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data" / "mof")
    parser.add_argument("-n", type=int, default=16, help="MOFs to compare")
    parser.add_argument("--only", nargs="+", metavar="ID")
    parser.add_argument("--keep", type=Path, default=Path("relax_lammps.jsonl"), help="what is done, one line a MOF")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--one", metavar="ID", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.one is not None:
        print(json.dumps(measure(load(arguments.qmof / f"{arguments.one}.cif"))))
        return
    rows: dict[str, dict[str, Any]] = {}
    if arguments.keep.exists():
        rows = {row.pop("name"): row for row in map(json.loads, arguments.keep.read_text().splitlines())}
    names = arguments.only or candidates(arguments.data)
    asked = {name: rows[name] for name in names if name in rows} if arguments.only else dict(rows)
    for name in names:
        if sum(row["fate"] == "compared" for row in asked.values()) >= arguments.n:
            break
        if name in asked:
            continue
        fate = screen(load(arguments.qmof / f"{name}.cif"))
        asked[name] = {"fate": fate} if fate else in_child(arguments.qmof, name)
        with arguments.keep.open("a") as handle:
            handle.write(json.dumps({"name": name, **asked[name]}) + "\n")
        print(datetime.now().strftime("%H:%M:%S"), name, asked[name]["fate"], file=sys.stderr, flush=True)
    chosen = (
        "chosen by name" if arguments.only else f"experimental MOFs of QMOF of at most {MAX_ATOMS} atoms, seed {SEED!r}"
    )
    text = "\n".join(report(asked, chosen)) + "\n"
    if arguments.output is None:
        print(text, end="")
    else:
        arguments.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
