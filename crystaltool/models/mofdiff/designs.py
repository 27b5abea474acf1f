"""Designs in an HDF5 file: rows of nets and library blocks, and the property that was simulated of them.

`net`, `value` and `n_rows`, shape (n,), and `rows`, the library rows of all designs one after the other; attribute
`property`. The rows are those of the catalogue and library that the checkpoint holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crystaltool.errors import CheckpointError
from crystaltool.models.mofdiff.aimed import Design
from crystaltool.models.mofdiff.targets import Target
from crystaltool.training.checkpoint import replace_file

DESIGNS = "designs.h5"
PARENTS = 100


def write_designs(path: Path, designs: Sequence[Design], name: str) -> None:
    """Write a file whole, or leave the old one."""
    import h5py

    def write(part: Path) -> None:
        with h5py.File(part, "w") as file:
            file.attrs["property"] = name
            file["net"] = np.array([design.net for design in designs], dtype=np.int32)
            file["value"] = np.array([design.value for design in designs], dtype=np.float32)
            file["n_rows"] = np.array([len(design.rows) for design in designs], dtype=np.int32)
            file["rows"] = np.array([row for design in designs for row in design.rows], dtype=np.int32)

    replace_file(path, write)


def read_designs(path: Path) -> tuple[str, tuple[Design, ...]]:
    """The property and the designs of a file.

    Raises:
        CheckpointError: it is damaged.
    """
    import h5py

    try:
        with h5py.File(path) as file:
            name = str(file.attrs["property"])
            net, value, n_rows, rows = (np.asarray(file[key]) for key in ("net", "value", "n_rows", "rows"))
    except (OSError, KeyError) as error:
        raise CheckpointError(f"{path}: no designs ({' '.join(str(error).split())})") from None
    if not len(net) == len(value) == len(n_rows) or n_rows.sum() != len(rows):
        raise CheckpointError(f"{path}: designs of unequal length")
    parts = np.split(rows, np.cumsum(n_rows)[:-1])
    found = zip(net.tolist(), parts, value.tolist(), strict=True)
    return name, tuple(Design(one, tuple(part.tolist()), worth) for one, part, worth in found)


def nearest(designs: Sequence[Design], target: Target) -> tuple[Design, ...]:
    """The `PARENTS` that are largest, or nearest to the value that is asked for."""
    wanted = target.value
    order = sorted(designs, key=lambda one: -one.value if wanted is None else abs(one.value - wanted))
    return tuple(order[:PARENTS])
