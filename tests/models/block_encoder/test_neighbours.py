"""Nearest blocks of a library and the similarity of their fingerprints, against sets and loops; the loss of order."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from crystaltool.errors import UsageError
from crystaltool.models.block_encoder.checkpoint import load_block_encoder
from crystaltool.models.block_encoder.fit import fit_block_encoder
from crystaltool.models.block_encoder.library import Library
from crystaltool.models.block_encoder.model import BlockEncoderConfig, order_loss
from crystaltool.models.block_encoder.neighbours import fingerprints, nearest_identities, order_kept, tanimoto
from crystaltool.mof.blocks import LINKER
from crystaltool.mof.table import read_mofs, write_mofs
from tests.models.block_encoder.blocks import made_table, short_run, write_real_blocks


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The eighty real blocks with made embeddings: a vector an identity, a little aside for each conformer."""
    table = read_mofs(write_real_blocks(tmp_path_factory.mktemp("real") / "real.h5"))
    rng = np.random.default_rng(3)
    identity = table.arrays["blocks/identity"].astype(np.int64)
    vectors = rng.standard_normal((identity.max() + 1, 32))[identity] + 0.01 * rng.standard_normal((len(identity), 32))
    return Library(table, vectors.astype(np.float32), np.ones(len(identity), dtype=np.int64), "f" * 64)


def as_set(bits: np.ndarray) -> set[int]:
    return set(np.flatnonzero(np.unpackbits(bits)).tolist())


def test_similarities_are_those_of_sets_of_bits(known: Library) -> None:
    prints = fingerprints(known.blocks)
    found = tanimoto(prints[:6], prints[:9])
    for i in range(6):
        for j in range(9):
            one, other = as_set(prints[i]), as_set(prints[j])
            assert found[i, j] == pytest.approx(len(one & other) / len(one | other), abs=1e-6)
    assert np.isnan(tanimoto(prints[:1], np.zeros((1, prints.shape[1]), dtype=np.uint8))).all()


def test_one_neighbour_of_each_identity_of_the_same_kind_nearest_first(known: Library) -> None:
    identity = known.blocks.arrays["blocks/identity"].astype(np.int64)
    queries = [0, 7, 30]
    bits = fingerprints(known.blocks)
    found = nearest_identities(known, known.embeddings[queries], bits[queries], known.kinds[queries], 4)
    for query, neighbours in zip(queries, found, strict=True):
        apart = np.linalg.norm(known.embeddings - known.embeddings[query], axis=1)
        expected: dict[int, int] = {}
        for row in np.argsort(apart, kind="stable").tolist():
            if known.kinds[row] == known.kinds[query]:
                expected.setdefault(int(identity[row]), row)
        assert [one.row for one in neighbours] == list(expected.values())[:4]
        assert identity[neighbours[0].row] == identity[query] and neighbours[0].tanimoto == pytest.approx(1)
        np.testing.assert_allclose([one.distance for one in neighbours], apart[list(expected.values())[:4]], atol=1e-3)
    with pytest.raises(UsageError):
        nearest_identities(known, known.embeddings[:1], bits[:1], known.kinds[:1], 0)


def test_what_order_embeddings_keep_is_what_loops_find(known: Library) -> None:
    kept = order_kept(known, LINKER)
    identity, prints = known.blocks.arrays["blocks/identity"].astype(np.int64), fingerprints(known.blocks)
    linkers = known.kinds == LINKER
    rows = np.array([np.flatnonzero(linkers & (identity == k))[0] for k in np.unique(identity[linkers])])
    nearest, best = [], []
    for row in rows:
        others = rows[rows != row]
        similar = tanimoto(prints[[row]], prints[others])[0]
        nearest.append(similar[np.linalg.norm(known.embeddings[others] - known.embeddings[row], axis=1).argmin()])
        best.append(similar.max())
    assert kept["n"] == len(rows) > 10
    assert kept["nearest"] == pytest.approx(np.mean(nearest)) and kept["best"] == pytest.approx(np.mean(best))
    assert kept["random"] < kept["best"]


def test_the_loss_of_order_is_that_of_explicit_loops() -> None:
    rng = np.random.default_rng(0)
    vectors = torch.from_numpy(rng.standard_normal((7, 5)))
    similar = torch.from_numpy(rng.random((7, 7)))
    similar[1, 4] = similar[4, 1] = float("nan")
    identity = torch.tensor([0, 0, 1, 2, 3, 4, 5])
    scaled = ((vectors - vectors.mean(0)) / vectors.std(0)).numpy()
    terms = []
    for i in range(7):
        others = [j for j in range(7) if identity[i] != identity[j] and np.isfinite(float(similar[i, j]))]
        near = np.exp([-np.square(scaled[i] - scaled[j]).mean() / 0.4 for j in others])
        wanted = np.exp([float(similar[i, j]) / 0.2 for j in others])
        p, q = near / near.sum(), wanted / wanted.sum()
        terms.append(float((q * np.log(q / p)).sum()))
    assert float(order_loss(vectors, similar, identity, 0.2)) == pytest.approx(np.mean(terms), rel=1e-9)
    assert float(order_loss(vectors[:2], similar[:2, :2], identity[:2], 0.2)) == 0


def test_falling_along_it_puts_similar_blocks_next_to_each_other(known: Library) -> None:
    rows = np.flatnonzero(known.kinds == LINKER)
    prints = fingerprints(known.blocks)[rows]
    similar = torch.from_numpy(tanimoto(prints, prints))
    identity = torch.from_numpy(known.blocks.arrays["blocks/identity"].astype(np.int64)[rows])
    vectors = torch.from_numpy(known.embeddings[rows].astype(np.float64)).requires_grad_()
    optimiser = torch.optim.Adam([vectors], lr=0.05)
    before = order_kept(known, LINKER)
    for _ in range(150):
        optimiser.zero_grad()
        order_loss(vectors, similar, identity, 0.05).backward()
        optimiser.step()
    moved = known.embeddings.copy()
    moved[rows] = vectors.detach().numpy()
    after = order_kept(Library(known.blocks, moved, known.occurrences, known.weights_sha256), LINKER)
    assert before["nearest"] < 0.5 * (before["random"] + before["best"])
    assert after["nearest"] > 0.9 * after["best"]


def test_weights_out_of_range_are_refused() -> None:
    assert BlockEncoderConfig().order_weight == 0
    for wrong in ({"order_weight": -1.0}, {"order_temperature": 0.0}):
        with pytest.raises(UsageError):
            BlockEncoderConfig(**wrong)


def test_a_run_with_a_weight_has_this_loss_among_its_metrics(tmp_path: Path) -> None:
    table, data = made_table(), tmp_path / "blocks.h5"
    prints = np.random.default_rng(0).integers(0, 256, table.arrays["identities/ecfp4"].shape, dtype=np.uint8)
    write_mofs(data, replace(table, arrays=table.arrays | {"identities/ecfp4": prints}))
    plain = short_run(epochs=2)
    ordered = replace(plain, model=replace(plain.model, order_weight=2.0))
    first = {}
    for name, config in (("plain", plain), ("ordered", ordered)):
        fit_block_encoder(data, tmp_path / name, config, device="cpu", threads=1)
        first[name] = json.loads((tmp_path / name / "metrics.jsonl").read_text().splitlines()[0])
    assert "order" not in first["plain"] and first["ordered"]["order"] > 0
    more = first["ordered"]["loss"] - first["plain"]["loss"]  # the first step starts from the same weights
    assert more == pytest.approx(2 * first["ordered"]["order"], rel=1e-4)
    assert load_block_encoder(tmp_path / "ordered").model.config.order_weight == 2
