"""Templates to fill: space groups with their occupied Wyckoff positions, and how often known crystals have them.

A checkpoint has those of its training data beside its weights, in `templates.npz`: p(G, M) stands in the weights, and
what goes on from there must be of the same crystals. The 27,038 of MP-20 train take 15 kB.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from crystaltool.asymunit import AsymUnitTable
from crystaltool.errors import CheckpointError
from crystaltool.symmetry.space_group import N_GROUPS, tables

TEMPLATES = "templates.npz"
"""File of a checkpoint folder."""

Templates = tuple[tuple[int, tuple[int, ...], int], ...]
"""Space-group number, sorted position of each orbit (0 = a), number of crystals; most frequent first."""


def count_templates(found: Iterable[tuple[int, Iterable[int]]]) -> Templates:
    """The templates of crystals given as space-group number and position of each orbit."""
    counted = Counter((int(group), tuple(sorted(map(int, positions)))) for group, positions in found)
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return tuple((group, positions, count) for (group, positions), count in ordered)


def table_templates(table: AsymUnitTable) -> Templates:
    """The templates of a data set."""
    ends = np.cumsum(table.n_orbits)
    positions = np.split(table.positions, ends[:-1]) if len(table) else []
    return count_templates(zip(table.group.tolist(), (rows.tolist() for rows in positions), strict=True))


def write_templates(path: Path, templates: Templates) -> None:
    """Write `templates.npz`."""
    groups, rows, counts = zip(*templates, strict=True) if templates else ((), (), ())
    with open(path, "wb") as handle:
        np.savez_compressed(
            handle,
            group=np.array(groups, dtype=np.uint8),
            count=np.array(counts, dtype=np.uint32),
            n_orbits=np.array([len(row) for row in rows], dtype=np.uint16),
            positions=np.array([index for row in rows for index in row], dtype=np.uint8),
        )


def read_templates(directory: Path) -> Templates:
    """The templates of a checkpoint's training data.

    Raises:
        CheckpointError: the folder has none (it was made before templates were kept), or the file is damaged.
    """
    path = directory / TEMPLATES
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; give the training structures instead: --template FILE")
    try:
        with np.load(path, allow_pickle=False) as data:
            group, count, n_orbits, positions = (
                data[name].astype(np.int64) for name in ("group", "count", "n_orbits", "positions")
            )
    except Exception as error:  # zip, zlib and numpy have errors of their own, and a damaged file may raise any
        raise CheckpointError(f"{path}: not a file of templates ({' '.join(str(error).split())})") from error
    shapes = group.shape == count.shape == n_orbits.shape and group.ndim == positions.ndim == 1
    if not shapes or (n_orbits < 1).any() or n_orbits.sum() != len(positions):
        raise CheckpointError(f"{path}: its arrays do not fit together")
    if (group < 1).any() or (group > N_GROUPS).any() or (count < 1).any():
        raise CheckpointError(f"{path}: a space group outside 1-{N_GROUPS} or a count below 1")
    if (positions < 0).any() or (
        positions >= tables()["n_positions"].astype(np.int64)[np.repeat(group, n_orbits) - 1]
    ).any():
        raise CheckpointError(f"{path}: a Wyckoff position that its group does not have")
    rows = np.split(positions, np.cumsum(n_orbits)[:-1])
    return tuple((g, tuple(row.tolist()), n) for g, row, n in zip(group.tolist(), rows, count.tolist(), strict=True))
