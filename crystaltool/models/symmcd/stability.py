"""The third network of SymmCD: how stable crystals on some sites will be, and the guidance that it gives.

Sites are drawn before any geometry is. Of several draws one is taken in proportion to the probability that its crystal
lies at most so far above the hull: p(sites) becomes p(sites) p(stable | sites), which is p(sites | stable) up to a
constant (sampling, importance resampling; Rubin 1987). The network learns from labelled crystals of any source; those
drawn by the model itself and relaxed, sites as they were drawn, tell it what the geometry that follows makes of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from crystaltool.batch import Batch
from crystaltool.errors import InputError
from crystaltool.measure.hull import Hull, Shares, load_hull, shares_of
from crystaltool.models.symmcd.known_sites import KnownSites
from crystaltool.models.symmcd.model import SymmCD
from crystaltool.models.symmcd.preferences import Preferences
from crystaltool.nn.stability_network import EDGES, log_probability
from crystaltool.symmetry.space_group import tables

KNOWN = 100.0
"""Taken from the logarithm of the weight of sites that a training crystal has: they are taken where all are such."""

WITHOUT_HULL = -20.0
"""Logarithm of the weight of a composition that has no hull, for want of a reference energy of one of its elements."""


@dataclass(frozen=True)
class Guide:
    """What sites are worth.

    Args:
        above_hull: aim at crystals at most so far above the hull, eV/atom; one of `EDGES`.
        known: sites of the training data, which are passed over.
        hull: the known phases.
        strength: power of the probability; above 1 prefers what is surest (as the scale of classifier guidance,
            Dhariwal and Nichol, arXiv 2105.05233).
        preferences: what else sites are worth; None: nothing.
    """

    above_hull: float
    known: KnownSites
    hull: Hull
    strength: float = 1.0
    preferences: Preferences | None = None

    def log_weights(self, model: SymmCD, batch: Batch) -> Tensor:
        """Logarithm of the weight of each item's sites; shape (B,)."""
        hull, extra = [], []
        sites = (each.cpu().numpy() for each in (batch.group, batch.position, batch.numbers, batch.mask))
        for group, position, numbers, mask in zip(*sites, strict=True):
            energy = hull_energy(self.hull, composition(position[mask], numbers[mask]))
            first = int(tables()["first_position"][group])
            own = int(group) + 1, position[mask] - first, numbers[mask]
            hull.append(0.0 if energy is None else energy)
            preferred = self.preferences.log_weight(*own) if self.preferences else 0.0
            extra.append(preferred + (WITHOUT_HULL if energy is None else 0.0) - KNOWN * self.known.has(*own))
        with torch.no_grad():
            _, scores = model.stability_scores(batch, torch.tensor(hull, device=model.device, dtype=model.dtype))
            return self.strength * log_probability(scores, self.above_hull) + scores.new_tensor(extra)


def composition(position: np.ndarray, numbers: np.ndarray) -> Shares:
    """Shares of the elements, from the position (of all 1731) and atomic number of each orbit."""
    amounts: dict[int, int] = {}
    for number, count in zip(numbers.tolist(), tables()["multiplicity"][position].tolist(), strict=True):
        amounts[number] = amounts.get(number, 0) + int(count)
    return shares_of(amounts)


@lru_cache(maxsize=100_000)
def hull_energy(hull: Hull, shares: Shares) -> float | None:
    """The hull's formation energy at a composition, eV/atom; None where the hull has no reference of an element."""
    try:
        hull.require(np.array([number for number, _ in shares]))
        return hull.energy(shares) - hull.reference(shares)
    except InputError:
        return None


def guide_for(above_hull: float, known: KnownSites, strength: float, preferences: Preferences | None = None) -> Guide:
    """The guide towards a distance to the shipped hull, the nearest of `EDGES`."""
    return Guide(min(EDGES, key=lambda edge: abs(edge - above_hull)), known, load_hull(), strength, preferences)
