"""Properties of MOFs by gradient boosting: `python benchmarks/property_baseline.py BLOCKS.h5 [-o TABLE.csv]`.

What the property heads must beat: scikit-learn's HistGradientBoostingRegressor on density, composition and cell, and
a stronger one that also counts blocks, on the split of `property_split.py`. Spearman's correlation on the labelled
test MOFs, the mean of five seeds with a bootstrap interval. `--model FILE.csv` (columns name and properties) judges a
model's predictions on the same MOFs and prints the difference on resampled ones.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from property_split import TEST, TRAIN, property_split, rank_correlation, strict_test
from pymatgen.core import Element

from crystaltool.mof.blocks import BRIDGE, LINKER, NODE
from crystaltool.mof.elements import METAL
from crystaltool.mof.table import MOFTable, read_mofs

PROPERTIES = ("co2_wc", "co2_015", "pld", "lcd", "density")
N_SEEDS = 5


def atom_counts(table: MOFTable) -> np.ndarray:
    """Atoms of each element in each cell; shape (n_mofs, 119)."""
    arrays = table.arrays
    blocks = np.repeat(np.arange(table.n_blocks), arrays["blocks/n_atoms"])
    by_block = np.zeros((table.n_blocks, 119))
    np.add.at(by_block, (blocks, arrays["blocks/numbers"]), 1)
    owners = np.repeat(np.arange(len(table)), arrays["mofs/n_blocks"])
    counts = np.zeros((len(table), 119))
    np.add.at(counts, owners, by_block[arrays["places/block"]])
    return counts


def cell(table: MOFTable) -> np.ndarray:
    """a, b, c in A, alpha, beta, gamma in degrees; shape (n_mofs, 6)."""
    lattice = table.arrays["mofs/lattice"]
    lengths = np.linalg.norm(lattice, axis=2)
    unit = lattice / lengths[:, :, None]
    cosines = [np.einsum("ij,ij->i", unit[:, i], unit[:, j]) for i, j in ((1, 2), (0, 2), (0, 1))]
    return np.column_stack([lengths, np.degrees(np.arccos(np.clip(cosines, -1, 1))).T])


def simple_features(table: MOFTable, target: str) -> np.ndarray:
    """Element fractions, cell, volume per atom and density; the last two not where density is to be foretold."""
    counts = atom_counts(table)
    n_atoms = counts.sum(axis=1)
    volumes = np.linalg.det(table.arrays["mofs/lattice"])
    masses = np.array([0.0, *(float(Element.from_Z(number).atomic_mass) for number in range(1, 119))])
    present = counts.any(axis=0)
    columns = [counts[:, present] / n_atoms[:, None], cell(table)]
    if target != "density":
        columns.append(np.column_stack([volumes / n_atoms, counts @ masses / volumes / 0.602214076]))
    return np.column_stack(columns)


def block_features(table: MOFTable) -> np.ndarray:
    """Counts of blocks, atoms, bonds and connection points by kind, fraction of metal, sizes; shape (n_mofs, 16)."""
    arrays = table.arrays
    blocks = arrays["places/block"]
    owners = np.repeat(np.arange(len(table)), arrays["mofs/n_blocks"])
    kinds = arrays["blocks/kind"][blocks]

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(owners, values, len(table))

    columns = []
    for kind in (NODE, LINKER, BRIDGE):
        here = (kinds == kind).astype(float)
        columns.append(total(here))
        columns += [total(here * arrays[f"blocks/n_{what}"][blocks]) for what in ("atoms", "bonds", "connections")]
    largest = np.zeros(len(table))
    np.maximum.at(largest, owners, arrays["blocks/n_atoms"][blocks])
    counts = atom_counts(table)
    n_atoms = counts.sum(axis=1)
    n_nets = np.zeros(len(table))
    np.maximum.at(n_nets, owners, arrays["places/nets"] + 1)
    metal = counts[:, np.flatnonzero(METAL)].sum(axis=1) / n_atoms
    return np.column_stack([*columns, largest, metal, n_atoms, n_nets])


def predictions(features: np.ndarray, values: np.ndarray, train: np.ndarray, n_seeds: int = N_SEEDS) -> np.ndarray:
    """Predictions for every MOF of models fitted to the labelled MOFs of `train`; shape (n_seeds, n_mofs)."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    rows = train & np.isfinite(values)
    found = []
    for seed in range(n_seeds):
        model = HistGradientBoostingRegressor(
            max_iter=500, learning_rate=0.06, early_stopping=True, max_features=0.5, random_state=seed
        )
        found.append(model.fit(features[rows], values[rows]).predict(features))
    return np.array(found)


def read_model(path: Path, table: MOFTable) -> dict[str, np.ndarray]:
    """A model's predictions by property, NaN for MOFs that it leaves out."""
    place = {name: index for index, name in enumerate(table.names)}
    found: dict[str, np.ndarray] = {}
    with path.open(newline="") as handle:
        for row in csv.DictReader(handle):
            for key in set(row) & set(PROPERTIES):
                found.setdefault(key, np.full(len(table), np.nan))[place[row["name"]]] = float(row[key])
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("blocks", type=Path, help="HDF5 file of kind mof-blocks with properties")
    parser.add_argument("--model", type=Path, help="predictions of a model to judge: name, co2_wc, ...")
    parser.add_argument("-o", "--output", type=Path, help="CSV for the baselines' predictions on the test MOFs")
    arguments = parser.parse_args()
    table = read_mofs(arguments.blocks)
    split = property_split(table)
    strict = strict_test(table, split)
    model = read_model(arguments.model, table) if arguments.model else {}
    kept = {"name": np.array(table.names)[split == TEST]}
    print("| property | test MOFs | n train | n | predicted from | Spearman | 95 % interval |")
    print("|---|---|---|---|---|---|---|")
    for key in PROPERTIES:
        values = table.properties[key]
        labelled = np.isfinite(values)
        simple = simple_features(table, key)
        counted = np.column_stack([simple, block_features(table)])
        candidates = {
            "density, composition, cell": predictions(simple, values, split == TRAIN),
            "the same and blocks": predictions(counted, values, split == TRAIN),
        }
        kept |= {f"{key} {name}": found.mean(axis=0)[split == TEST] for name, found in candidates.items()}
        if key in model:
            candidates["model"] = model[key][None]
        n_train = int((labelled & (split == TRAIN)).sum())
        for which, chosen in (("all", split == TEST), ("strict", strict)):
            rows = labelled & chosen & np.isfinite(model.get(key, values))
            for name, found in candidates.items():
                mean, low, high = rank_correlation(values[rows], found[:, rows])
                print(f"| {key} | {which} | {n_train} | {rows.sum()} | {name} | {mean:.3f} | {low:.3f} to {high:.3f} |")
                if name == "model":
                    best = candidates["the same and blocks"][:, rows]
                    more, low, high = rank_correlation(values[rows], found[:, rows], best)
                    print(f"| {key} | {which} | | {rows.sum()} | less that | {more:+.3f} | {low:+.3f} to {high:+.3f} |")
    if arguments.output:
        with arguments.output.open("w", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow(kept)
            writer.writerows(zip(*kept.values(), strict=True))


if __name__ == "__main__":
    main()
