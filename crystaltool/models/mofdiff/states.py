"""What MOFDiff's networks are told and say: B MOFs, K places, E dimensions of an embedding, Z of the latent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Heads:
    """What the heads say of z.

    Args:
        k: standardised, size of the cell a block; (B, 6). n_blocks, n_metals: scores; (B, MAX_BLOCKS + 1).
        properties: standardised; (B, P).
    """

    k: Tensor
    n_blocks: Tensor
    n_metals: Tensor
    properties: Tensor


@dataclass(frozen=True)
class Places:
    """What stays the same while MOFs are denoised.

    Args:
        z: latent; (B, Z). guess: the head's k; (B, 6). mask: which places there are; (B, K).
    """

    z: Tensor
    guess: Tensor
    mask: Tensor

    @property
    def n_blocks(self) -> Tensor:
        """Blocks of each MOF; (B,)."""
        return self.mask.sum(1)


@dataclass(frozen=True)
class Noisy:
    """MOFs at a time of the process.

    Args:
        u: centres; (B, K, 3). e: embeddings; (B, K, E).
        k: deviation of the cell from the guess in units of `cell_residual`; (B, 6).
        t: time, 1 is noise; (B,).
    """

    u: Tensor
    e: Tensor
    k: Tensor
    t: Tensor


@dataclass(frozen=True)
class Denoised:
    """One call of the denoiser: normalised displacement (B, K, 3), embedding (B, K, E), k (B, 6), and two scores."""

    move: Tensor
    embeddings: Tensor
    k: Tensor
    kinds: Tensor
    connections: Tensor


@dataclass(frozen=True)
class CoarseSample:
    """What the network says of one MOF, all in numpy.

    Args:
        lattice: (3, 3), a along x. centres: fractional; (K, 3). embeddings: (K, E).
        kinds, connections: log probabilities; (K, n_kinds), (K, n_classes).
    """

    lattice: np.ndarray
    centres: np.ndarray
    embeddings: np.ndarray
    kinds: np.ndarray
    connections: np.ndarray


def centred(moves: Tensor, mask: Tensor) -> Tensor:
    """Moves (B, K, 3) without their mean: the origin is arbitrary, and no place outside the mask moves."""
    inside = mask[..., None]
    moves = moves * inside
    return (moves - moves.sum(1, keepdim=True) / mask.sum(1)[:, None, None]) * inside


def transform(values):
    """Properties on the scale where heads predict them: log(1 + x), which spreads small uptakes; array or tensor."""
    return values.clamp(min=0).log1p() if isinstance(values, Tensor) else np.log1p(np.maximum(values, 0))


def restore(values: Tensor) -> Tensor:
    """Inverse of `transform`."""
    return values.expm1().clamp(min=0)
