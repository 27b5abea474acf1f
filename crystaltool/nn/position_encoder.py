"""What a network is told about space groups and Wyckoff positions: their operations, and a learned rest.

The learned vectors start at zero and are dropped at random in training, so that groups and positions that training
never saw (zero vectors) look like dropped ones and live on their operations alone.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from crystaltool.nn.layers import mlp

N_SITE_CODE = 195
N_GROUP_CODE = 404
N_GEOMETRY = 4 + 3 + 9 + 12


def position_features(
    multiplicity: Tensor, centring_order: Tensor, freedom: Tensor, rotation: Tensor, translation: Tensor
) -> Tensor:
    """Degrees of freedom (one-hot), multiplicities, operation 0 (translation as sines and cosines); shape (P, 28)."""
    primitive = multiplicity / centring_order
    counts = torch.stack([primitive.log() / 3, 1 / primitive, multiplicity.to(primitive.dtype).log() / 5], dim=1)
    angle = 2 * math.pi * torch.cat([translation, 2 * translation], dim=1)
    one_hot = nn.functional.one_hot(freedom, 4).to(rotation.dtype)
    return torch.cat([one_hot, counts, rotation.flatten(1), angle.sin(), angle.cos()], dim=1)


class PositionEncoder(nn.Module):
    """Vectors for all Wyckoff positions and all space groups.

    Args:
        width: length of the vectors.
        site_code: one-hot site symmetry of every position; shape (P, 195).
        geometry: `position_features` of every position; shape (P, 28).
        group_code: operations of every group; shape (230, 404).
        drop: probability with which training drops a learned vector.
    """

    site_code: Tensor
    geometry: Tensor
    group_code: Tensor

    def __init__(self, width: int, site_code: Tensor, geometry: Tensor, group_code: Tensor, drop: float = 0.2) -> None:
        super().__init__()
        self.register_buffer("site_code", site_code, persistent=False)
        self.register_buffer("geometry", geometry, persistent=False)
        self.register_buffer("group_code", group_code, persistent=False)
        self.position_map = mlp(N_SITE_CODE + N_GEOMETRY, 128, width)
        self.group_map = mlp(N_GROUP_CODE, 128, width)
        self.position_rest = nn.Embedding(len(site_code) + 1, width)
        self.group_rest = nn.Embedding(len(group_code), width)
        nn.init.zeros_(self.position_rest.weight)
        nn.init.zeros_(self.group_rest.weight)
        self.drop = drop
        self._kept: tuple[object, Tensor] | None = None

    def _rest(self, table: nn.Embedding, index: Tensor) -> Tensor:
        rest = table(index)
        if self.training and self.drop:
            rest = rest * (torch.rand(index.shape, device=rest.device) >= self.drop)[..., None]
        return rest

    def positions(self, index: Tensor) -> Tensor:
        """Vectors of positions; the index P (one past the last) means hidden; shape (..., width)."""
        hidden = index == len(self.site_code)
        found = index.masked_fill(hidden, 0)
        if torch.is_grad_enabled() and index.numel() < len(self.site_code):  # fewer vectors than positions
            known = self.position_map(torch.cat([self.site_code[found], self.geometry[found]], dim=-1))
        else:
            known = nn.functional.embedding(found, self._known())
        return known.masked_fill(hidden[..., None], 0.0) + self._rest(self.position_rest, index)

    def _known(self) -> Tensor:
        """What the map says of all positions, kept while the weights stay and no gradient is asked for; (P, width)."""
        weights = tuple((each.data_ptr(), each._version, each.dtype) for each in self.position_map.parameters())
        if torch.is_grad_enabled() or torch.is_autocast_enabled(self.geometry.device.type):
            return self.position_map(torch.cat([self.site_code, self.geometry], dim=1))
        if self._kept is None or self._kept[0] != weights:
            self._kept = weights, self.position_map(torch.cat([self.site_code, self.geometry], dim=1))
        return self._kept[1]

    def groups(self, index: Tensor) -> Tensor:
        """Vectors of groups (number minus one); shape (..., width)."""
        return self.group_map(self.group_code[index]) + self._rest(self.group_rest, index)
