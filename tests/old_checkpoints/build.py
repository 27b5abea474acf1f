"""Make a tiny checkpoint of the present format and note what it computes.

    python -m tests.old_checkpoints.build

writes `MODEL-format-N.tar.gz` of every model, where it is not there yet, and its entry in `computed.json`. To be run
once for each new format; archives of released formats are never made again. The weights are few distinct numbers, so
that a million bytes pack into 60,000.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from crystaltool.batch import Batch
from crystaltool.models.block_encoder.checkpoint import load_block_encoder
from crystaltool.models.block_encoder.data import BlockBatch
from crystaltool.models.block_encoder.model import BlockEncoder, BlockEncoderConfig
from crystaltool.models.mofdiff.checkpoint import load_mofdiff
from crystaltool.models.mofdiff.config import MOFDiffConfig
from crystaltool.models.mofdiff.model import MOFDiff
from crystaltool.models.mofdiff.representation import N_DESCRIPTORS, CoarseBatch
from crystaltool.models.mofdiff.states import Noisy, Places
from crystaltool.models.symmcd.checkpoint import load_symmcd
from crystaltool.models.symmcd.model import SymmCD, SymmCDConfig
from crystaltool.models.symmcd.representation import Statistics
from crystaltool.training.checkpoint import FORMAT_VERSION, save_model

MODELS = ("symmcd", "symmcd-atoms", "blocks", "mofdiff")
OLD = Path(__file__).resolve().parent
COMPUTED = OLD / "computed.json"
SIZES = SymmCDConfig(
    site_width=8, site_layers=1, site_heads=2, geometry_width=8, pair_width=8, geometry_layers=1, n_functions=4
)
ATOM_SIZES = replace(SIZES, geometry_heads=2)
"""The geometry on single atoms, in float32 once it is loaded."""

BLOCK_SIZES = BlockEncoderConfig(width=8, pair_width=4, n_layers=2, n_near_layers=1, n_functions=4, projection=8)
COARSE_SIZES = MOFDiffConfig(
    n_latent=4,
    property_members=2,
    n_property_latent=2,
    property_width=8,
    width=8,
    pair_width=4,
    n_layers=1,
    encoder_layers=1,
    prior_width=8,
    prior_layers=1,
    n_functions=4,
    n_waves=2,
    properties=("density",),
)


def coarse_parameters(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Every weight one of -1, 0, 1 times a power of two that suits its fan-in."""
    rng = np.random.default_rng(1)
    tensors = {}
    for name, value in model.named_parameters():
        scale = 2.0 ** -np.ceil(np.log2(np.sqrt(value.shape[-1]) + 1))
        drawn = rng.integers(-1, 2, value.shape) * scale
        if "rest" in name:
            drawn[rng.random(len(drawn)) < 0.97] = 0.0
        tensors[name] = torch.from_numpy(drawn + (1.0 if "norm" in name and name.endswith("weight") else 0.0)).float()
    return tensors


def coarse_weights(model: SymmCD) -> dict[str, torch.Tensor]:
    """Coarse parameters and statistics of round numbers."""
    tensors = coarse_parameters(model)
    counts = np.zeros((230, 65))
    counts[224, 2], counts[61, 3] = 3, 1
    k_mean = np.zeros((7, 6))
    k_mean[:, 5] = 0.5
    statistics = Statistics(counts, np.full(95, 16.0), k_mean, np.full((7, 6), 0.25))
    return tensors | {name: torch.from_numpy(array).float() for name, array in asdict(statistics).items()}


def question() -> Batch:
    """Halite and cementite with fixed coordinates."""
    first_62, first_225 = 369, 1672
    position = torch.tensor([[first_225, first_225 + 1, 0], [first_62 + 3, first_62 + 2, first_62 + 2]])
    free = torch.zeros(2, 3, 3, dtype=torch.float64)
    free[1, 0] = torch.tensor([0.186, 0.063, 0.328])
    free[1, 1, :2], free[1, 2, :2] = torch.tensor([0.036, 0.852]), torch.tensor([0.89, 0.45])
    return Batch(
        group=torch.tensor([224, 61]),
        k=torch.zeros(2, 6, dtype=torch.float64),
        numbers=torch.tensor([[11, 17, 0], [26, 26, 6]]),
        position=position,
        free_coords=free,
        mask=torch.tensor([[True, True, False], [True, True, True]]),
    )


@torch.no_grad()
def answers(model: SymmCD) -> dict[str, list[float]]:
    """What both denoisers say about `question`."""
    batch = question()
    hidden = batch.mask & (torch.arange(3) == 1)
    h = model.site_states(batch, hidden, hidden)
    logits, _ = model.position_logits(h, batch, hidden)
    sigma = torch.tensor([0.05, 0.2], dtype=torch.float64)
    k = torch.full((2, 6), 0.3, dtype=torch.float64)
    move, k_output = model.denoise_geometry(batch, batch.free_coords, k, sigma, 4 * sigma)
    return {
        "position": logits[batch.mask][torch.isfinite(logits[batch.mask])].tolist(),
        "element": model.sites.element_logits(h)[batch.mask][:, ::9].flatten().tolist(),
        "move": move[batch.mask].flatten().tolist(),
        "k": k_output.flatten().tolist(),
    }


def block_question() -> BlockBatch:
    """A bent and a straight block with fixed coordinates."""
    coords = [[0, 0, 0], [1.4, 0, 0], [2.1, 1.2, 0.3], [-0.9, 0.4, 0.8], [0, 0, 0], [0, 0, 2.0], [0, 0, -1.0]]
    return BlockBatch(
        numbers=torch.tensor([6, 7, 8, 0, 30, 8, 0]),
        cart_coords=torch.tensor(coords, dtype=torch.float64),
        n_points=torch.tensor([4, 3]),
        n_atoms=torch.tensor([3, 2]),
        bonds=torch.tensor([[0, 1], [1, 2], [0, 3], [4, 5], [4, 6]]),
        bond_types=torch.tensor([0, 0, 1, 0, 1]),
    )


@torch.no_grad()
def block_answers(model: BlockEncoder) -> dict[str, list[float]]:
    """The embeddings of `block_question` and what is read from them."""
    embedding = model(block_question())
    heads = model.heads(model.unwhiten(embedding))
    return {
        "embedding": embedding.flatten().tolist(),
        "connections": heads.n_connections.flatten().tolist(),
        "diameter": heads.diameter.tolist(),
    }


def coarse_question() -> CoarseBatch:
    """A MOF of three blocks and one of two with fixed places."""
    places = torch.arange(6, dtype=torch.float64).view(2, 3, 1)
    return CoarseBatch(
        k=torch.tensor([[0.1, 0, -0.1, 0, 0.05, 2.4], [0, 0.1, 0, 0.1, 0, 2.2]], dtype=torch.float64),
        descriptors=torch.sin(torch.arange(2 * N_DESCRIPTORS, dtype=torch.float64)).view(2, -1),
        properties=torch.full((2, 1), torch.nan, dtype=torch.float64),
        centres=torch.remainder(places * torch.tensor([0.31, 0.17, 0.43]), 1.0),
        embeddings=torch.sin(places + torch.arange(32)),
        features=torch.cos(places + torch.arange(7)),
        kinds=torch.tensor([[0, 1, 2], [0, 1, 0]]),
        connections=torch.tensor([[6, 4, 2], [4, 4, 0]]),
        mask=torch.tensor([[True, True, True], [True, True, False]]),
    )


@torch.no_grad()
def coarse_answers(model: MOFDiff) -> dict[str, list[float]]:
    """What encoder, heads, prior and denoiser say about `coarse_question`."""
    batch = coarse_question()
    z, log_variance = model.encode(batch)
    heads = model.heads(z)
    t = torch.tensor([0.3, 0.7], dtype=torch.float64)
    noisy = Noisy(batch.centres, batch.embeddings, torch.full_like(batch.k, 0.5), t)
    out = model.denoise(Places(z, batch.k, batch.mask), noisy)
    return {
        "z": torch.cat([z, log_variance]).flatten().tolist(),
        "cell": heads.k.flatten().tolist(),
        "counts": torch.cat([heads.n_blocks, heads.n_metals], dim=1)[:, ::5].flatten().tolist(),
        "properties": model.properties_of_latent(z).flatten().tolist(),
        "prior": model.draw_latent(z, 2).flatten().tolist(),
        "move": out.move[batch.mask].flatten().tolist(),
        "k": out.k.flatten().tolist(),
        "embeddings": out.embeddings[batch.mask][:, ::9].flatten().tolist(),
        "kinds": out.kinds[batch.mask].flatten().tolist(),
        "connections": out.connections[batch.mask][:, ::7].flatten().tolist(),
    }


def computed(folder: Path) -> dict[str, list[float]]:
    """What the checkpoint in a folder computes."""
    kind = json.loads((folder / "config.json").read_text())["model"]
    if kind == "blocks":
        return block_answers(load_block_encoder(folder).model)
    if kind == "mofdiff":
        return coarse_answers(load_mofdiff(folder).model)
    return answers(load_symmcd(folder).model)


def make(model: str, folder: Path) -> None:
    """A tiny checkpoint of the present format."""
    record: dict[str, object] = {"model": model.removesuffix("-atoms"), "data": "made up"}
    if model == "blocks":
        statistics = {"embedding_mean": torch.full((32,), 0.5), "embedding_scale": torch.full((32,), 0.25)}
        sizes, tensors = BLOCK_SIZES, coarse_parameters(BlockEncoder(BLOCK_SIZES)) | statistics
    elif model == "mofdiff":
        statistics = {
            "k_mean": torch.tensor([0, 0, 0, -0.125, -0.125, 1.75]),
            "k_scale": torch.full((6,), 0.25),
            "descriptor_mean": torch.full((N_DESCRIPTORS,), 0.25),
            "descriptor_scale": torch.full((N_DESCRIPTORS,), 0.5),
            "property_mean": torch.full((1,), 0.5),
            "property_scale": torch.full((1,), 0.25),
        }
        sizes, tensors = COARSE_SIZES, coarse_parameters(MOFDiff(COARSE_SIZES)) | statistics
        record |= {"encoder_sha256": "e" * 64, "sampler": {"calls": 9}}
    else:
        sizes = ATOM_SIZES if model == "symmcd-atoms" else SIZES
        tensors = coarse_weights(SymmCD(sizes))
    save_model(folder, {**record, "config": {"model": asdict(sizes)}}, tensors)


def pack(folder: Path, archive: Path) -> None:
    """A tar.gz without times or owners."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("config.json", "model.safetensors"):
            info = tarfile.TarInfo(name)
            info.size = (folder / name).stat().st_size
            with open(folder / name, "rb") as handle:
                tar.addfile(info, handle)
    archive.write_bytes(gzip.compress(buffer.getvalue(), 9, mtime=0))


def unpack(archive: Path, target: Path) -> Path:
    """The folder of an archive, below `target`."""
    folder = target / archive.name.removesuffix(".tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


def main() -> None:
    """Write the archives of the present format that are not there yet."""
    known = json.loads(COMPUTED.read_text()) if COMPUTED.exists() else {}
    for model in MODELS:
        archive = OLD / f"{model}-format-{FORMAT_VERSION}.tar.gz"
        if archive.exists():
            continue
        with tempfile.TemporaryDirectory() as name:
            make(model, Path(name))
            pack(Path(name), archive)
            known[archive.name] = computed(Path(name))
    COMPUTED.write_text(json.dumps(known, indent=0) + "\n")


if __name__ == "__main__":
    main()
