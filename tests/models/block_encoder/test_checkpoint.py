"""Checkpoints of the block encoder: what is wrong is one sentence; the shipped weights on blocks they never saw."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from crystaltool.errors import CheckpointError
from crystaltool.models.block_encoder import checkpoint
from crystaltool.models.block_encoder.checkpoint import LoadedBlockEncoder, load_block_encoder
from crystaltool.models.block_encoder.data import block_points
from crystaltool.models.block_encoder.embedding import embed_points
from crystaltool.models.block_encoder.model import DIAMETER_SCALE
from crystaltool.models.weights import find_checkpoint
from crystaltool.mof.table import MOFTable, read_mofs
from crystaltool.training.checkpoint import load_model, save_model
from tests.models.block_encoder.blocks import REAL_BLOCKS, SIZES, batch_of, trained_folder
from tests.models.tiny import only_shapes

INVARIANT = 1e-5
"""What the embedding is promised to keep under rotation, translation and another order of the atoms."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_folder(tmp_path_factory.mktemp("trained"), epochs=1)


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    for name in ("config.json", "model.safetensors"):
        shutil.copy(trained / name, tmp_path / name)
    return tmp_path


def assert_refused(folder: Path, words: str) -> None:
    with pytest.raises(CheckpointError, match=words) as caught:
        load_block_encoder(folder)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_what_was_saved_is_loaded(folder: Path) -> None:
    loaded = load_block_encoder(folder)
    assert loaded.model.config == SIZES and loaded.model.dtype == torch.float64 and not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert loaded.sha256 == json.loads((folder / "config.json").read_text())["sha256"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(model="symmcd"), "holds a 'symmcd' model"),
        (lambda c: c.update(sha256="0" * 64), "sha256"),
        (lambda c: c.update(config=3), "no sizes of a block encoder"),
        (lambda c: c["config"]["model"].update(pages=3), "no sizes of a block encoder"),
        (lambda c: c["config"]["model"].update(cutoff=-1), "no sizes of a block encoder"),
        (lambda c: c["config"]["model"].update(width="16"), "no sizes of a block encoder"),
        (lambda c: c["config"]["model"].update(width=10**8), "do not fit"),
        (lambda c: c["config"]["model"].update(n_layers=10**9), "do not fit"),
        (lambda c: c["config"]["model"].update(n_near_layers=1), "do not fit"),
        (lambda c: c["config"]["model"].update(projection=10**9), "do not fit"),
        (lambda c: c["config"]["model"].update(n_functions=9), "do not fit"),
        (lambda c: c["config"]["model"].update(pair_width=10**9), "do not fit"),
        (lambda c: c["config"]["model"].update(width=10**30), "do not fit"),
    ],
)
def test_a_config_of_something_else_is_refused(folder: Path, change: Callable, words: str) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))
    assert_refused(folder, words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensors: tensors["embedding_mean"].__setitem__(3, float("nan")), "not finite"),
        (lambda tensors: tensors.pop("embedding_scale"), "do not fit"),
        (lambda tensors: tensors.update(extra=torch.zeros(3)), "do not fit"),
        (lambda tensors: tensors.update({"embedding_mean": torch.zeros(31)}), "do not fit"),
    ],
)
def test_weights_of_another_shape_are_refused(folder: Path, change: Callable, words: str) -> None:
    config, tensors = load_model(folder, "blocks")
    change(tensors)
    save_model(folder, {name: value for name, value in config.items() if name != "sha256"}, tensors)
    assert_refused(folder, words)


@pytest.mark.parametrize(
    ("sizes", "tensors"),
    [
        ({"projection": 10**6}, {"project.0.bias": torch.ones(10**6)}),
        ({"n_layers": 10**4}, {f"network.layers.{layer}.norm": torch.ones(0) for layer in range(10**4)}),
    ],
)
def test_sizes_that_some_tensors_pretend_to_have_are_not_tried(
    folder: Path, monkeypatch: pytest.MonkeyPatch, sizes: dict, tensors: dict
) -> None:
    config, stored = load_model(folder, "blocks")
    config["config"]["model"].update(sizes)
    save_model(folder, {name: value for name, value in config.items() if name != "sha256"}, stored | tensors)
    monkeypatch.setattr(checkpoint, "BlockEncoder", only_shapes(checkpoint.BlockEncoder))
    assert_refused(folder, "do not fit")


# ---- the shipped weights


@pytest.fixture(scope="module")
def shipped() -> LoadedBlockEncoder:
    return load_block_encoder(find_checkpoint("blocks"))


@pytest.fixture(scope="module")
def real() -> MOFTable:
    return read_mofs(REAL_BLOCKS)


def test_blocks_of_unknown_identity_find_their_sibling(shipped: LoadedBlockEncoder, real: MOFTable) -> None:
    """Two conformers of each of forty identities that training never saw."""
    vectors = embed_points(shipped.model, block_points(real))
    distance = np.linalg.norm(vectors[:, None] - vectors[None], axis=2) + np.where(np.eye(len(vectors)), np.inf, 0.0)
    nearest = distance.argmin(axis=1)
    identity = real.arrays["blocks/identity"]
    assert len(vectors) == 80 and (identity[nearest] == identity).mean() >= 0.95
    connections = real.arrays["blocks/n_connections"]
    assert (connections[nearest] == connections).all()


def test_counts_and_diameter_are_read_from_the_embedding(shipped: LoadedBlockEncoder, real: MOFTable) -> None:
    points = block_points(real)
    model = shipped.model
    heads = model.heads(model.unwhiten(torch.from_numpy(embed_points(model, points))))
    assert (heads.n_connections.argmax(1).numpy() == points.n_connections).mean() >= 0.99
    assert (heads.n_atoms.argmax(1).numpy() == points.n_atoms).mean() >= 0.95
    diameters = np.array([real.block(row).diameter for row in range(80)])
    assert np.abs(heads.diameter.numpy() * DIAMETER_SCALE - diameters).mean() < 0.5


@pytest.mark.parametrize("mirror", [1, -1], ids=["rotation", "reflection"])
def test_embeddings_do_not_depend_on_pose_place_or_order(
    shipped: LoadedBlockEncoder, real: MOFTable, mirror: int
) -> None:
    rng = np.random.default_rng(0)
    blocks = [real.block(row) for row in range(40)]
    moved = []
    for block in blocks:
        matrix = mirror * Rotation.random(random_state=rng).as_matrix()
        shift, order = 10 * rng.standard_normal(3), rng.permutation(block.n_atoms)
        place = np.argsort(order)
        moved.append(
            replace(
                block,
                numbers=block.numbers[order],
                cart_coords=block.cart_coords[order] @ matrix + shift,
                bonds=place[block.bonds][:, ::-1],
                connection_coords=block.connection_coords @ matrix + shift,
                connection_atoms=place[block.connection_atoms],
            )
        )
    before, after = shipped.model(batch_of(blocks)), shipped.model(batch_of(moved))
    assert float((after - before).abs().max()) < INVARIANT
    single = shipped.model.float()
    rounded = [single(batch_of(some).to("cpu", torch.float32)) for some in (blocks, moved)]
    shipped.model.double()
    assert float((rounded[1] - rounded[0]).abs().max()) < INVARIANT
