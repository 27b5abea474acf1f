"""RASPA3 as a judge of `crystaltool.measure.adsorption`: the same model, in a child process.

`CRYSTALTOOL_RASPA_PYTHON` names an interpreter that has raspalib; without it the running one must have it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crystaltool.crystal import Crystal
from crystaltool.lattice import matrix_to_parameters
from crystaltool.measure.adsorption.gases import BAR, Gas
from crystaltool.measure.adsorption.parameters import lennard_jones
from crystaltool.measure.adsorption.surroundings import CUTOFF, replicas
from crystaltool.measure.adsorption.uptake import framework_mass
from crystaltool.units import ATOMIC_MASS, SYMBOLS

CYCLES = 10000


def interpreter() -> str | None:
    """A Python that has raspalib, None if there is none."""
    named = os.environ.get("CRYSTALTOOL_RASPA_PYTHON")
    if named:
        return named
    return sys.executable if importlib.util.find_spec("raspalib") else None


def task_of(
    crystal: Crystal,
    gas: Gas,
    pressures: Sequence[float],
    temperature: float,
    charges: np.ndarray | None = None,
    cycles: int = CYCLES,
    seed: int = 0,
    ideal: bool = False,
) -> dict:
    """What `adsorption_worker.py` reads; pressures in bar, the gas without its quantum correction."""
    kinds = sorted({int(number) for number in crystal.numbers})
    guests = {site[0]: index for index, site in enumerate({site[0]: site for site in gas.sites}.values())}
    by_name = {site[0]: site for site in gas.sites}
    species = [(f"{name}_gas", gas.mass / len(gas.sites), *by_name[name][1:3]) for name in guests]
    species += [(SYMBOLS[kind], float(ATOMIC_MASS[kind]), *lennard_jones(kind)) for kind in kinds]
    lengths_angles = list(matrix_to_parameters(crystal.lattice))
    charges = np.zeros(crystal.n_atoms) if charges is None else charges - charges.mean()
    return {
        "gas": gas.name,
        "species": species,
        "molecule": [(guests[name], charge, place) for name, _, _, charge, place in gas.sites],
        "critical": (gas.critical_temperature, gas.critical_pressure, gas.acentric_factor),
        "cell": [*map(float, lengths_angles[:3]), *map(float, np.radians(lengths_angles[3:]))],
        "sites": [
            (len(guests) + kinds.index(int(number)), float(charge), *map(float, coords))
            for number, charge, coords in zip(crystal.numbers, charges, crystal.frac_coords % 1, strict=True)
        ],
        "replicas": replicas(crystal.lattice).tolist(),
        "cutoff": CUTOFF,
        "temperature": temperature,
        "pressures": [pressure * BAR for pressure in pressures],
        "fugacity_coefficients": [1.0 if ideal else None] * len(pressures),
        "cycles": cycles,
        "seed": seed + 1,
    }


def uptakes(
    crystal: Crystal, gas: Gas, pressures: Sequence[float], temperature: float, **how: object
) -> list[tuple[float, float]]:
    """Uptake in mmol/g and its standard error at each pressure, by RASPA3.

    Raises:
        RuntimeError: RASPA3 is missing or failed.
    """
    python = interpreter()
    if python is None:
        raise RuntimeError("raspalib is not installed")
    worker = [python, str(Path(__file__).with_name("adsorption_worker.py"))]
    task = task_of(crystal, gas, pressures, temperature, **how)  # ty: ignore[invalid-argument-type]
    done = subprocess.run(worker, input=json.dumps(task), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"RASPA3 failed: {done.stderr.strip().splitlines()[-1:]}")
    found = json.loads(done.stdout.strip().splitlines()[-1])["molecules"]
    to_amount = 1000 / (framework_mass(crystal) * float(np.prod(replicas(crystal.lattice))))
    return [(mean * to_amount, error * to_amount) for mean, error in found]
