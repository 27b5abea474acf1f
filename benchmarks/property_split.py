"""Which labelled MOFs test the property heads: those with a linker that training never saw.

The split is by organic identity and not by row. A linker is held out by a hash of its identity, and every MOF with a
held-out linker is a test MOF; a share of the others, by a hash of the name, validates. Held-out linkers thus occur in
test MOFs alone. A test MOF of two linkers may share the other one with training, so the figures are also given for
the strict part, whose MOFs share no organic identity at all. Nodes and bridges (a bridging oxygen is in most rods)
are shared: they are few, and a test without known nodes would be another question.
"""

from __future__ import annotations

import hashlib

import numpy as np
from scipy.stats import rankdata

from crystaltool.mof.blocks import LINKER
from crystaltool.mof.table import MOFTable

TRAIN, VALIDATION, TEST = 0, 1, 2
HELD_OUT_PER_MILLE, VALIDATION_PER_MILLE = 45, 30
N_BOOTSTRAP = 2000


def per_mille(text: str) -> int:
    """A number from 0 to 999 that follows from the text alone."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") % 1000


def _places(table: MOFTable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """MOF, identity and kind of every place."""
    blocks = table.arrays["places/block"]
    owners = np.repeat(np.arange(len(table)), table.arrays["mofs/n_blocks"])
    return owners, table.arrays["blocks/identity"][blocks], table.arrays["blocks/kind"][blocks]


def property_split(table: MOFTable) -> np.ndarray:
    """TRAIN, VALIDATION or TEST for each MOF; shape (n_mofs,).

    A `split` among the table's properties, as the model's training file has it, is taken as it stands: the hash is one
    of names, and identities may have got other names since.
    """
    if "split" in table.properties:
        return table.properties["split"].astype(int)
    owners, identities, kinds = _places(table)
    held_out = np.array([per_mille(name) < HELD_OUT_PER_MILLE for name in table.identity_names])
    split = np.full(len(table), TRAIN)
    split[[per_mille(f"v{name}") < VALIDATION_PER_MILLE for name in table.names]] = VALIDATION
    split[owners[held_out[identities] & (kinds == LINKER)]] = TEST
    return split


def strict_test(table: MOFTable, split: np.ndarray) -> np.ndarray:
    """Whether a MOF is a test MOF none of whose organic identities is in a training MOF; shape (n_mofs,)."""
    owners, identities, kinds = _places(table)
    organic = kinds == LINKER
    known = np.unique(identities[organic & (split[owners] == TRAIN)])
    shares = np.zeros(len(table), dtype=bool)
    shares[owners[organic & np.isin(identities, known)]] = True
    return (split == TEST) & ~shares


def spearman(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's correlation along the last axis, ties at their mean rank; shape of the axes before."""
    ranks = [rankdata(each, axis=-1) for each in (first, second)]
    ranks = [(each - each.mean(axis=-1, keepdims=True)) / each.std(axis=-1, keepdims=True) for each in ranks]
    return (ranks[0] * ranks[1]).mean(axis=-1)


def rank_correlation(
    labels: np.ndarray,
    predictions: np.ndarray,
    others: np.ndarray | None = None,
    n: int = N_BOOTSTRAP,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Spearman's correlation with a 95 % bootstrap interval over MOFs; of several models, the mean of theirs.

    Args:
        labels: shape (n_mofs,).
        predictions: of one or more models, each judged alone on the same resampled MOFs; shape (n_models, n_mofs).
        others: of other models whose mean correlation is taken off; shape (n_others, n_mofs).
    """
    rows = np.random.default_rng(seed).integers(0, len(labels), (n, len(labels)))
    rows = np.concatenate([np.arange(len(labels))[None], rows])
    found = np.mean([spearman(labels[rows], each[rows]) for each in predictions], axis=0)
    if others is not None:
        found = found - np.mean([spearman(labels[rows], each[rows]) for each in others], axis=0)
    low, high = np.percentile(found[1:], [2.5, 97.5])
    return float(found[0]), float(low), float(high)
