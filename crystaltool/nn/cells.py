"""Cells as six numbers, differentiably: `crystaltool.lattice.k_to_matrix` for tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from crystaltool.lattice import LOG_BASIS


def log_basis(like: Tensor) -> Tensor:
    """`LOG_BASIS` as a tensor; shape (6, 3, 3)."""
    return torch.as_tensor(LOG_BASIS, dtype=like.dtype, device=like.device)


def symmetric_lattice(k: Tensor) -> Tensor:
    """exp(sum k_i B_i), the cell oriented so that its row matrix is symmetric; shape (..., 3, 3), Angstrom."""
    return torch.linalg.matrix_exp(torch.einsum("...i,ijk->...jk", k, log_basis(k)))
