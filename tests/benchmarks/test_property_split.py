"""The split by linker: held-out linkers stay out of training, whatever else a MOF is made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from property_baseline import PROPERTIES, block_features, cell, predictions, simple_features
from property_split import (
    HELD_OUT_PER_MILLE,
    TEST,
    TRAIN,
    VALIDATION,
    per_mille,
    property_split,
    rank_correlation,
    spearman,
    strict_test,
)
from scipy.stats import spearmanr

from crystaltool.mof.blocks import LINKER, NODE, BuildingBlock, CoarseMOF
from crystaltool.mof.table import tabulate


def block(kind, identity, numbers):
    n = len(numbers)
    return BuildingBlock(
        kind=kind,
        numbers=np.array(numbers),
        cart_coords=np.arange(3.0 * n).reshape(n, 3),
        bonds=np.zeros((0, 2), dtype=int),
        bond_orders=np.zeros(0),
        connection_coords=np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]),
        connection_atoms=np.array([0, 0]),
        identity=identity,
    )


def mof(name, linkers, metal="node", side=10.0):
    blocks = (block(NODE, metal, [30, 8]), *(block(LINKER, linker, [6, 6, 1, 8]) for linker in linkers))
    centres = np.arange(3.0 * len(blocks)).reshape(-1, 3) / 20
    return CoarseMOF(
        np.diag([side, side + 1.0, side + 2.0]), blocks, centres, name=name, properties={"co2_wc": side / 10}
    )


def names(held_out):
    return [text for text in (f"L{i}" for i in range(3000)) if (per_mille(text) < HELD_OUT_PER_MILLE) == held_out]


HIDDEN, KNOWN = names(True), names(False)
HIDDEN_NODE = next(f"node{i}" for i in range(3000) if per_mille(f"node{i}") < HELD_OUT_PER_MILLE)
MOFS = [
    *(mof(f"plain{i}", [KNOWN[i % 40]], side=8 + i % 7) for i in range(200)),
    mof("hidden", [HIDDEN[0], HIDDEN[0]]),
    mof("mixed", [HIDDEN[1], KNOWN[0]]),
    mof("hidden node", [KNOWN[1]], metal=HIDDEN_NODE),
]
TABLE = tabulate(MOFS)


def test_held_out_linkers_are_in_test_mofs_alone_and_nodes_do_not_count():
    split = property_split(TABLE)
    where = dict(zip(TABLE.names, split, strict=True))
    assert where["hidden"] == where["mixed"] == TEST and where["hidden node"] != TEST
    assert (split == TEST).sum() == 2
    for one, which in zip(MOFS, split, strict=True):
        linkers = {each.identity for each in one.blocks if each.kind == LINKER}
        assert bool(linkers & set(HIDDEN)) == (which == TEST)
    assert 0 < (split == VALIDATION).sum() < 20
    share = len(HIDDEN) / 3000
    assert share == pytest.approx(HELD_OUT_PER_MILLE / 1000, abs=0.015)


def test_the_split_does_not_depend_on_the_order_and_yields_to_one_in_the_file():
    order = np.random.default_rng(0).permutation(len(MOFS))
    shuffled = property_split(tabulate([MOFS[index] for index in order]))
    assert (shuffled == property_split(TABLE)[order]).all()
    given = np.arange(len(TABLE)) % 3
    assert (property_split(replace(TABLE, properties={"split": given.astype(float)})) == given).all()


def test_strict_test_mofs_share_no_linker_with_training():
    split = property_split(TABLE)
    split[[name in ("plain0", "plain40") for name in TABLE.names]] = TRAIN  # KNOWN[0] is in training
    strict = strict_test(TABLE, split)
    assert [TABLE.names[index] for index in np.flatnonzero(strict)] == ["hidden"]


def test_spearman_is_scipys_with_ties_and_the_interval_holds_it():
    rng = np.random.default_rng(1)
    first = rng.integers(0, 6, 80).astype(float)
    models = np.array([first + rng.normal(0, s, 80).round() for s in (1.0, 3.0)])
    for each in models:
        assert spearman(first, each) == pytest.approx(spearmanr(first, each).statistic)
    mean, low, high = rank_correlation(first, models)
    assert mean == pytest.approx(np.mean([spearmanr(first, each).statistic for each in models]))
    assert low < mean < high < 1 and high - low < 0.4
    more, low, high = rank_correlation(first, models[:1], models[1:])
    assert more > 0 and 0 < low < more < high


def test_features_are_those_of_the_cell():
    assert cell(TABLE)[0] == pytest.approx([8, 9, 10, 90, 90, 90])
    found = simple_features(TABLE, "co2_wc")
    volume, n_atoms, grams = 720.0, 6, 65.409 + 2 * 15.999 + 2 * 12.011 + 1.008
    assert found[0, -2:] == pytest.approx([volume / n_atoms, grams / volume / 0.602214], rel=1e-3)
    assert found[0, :4] == pytest.approx([1 / 6, 2 / 6, 2 / 6, 1 / 6])  # H, C, O, Zn
    assert simple_features(TABLE, "density").shape[1] == found.shape[1] - 2
    counted = block_features(TABLE)[TABLE.names.index("mixed")]
    assert counted[:8] == pytest.approx([1, 2, 0, 2, 2, 8, 0, 4])
    assert counted[-4:] == pytest.approx([4, 0.1, 10, 1])


def test_predictions_learn_from_training_rows_alone():
    pytest.importorskip("sklearn")
    values = TABLE.properties["co2_wc"].copy()
    train = property_split(TABLE) == TRAIN
    features = simple_features(TABLE, "co2_wc")
    found = predictions(features, values, train, n_seeds=1)
    assert spearmanr(found[0], values).statistic > 0.95
    values[~train] = np.nan
    assert (predictions(features, values, train, n_seeds=1) == found).all()
    assert set(PROPERTIES) == {"co2_wc", "co2_015", "pld", "lcd", "density"}
