"""Sizes of SymmCD's networks and ends of its noise schedules."""

from __future__ import annotations

import math
from dataclasses import dataclass

from crystaltool.errors import UsageError
from crystaltool.ranges import require_ends, require_least


@dataclass(frozen=True)
class SymmCDConfig:
    """Sizes of the networks and ends of the noise schedules.

    Args:
        site_width, site_layers, site_heads, site_dropout: transformer of the sites.
        geometry_width, pair_width, geometry_layers: message passing of the geometry.
        geometry_heads: attention heads of the network on atoms; 0 is the network on orbits of earlier checkpoints.
        stability_width, stability_layers: transformer that judges sites; width 0 is a model without it.
        cutoff: Angstrom. n_functions: radial functions up to the cutoff.
        time_focus: half of the times of training lie between these two, the other half anywhere.
        coordinate_sigma: smallest and largest noise of the free coordinates, in units of their period.
        cell_sigma: smallest and largest noise of the standardised k.

    Raises:
        UsageError: on sizes or noise levels that no network can have.
    """

    site_width: int = 128
    site_layers: int = 5
    site_heads: int = 8
    site_dropout: float = 0.1
    geometry_width: int = 128
    pair_width: int = 64
    geometry_layers: int = 4
    cutoff: float = 5.0
    n_functions: int = 16
    geometry_heads: int = 0
    stability_width: int = 0
    stability_layers: int = 3
    time_focus: tuple[float, float] = (0.0, 1.0)
    coordinate_sigma: tuple[float, float] = (0.003, 0.5)
    cell_sigma: tuple[float, float] = (0.01, 10.0)

    def __post_init__(self) -> None:
        require_least(self, 1, "site_width", "site_layers", "site_heads", "geometry_width", "pair_width")
        require_least(self, 1, "geometry_layers", "stability_layers")
        require_least(self, 2, "n_functions")
        require_least(self, 0, "stability_width")
        if self.geometry_heads < 0 or (self.geometry_heads and self.geometry_width % self.geometry_heads):
            width = self.geometry_width
            raise UsageError(
                f"geometry_heads is {self.geometry_heads}, expected 0 or a divisor of geometry_width {width}"
            )
        low, high = self.time_focus if len(self.time_focus) == 2 else (1.0, 0.0)
        if not 0 <= low < high <= 1:
            raise UsageError(f"time_focus is {list(self.time_focus)}, expected two times between 0 and 1")
        if self.site_width % self.site_heads:
            raise UsageError(f"site_width {self.site_width} is not a multiple of site_heads {self.site_heads}")
        if self.stability_width % self.site_heads:
            raise UsageError(
                f"stability_width {self.stability_width} is not a multiple of site_heads {self.site_heads}"
            )
        if not 0 <= self.site_dropout < 1:
            raise UsageError(f"site_dropout is {self.site_dropout}, expected 0 to below 1")
        if not 0 < self.cutoff < math.inf:
            raise UsageError(f"cutoff is {self.cutoff}, expected a positive number of Angstrom")
        require_ends(self, "coordinate_sigma", "cell_sigma")
