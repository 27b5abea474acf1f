"""One framework, one gas, a few pressures: grand-canonical Monte Carlo with RASPA3 (`raspalib`), for `adsorption.py`.

Reads one JSON object from standard input and prints one as its last line. A process of its own, because a compiled
library may end the process it runs in, and because RASPA3 writes to standard output as it pleases.
"""

from __future__ import annotations

import json
import sys
import time
import warnings

NEVER = 10**9
STUDENT = 2.776
"""Half of a 95 % interval over standard error, for five blocks."""


def simulate(task: dict) -> list[tuple[float, float]]:
    """Mean number of molecules in the box and its standard error, at each pressure.

    Args:
        task: `species` (name, mass, epsilon in K, sigma in A of every atom type), `molecule` (species, charge, z in A),
            `critical` (temperature in K, pressure in Pa, acentric factor; not used where the fugacity is given),
            `cell` (a, b, c in A, alpha, beta, gamma in radians), `sites` (species, charge, fractional x, y, z),
            `replicas` (3), `cutoff` in A, `temperature` in K, `pressures` in Pa, `fugacity_coefficients` (null: Peng
            and Robinson by RASPA3), `cycles`, `seed`.
    """
    warnings.simplefilter("ignore")
    import raspalib

    guests = {index for index, _, _ in task["molecule"]}
    force_field = raspalib.ForceField(
        pseudo_atoms=[
            raspalib.PseudoAtom(name, index not in guests, mass, 0.0, 0.0, 6, False)
            for index, (name, mass, _, _) in enumerate(task["species"])
        ],
        parameters=[raspalib.VDWParameters(epsilon, sigma) for _, _, epsilon, sigma in task["species"]],
        mixing_rule=raspalib.ForceField.MixingRule.LORENTZ_BERTHELOT,
        cutoff_framework_vdw=task["cutoff"],
        cutoff_molecule_vdw=task["cutoff"],
        cutoff_coulomb=task["cutoff"],
        shifted=False,
        tail_corrections=False,
        use_charge=True,
    )
    molecule = [raspalib.Atom((0.0, 0.0, z), charge, 1.0, 0, index, 0) for index, charge, z in task["molecule"]]
    sites = [raspalib.Atom((x, y, z), q, 1.0, 0, index, 0, False, False) for index, q, x, y, z in task["sites"]]
    found = []
    for number, (pressure, coefficient) in enumerate(
        zip(task["pressures"], task["fugacity_coefficients"], strict=True)
    ):
        moves = raspalib.MCMoveProbabilities(
            translation_probability=0.5,
            rotation_probability=0.5 if len(molecule) > 1 else 0.0,
            reinsertion_cbmc_probability=0.5,
            swap_probability=1.0,
        )
        gas = raspalib.Component(
            force_field,
            task["gas"],
            *task["critical"],
            molecule,
            particle_probabilities=moves,
            fugacity_coefficient=coefficient,
        )
        framework = raspalib.Framework(
            force_field, "framework", raspalib.SimulationBox(*task["cell"]), 1, sites, task["replicas"]
        )
        system = raspalib.System(
            force_field,
            external_temperature=task["temperature"],
            external_pressure=pressure,
            helium_void_fraction=1.0,
            framework_components=framework,
            components=[gas],
            initial_number_of_molecules=[0],
        )
        cycles = task["cycles"]
        run = raspalib.MonteCarlo(
            number_of_cycles=cycles,
            number_of_initialization_cycles=cycles // 4,
            print_every=NEVER,  # ty: ignore[unknown-argument] # its stub names an older one
            write_binary_restart_every=NEVER,
            systems=[system],
            random_seed=task["seed"] + number,
        )
        run.run()
        mean, interval = run.systems[0].average_loadings.average_loading_number_of_molecules(0)
        found.append((mean, interval / STUDENT))
    return found


def main() -> None:
    """Read a task, print what was found."""
    task = json.load(sys.stdin)
    start = time.process_time()
    found = simulate(task)
    print("\n" + json.dumps({"molecules": found, "seconds": time.process_time() - start}))


if __name__ == "__main__":
    main()
