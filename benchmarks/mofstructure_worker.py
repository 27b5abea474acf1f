"""Blocks by mofstructure, for `fragment_mofstructure.py`: run by the Python of an environment that has that package.

Reads JSON lines (`name`, `numbers`, `cart_coords`, `lattice` in A) from standard input; writes one for each: `blocks`,
the atoms of every block of its metal-oxo cut (`ligands_and_metal_clusters`), `bonds`, its pairs of neighbours before
the cut (atom, atom, cell of the second), and `cuts`, pairs between which it cut; or `error`.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys


def divide(task: dict) -> dict:
    """The blocks of one structure."""
    from ase import Atoms
    from mofstructure import mofdeconstructor

    atoms = Atoms(numbers=task["numbers"], positions=task["cart_coords"], cell=task["lattice"], pbc=True)
    _, _, offsets = mofdeconstructor.compute_ase_neighbour_with_offsets(atoms)
    blocks, cuts, *_ = mofdeconstructor.ligands_and_metal_clusters(atoms)
    return {
        "blocks": [sorted(int(atom) for atom in block) for block in blocks],
        "bonds": [(int(i), int(j), *map(int, cell)) for (i, j), cells in offsets.items() for cell in cells if i <= j],
        "cuts": [(int(i), int(j)) for i, j in cuts],
    }


def main() -> None:
    """One answer a line; what the package prints goes to standard error."""
    for line in sys.stdin:
        with contextlib.redirect_stdout(sys.stderr):
            task = json.loads(line)
            try:
                answer = divide(task)
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps({"name": task["name"], **answer}), flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
