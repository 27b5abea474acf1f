"""A second judge in an environment of its own: relax crystals with any ASE calculator, energies as the hull has them.

    PYTHON benchmarks/ase_worker.py measured.cif -n 100 -o second.jsonl
    PYTHON benchmarks/ase_worker.py in.cif -o out.jsonl --calculator ase.calculators.emt:EMT --no-corrections

PYTHON has ase, pymatgen, spglib and the calculator's package; crystaltool is not needed. The default is SevenNet-0
(11July2024) of the wheel `sevenn`. It was trained on uncorrected energies of the Materials Project, so the corrections
of 2020 are added as pymatgen has them, with those for +U calculations where the Materials Project makes such (oxides
and fluorides of V, Cr, Mn, Fe, Co, Ni, Mo and W). Crystals are relaxed on from what they are, their symmetry kept.

One JSON object a structure is written: name, energy_per_atom (eV, corrected), correction, steps, converged, numbers, or
a reason. Names that stand in the output are passed over, so a killed run goes on.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import warnings
from pathlib import Path
from typing import Any

MAX_FORCE, MAX_STEPS = 0.05, 300
"""eV/A and steps of the optimiser; the cell's gradient counts as forces."""


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="CIF blocks")
    parser.add_argument("-n", type=int, help="only the first so many blocks")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--calculator", default="sevenn.calculator:SevenNetCalculator", metavar="MODULE:CLASS")
    parser.add_argument("--no-corrections", action="store_true", help="energies as the calculator gives them")
    return parser.parse_args()


def split(text: str) -> list[tuple[str, str]]:
    """Names and texts of the blocks that crystaltool wrote."""
    parts = re.split(r"(?m)^data_", text)[1:]
    return [(part.split("\n", 1)[0].strip(), "data_" + part) for part in parts]


def correction(structure: Any) -> float:
    """MP2020 correction in eV per cell."""
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
    from pymatgen.entries.computed_entries import ComputedStructureEntry
    from pymatgen.io.vasp.sets import MPRelaxSet

    symbols = {element.symbol for element in structure.composition.elements}
    anion = next((anion for anion in ("F", "O") if anion in symbols), None)
    values = MPRelaxSet.CONFIG["INCAR"]["LDAUU"].get(anion, {}) if anion else {}
    hubbards = {symbol: values.get(symbol, 0.0) for symbol in symbols}
    with_hubbard = any(hubbards.values())
    parameters = {
        "run_type": "GGA+U" if with_hubbard else "GGA",
        "is_hubbard": with_hubbard,
        "hubbards": hubbards if with_hubbard else {},
        "software": "vasp",
    }
    entry = ComputedStructureEntry(structure, 0.0, parameters=parameters)
    done = MaterialsProject2020Compatibility(check_potcar=False).process_entry(entry)
    if done is None:
        raise ValueError("no correction is known for this composition")
    return float(done.correction)


def relax(text: str, calculator: Any, corrected: bool) -> dict[str, Any]:
    """Relax one block, its symmetry kept."""
    from ase.constraints import FixSymmetry
    from ase.filters import FrechetCellFilter
    from ase.optimize import LBFGS
    from pymatgen.io.ase import AseAtomsAdaptor
    from pymatgen.io.cif import CifParser

    structure = CifParser.from_str(text).parse_structures(primitive=True)[0]
    atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
    atoms.calc = calculator
    atoms.set_constraint(FixSymmetry(atoms, symprec=0.01))
    optimiser = LBFGS(FrechetCellFilter(atoms), logfile=None, maxstep=0.1)
    converged = bool(optimiser.run(fmax=MAX_FORCE, steps=MAX_STEPS))
    added = correction(structure) if corrected else 0.0
    energy = float(atoms.get_potential_energy())
    return {
        "energy_per_atom": (energy + added) / len(atoms),
        "correction": added / len(atoms),
        "steps": optimiser.nsteps,
        "converged": converged,
        "numbers": atoms.numbers.tolist(),
    }


def finished(path: Path) -> set[str]:
    """Names that are done; a last line that was cut off is removed."""
    if not path.exists():
        return set()
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        path.write_bytes(whole)
    return {json.loads(line)["name"] for line in whole.splitlines()}


def main() -> None:
    """Relax what is not done."""
    arguments = parse_arguments()
    warnings.simplefilter("ignore")
    known, calculator = finished(arguments.output), None
    for name, text in split(arguments.file.read_text(encoding="utf-8"))[: arguments.n]:
        if name in known:
            continue
        if calculator is None:
            module, _, factory = arguments.calculator.partition(":")
            calculator = getattr(importlib.import_module(module), factory)()
        try:
            row = relax(text, calculator, not arguments.no_corrections)
        except Exception as error:  # each library fails in its own way; the structure then is not judged stable
            row = {"reason": f"{type(error).__name__}: {' '.join(str(error).split())}"}
        with arguments.output.open("a") as handle:
            handle.write(json.dumps({"name": name, **row}) + "\n")


if __name__ == "__main__":
    main()
