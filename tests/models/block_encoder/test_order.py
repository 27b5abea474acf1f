"""The order map: substructures against sets, its loss against loops, what a fitted one is good for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.embed import moved
from crystaltool.errors import CheckpointError, InputError, UsageError
from crystaltool.models.block_encoder.checkpoint import load_block_encoder
from crystaltool.models.block_encoder.data import BlockPoints, block_points
from crystaltool.models.block_encoder.fit_order import (
    OrderFitConfig,
    fit_map,
    fit_order,
    load_config,
    main,
    order_divergence,
)
from crystaltool.models.block_encoder.library import Library
from crystaltool.models.block_encoder.neighbours import identity_kept, most_similar, one_of_each, order_kept
from crystaltool.models.block_encoder.order import OrderConfig, load_order, order_vectors, scaled
from crystaltool.models.block_encoder.substructures import substructures
from crystaltool.models.weights import find_checkpoint
from crystaltool.mof.blocks import LINKER
from crystaltool.mof.table import MOFTable, TableBuilder, read_mofs, write_mofs
from tests.models.block_encoder.blocks import REAL_BLOCKS, made_block, made_table, write_library_blocks


@pytest.fixture(scope="module")
def real() -> MOFTable:
    return read_mofs(REAL_BLOCKS)


def neighbourhoods(points: BlockPoints, row: int) -> list[str]:
    """The neighbourhood of every heavy atom and radius 0 to 2 as nested text."""
    start, n = points.first_point[row], points.n_points[row]
    numbers = points.numbers[start : start + n].tolist()
    bonds = points.bonds[points.first_bond[row] : points.first_bond[row] + points.n_bonds[row]].tolist()
    near: list[list[int]] = [[] for _ in numbers]
    for i, j in bonds:
        near[i].append(j)
        near[j].append(i)
    heavy = {atom for atom in range(n) if numbers[atom] != 1}
    core = set(heavy)
    while loose := {atom for atom in core if sum(other in core for other in near[atom]) < 2}:
        core -= loose
    text = {
        atom: f"{numbers[atom]}.{len(near[atom])}.{sum(numbers[j] == 1 for j in near[atom])}.{atom in core}"
        for atom in heavy
    }
    found = list(text.values())
    for _ in range(2):
        text = {atom: f"{text[atom]}({','.join(sorted(text[j] for j in near[atom] if j in heavy))})" for atom in heavy}
        found += text.values()
    return found


def test_a_bit_for_every_neighbourhood(real: MOFTable) -> None:
    points = block_points(real)
    bits = substructures(points, np.arange(len(points)))
    texts = [set(neighbourhoods(points, row)) for row in range(len(points))]
    counts, distinct = bits.sum(1), np.array([len(some) for some in texts])
    assert (counts <= distinct).all() and (counts >= 0.9 * distinct).all()  # two may share a bit
    for i in range(0, len(points), 7):
        for j in range(len(points)):
            assert texts[i] != texts[j] or (bits[i] == bits[j]).all()
            shared = len(texts[i] & texts[j])
            assert (bits[i] & bits[j]).sum() >= 0.85 * shared


def test_substructures_do_not_depend_on_the_order_of_atoms_or_on_the_other_blocks(real: MOFTable) -> None:
    rng, builder = np.random.default_rng(0), TableBuilder()
    for row in range(10):
        builder.add_block(moved(real.block(row), rng, mirror=True))
    again = block_points(builder.table())
    points = block_points(real)
    assert (substructures(again, np.arange(10)) == substructures(points, np.arange(10))).all()
    assert (substructures(points, np.array([7])) == substructures(points, np.arange(20))[7]).all()


def test_rows_of_length_one_whose_products_are_cosines_of_sets() -> None:
    bits = np.array([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]], dtype=bool)
    rows = scaled(bits)
    assert rows @ rows.T == pytest.approx(np.array([[1, 2 / 8**0.5, 0], [2 / 8**0.5, 1, 0], [0, 0, 0]]))


def test_the_loss_is_that_of_explicit_loops() -> None:
    rng = np.random.default_rng(1)
    vectors, similar = rng.standard_normal((6, 3)), rng.random((6, 6))
    terms = []
    for i in range(6):
        others = [j for j in range(6) if j != i]
        near = np.exp([-np.square(vectors[i] - vectors[j]).sum() for j in others])
        wanted = np.exp([similar[i, j] / 0.2 for j in others])
        p, q = near / near.sum(), wanted / wanted.sum()
        terms.append((q * np.log(q / p)).sum())
    found = order_divergence(torch.from_numpy(vectors), torch.from_numpy(similar), 0.2)
    assert float(found) == pytest.approx(np.mean(terms), rel=1e-9)


def test_a_fitted_map_orders_blocks_that_it_never_saw() -> None:
    """Shipped blocks of other MOFs teach it; judged on linkers that are left out."""
    library = Library.load(find_checkpoint("mofdiff") / "library.h5")
    rows, prints = one_of_each(library.blocks)
    some = np.flatnonzero(library.kinds[rows] == LINKER)[:700]
    rows, prints = rows[some], prints[some]
    points = block_points(library.blocks)
    config = OrderFitConfig(OrderConfig(size=32), epochs=8, batch_size=128)
    model = fit_map(scaled(substructures(points, rows[:500])), prints[:500], config)
    found = most_similar(order_vectors(model.double(), points, rows), prints, np.arange(500, 700))
    assert found["n"] == 200
    assert found["nearest"] > found["random"] + 0.7 * (found["best"] - found["random"])


def test_the_shipped_map_orders_and_tells_identities_apart() -> None:
    loaded = load_block_encoder(find_checkpoint("blocks"))
    library = Library.load(find_checkpoint("mofdiff") / "library.h5")
    assert loaded.order is not None
    vectors = order_vectors(loaded.order, block_points(library.blocks))
    assert order_kept(library, LINKER, vectors=vectors)["nearest"] > 0.55
    assert order_kept(library, LINKER)["nearest"] < 0.35  # by embedding
    share, n = identity_kept(library.blocks, vectors)
    assert n > 500 and share > 0.95


def test_a_run_is_written_and_read(tmp_path: Path) -> None:
    config = OrderFitConfig(OrderConfig(size=8), epochs=2, batch_size=16)
    seen: list[int] = []
    data = write_library_blocks(tmp_path / "some.h5")
    measured = fit_order(data, tmp_path / "order", config, lambda progress: seen.append(progress.step))
    assert len(seen) == 2 and measured["identities"] + measured["held_out"] == 60
    loaded = load_order(tmp_path)
    assert loaded is not None and loaded.config.size == 8 and loaded.linear.weight.dtype == torch.float64
    assert json.loads((tmp_path / "order" / "config.json").read_text())["config"]["epochs"] == 2
    assert load_order(tmp_path / "order") is None
    again = fit_order(data, tmp_path / "again", config)
    assert again == measured and main([str(data), "-o", str(tmp_path / "b")]) == 0
    weights = tmp_path / "order" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(CheckpointError):
        load_order(tmp_path)


def test_what_cannot_be_fitted_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in ({"epochs": 0}, {"batch_size": 2}, {"learning_rate": 0.0}, {"temperature": 0.0}):
        with pytest.raises(UsageError):
            OrderFitConfig(**wrong)
    with pytest.raises(UsageError):
        OrderConfig(size=0)
    toml = tmp_path / "a.toml"
    for text in ("[loop]\nsteps = 3", "[fit]\nepochs = 0", "[fit]\nspeed = 1"):
        toml.write_text(text)
        with pytest.raises(UsageError):
            load_config(toml)
    toml.write_text("[fit]\nepochs = 3\n[model]\nsize = 5")
    assert load_config(toml).epochs == 3 and load_config(toml).model.size == 5
    builder = TableBuilder()
    builder.add_block(made_block(1, 0))
    write_mofs(tmp_path / "one.h5", builder.table())
    with pytest.raises(InputError, match="expected 3 or more"):
        fit_order(tmp_path / "one.h5", tmp_path / "x", OrderFitConfig())
    assert main([str(tmp_path / "none.h5"), "-o", str(tmp_path / "x")]) == 2
    assert "fit_order: ERROR" in capsys.readouterr().err


def test_identities_kept_are_counted_as_loops_count() -> None:
    table = made_table(5, 3)
    identity = table.arrays["blocks/identity"]
    vectors = np.random.default_rng(0).standard_normal((len(identity), 2))
    right = 0
    for row in range(len(identity)):
        apart = np.linalg.norm(vectors - vectors[row], axis=1)
        apart[row] = np.inf
        right += identity[apart.argmin()] == identity[row]
    assert identity_kept(table, vectors) == (pytest.approx(right / len(identity)), len(identity))
