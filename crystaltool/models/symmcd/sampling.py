"""Draw crystals from SymmCD: groups and orbit counts from the data, then sites, then geometry.

Everything random about item i is drawn beforehand from (seed, i), so the result does not depend on the batch it is in;
the networks run in float64, and what they give is rounded to a grid far coarser than the rounding errors of a batch.
Where an item's sites are chosen among several candidates, these alone make a forward pass, in float32.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from crystaltool.asymunit import AsymUnit, expand
from crystaltool.batch import Batch
from crystaltool.checks.contacts import closest_contact
from crystaltool.diffusion import gaussian, wrapped_normal
from crystaltool.diffusion.karras import stochastic_euler
from crystaltool.diffusion.schedules import geometric
from crystaltool.errors import UsageError
from crystaltool.models.symmcd.draws import ItemDraws, Turn, draw_item, item_name
from crystaltool.models.symmcd.model import SymmCD
from crystaltool.models.symmcd.plan import Choice, Plan
from crystaltool.models.symmcd.preferences import DENSITY_EDGES
from crystaltool.models.symmcd.representation import free_components, to_units
from crystaltool.models.symmcd.request import Request
from crystaltool.models.symmcd.site_sampling import SiteSettings, choose_sites, draw_sites, padded
from crystaltool.models.symmcd.stability import Guide
from crystaltool.models.symmcd.supergroup import has_supergroup
from crystaltool.models.symmcd.wall import separate
from crystaltool.ranges import require_least

RESULT_GRID = 1e-6
"""Free coordinates and k are rounded to this: about 1e-5 A, a millionth of what float64 batches differ by."""

CLASH_DISTANCE = 0.5
"""Angstrom, the CDVAE rule's: a crystal with closer atoms is drawn again, while `SamplerConfig.attempts` allows."""

LARGEST_LOG_CHANGE = 2.0
"""Denoised components of log(cell) stay this close to their mean, a factor of 7: what the network says of a group that
it has never seen must still span a volume. In the 27,038 crystals of MP-20 train the largest is 1.1."""

FORWARD_SIZE, FORWARD_SIZE_OF_ATOMS = 32, 128
"""Items of a forward pass, alike in size: pairs are padded to the square of the largest, so fewer waste less. The
network on atoms makes blocks of its own of them, and wastes less of these if there are more to choose from."""

MIN_CALLS = 3
"""One call each for positions, elements and geometry."""


@dataclass(frozen=True)
class SamplerConfig:
    """How to sample.

    Args:
        calls: network calls a batch: an eighth for positions, a sixth for elements, the rest for geometry.
        churn: before each geometry call but the last two the noise is raised from sigma to (1 + churn) sigma, which
            lets later calls mend what earlier ones did (Karras et al., arXiv 2206.00364, algorithm 2).
        time_power: geometry calls lie at times t^time_power, t evenly spaced: above 1 more of them see little noise.
        position_temperature, element_temperature: below 1 sharpens the categorical draws.
        site_candidates: choices of group, positions and elements of which an item takes one by its weight, where a
            request asks for more than groups or stability is aimed at; 1 takes the first.
        formula_candidates: the same where it asks for a formula, which few choices make likely.
        above_hull: where sites are to lead: crystals at most so far above the hull, eV/atom; empty leads nowhere. One
            number; needs a model with a stability network.
        guidance: power of the probability by which sites are chosen under `above_hull`.
        new_template, neutral, n_elements, density: what else sites are preferred for under `above_hull`, see
            `Preferences`.
        apart: atoms nearer than so many times LeMat-GenBench's least distance are pushed apart (`Wall`); 0
            leaves them.
        attempts: how often an item is drawn at most, until no atoms are within `CLASH_DISTANCE` and its group is the
            one asked for, not a supergroup; 1 gives raw samples, any positions and as many orbits as the data have.

    Raises:
        UsageError: on a number outside its range.
    """

    calls: int = 50
    churn: float = 1.5
    time_power: float = 1.5
    position_temperature: float = 1.0
    element_temperature: float = 1.0
    site_candidates: int = 8
    formula_candidates: int = 32
    above_hull: tuple[float, ...] = ()
    guidance: float = 1.0
    new_template: float = 0.0
    neutral: float = 0.0
    n_elements: tuple[float, ...] = ()
    density: tuple[float, ...] = ()
    apart: float = 0.0
    attempts: int = 4

    def __post_init__(self) -> None:
        if not (self.position_temperature > 0 and self.element_temperature > 0):
            raise UsageError("sampling temperatures must be above 0")
        require_least(self, 0, "churn", "guidance")
        if not 0 < self.time_power < math.inf:
            raise UsageError(f"time_power is {self.time_power}, expected above 0")
        if self.attempts < 1:
            raise UsageError(f"{self.attempts} attempts at a structure, expected at least 1")
        if len(self.above_hull) > 1 or not all(isinstance(each, int | float) for each in self.above_hull):
            raise UsageError(f"above_hull is {list(self.above_hull)}, expected one number of eV/atom or none")
        if not 0 <= self.apart < 2:
            raise UsageError(f"apart is {self.apart}, expected from 0 to 2")
        if not all(map(math.isfinite, (self.new_template, self.neutral, *self.n_elements, *self.density))):
            raise UsageError("new_template, neutral, n_elements and density must be finite numbers")
        if len(self.density) not in (0, len(DENSITY_EDGES) + 1):
            raise UsageError(f"density has {len(self.density)} factors, expected {len(DENSITY_EDGES) + 1} or none")
        if min(self.site_candidates, self.formula_candidates) < 1:
            raise UsageError("site_candidates and formula_candidates must be at least 1")

    @property
    def exact(self) -> bool:
        """Whether items are drawn until they have exactly their group."""
        return self.attempts > 1

    @property
    def temperatures(self) -> tuple[float, float]:
        """Of positions and of elements."""
        return self.position_temperature, self.element_temperature

    def split(self) -> tuple[int, int, int]:
        """Calls for positions, elements and geometry.

        Raises:
            UsageError: if there are fewer than one each.
        """
        if self.calls < MIN_CALLS:
            raise UsageError(f"{self.calls} network calls, expected at least {MIN_CALLS}")
        positions = max(1, self.calls // 8)
        elements = max(1, self.calls // 6)
        return positions, elements, self.calls - positions - elements


def plan_for(model: SymmCD, request: Request | None = None, guide: Guide | None = None) -> Plan:
    """What a request leaves open for a model, without one everything; and the guide that weighs it.

    Raises:
        UsageError: as `Plan`.
    """
    return Plan(model.orbit_counts.cpu().double().numpy(), request, guide)


def draw_items(
    model: SymmCD,
    plan: Plan,
    indices: Sequence[int],
    seed: int,
    config: SamplerConfig,
    before: Mapping[int, ItemDraws] | None = None,
) -> dict[int, ItemDraws]:
    """The random numbers of some items; under conditions or a guide with the sites that they gave.

    A guide alone changes no group and no number of orbits: these are drawn first, and all candidates have them.

    Args:
        before: what the attempt before drew, whose groups and numbers of orbits stay.
    """
    for_positions, for_elements, for_geometry = config.split()
    turn = Turn(before[indices[0]].attempt + 1 if before else 0, exact=config.exact)
    if not plan.has_conditions and plan.guide is None:
        return {i: draw_item(plan, seed, i, for_geometry, turn) for i in indices}
    begun: dict[int, Choice | None] = {i: before[i].begun if before else None for i in indices}
    if not plan.has_conditions and not before:
        begun = {i: draw_item(plan, seed, i, turn=turn).begun for i in indices}
    n = config.formula_candidates if plan.request.formula else config.site_candidates
    settings = SiteSettings(n if plan.weighs else 1, (for_positions, for_elements), config.temperatures)
    draws = {}
    for i, (candidate, sites) in choose_sites(model, plan, seed, begun, turn, settings).items():
        own = Turn(turn.attempt, candidate)
        drawn = draw_item(plan, seed, i, for_geometry, own, sites.begun)
        draws[i] = replace(drawn, positions=sites.positions, numbers=sites.numbers)
    return draws


def sample_symmcd(
    model: SymmCD, indices: Sequence[int], plan: Plan, seed: int, config: SamplerConfig, batch_size: int
) -> Iterator[AsymUnit]:
    """Crystals of the given item numbers, in order, each named by its group, seed and number.

    Args:
        model: in float64 and evaluation mode for reproducible results.
        indices: item numbers.
        plan: from `plan_for`.
        seed: of all items.
        config: how to sample.
        batch_size: items at a time; never changes results.
    """
    chooser = copy.deepcopy(model).float() if plan.weighs else model
    for start in range(0, len(indices), batch_size):
        pending = list(indices[start : start + batch_size])
        best: dict[int, tuple[int, AsymUnit]] = {}
        draws: dict[int, ItemDraws] = {}
        for _ in range(config.attempts):
            draws = draw_items(chooser, plan, pending, seed, config, draws)
            # Items of like size share a forward pass; the order of the output does not change.
            order = sorted(pending, key=lambda i: draws[i].n_orbits)
            at_a_time = FORWARD_SIZE_OF_ATOMS if model.config.geometry_heads else FORWARD_SIZE
            for part in np.array_split(np.array(order), max(1, len(order) // at_a_time)):
                items = part.tolist()
                names = [item_name(draws[i].group, seed, i) for i in items]
                batch = sample_batch(model, [draws[i] for i in items], config).to("cpu")
                for i, drawn in zip(items, to_units(batch, names), strict=True):
                    unit = separate(drawn, config.apart) if config.apart else drawn
                    found = faults(unit) if config.exact else 0
                    if i not in best or found < best[i][0]:
                        best[i] = found, unit
            pending = [i for i in pending if best[i][0]]
            if not pending:
                break
        yield from (best[i][1] for i in indices[start : start + batch_size])


def faults(unit: AsymUnit) -> int:
    """2 for a crystal with atoms on top of each other, 1 for one with a supergroup of its group, 0 for a good one."""
    return 2 if clashes(unit) else int(has_supergroup(unit))


def clashes(unit: AsymUnit) -> bool:
    """Whether two atoms, or an atom and an image, lie within `CLASH_DISTANCE`."""
    crystal = expand(unit)
    return closest_contact(crystal.lattice, crystal.frac_coords).distance < CLASH_DISTANCE


@torch.no_grad()
def sample_batch(model: SymmCD, draws: Sequence[ItemDraws], config: SamplerConfig) -> Batch:
    """One batch of crystals from their draws."""
    for_positions, for_elements, for_geometry = config.split()
    batch, _ = draw_sites(model, draws, (for_positions, for_elements), config.temperatures, exact=config.exact)

    def tensor(rows: list[np.ndarray]) -> Tensor:
        return padded(rows, batch.mask.cpu()).to(model.device, model.dtype)

    noise = GeometryNoise(
        tensor([d.free_coords for d in draws]),
        torch.as_tensor(np.stack([d.k for d in draws])).to(model.device, model.dtype),
        [tensor([d.churn_coords[call] for d in draws]) for call in range(for_geometry)],
        torch.as_tensor(np.stack([d.churn_k for d in draws], axis=1)).to(model.device, model.dtype),
    )
    return _denoise(model, batch, noise, config)


@dataclass(frozen=True)
class GeometryNoise:
    """Random numbers of a batch: uniform start of u (B, M, 3), normal start of k (B, 6), normal noise of every call."""

    u: Tensor
    k: Tensor
    churn_u: list[Tensor]
    churn_k: Tensor


def _denoise(model: SymmCD, batch: Batch, noise: GeometryNoise, config: SamplerConfig) -> Batch:
    """Coordinates and cell from pure noise, `stochastic_euler` with levels raised by a factor 1 + churn."""
    symmetry, calls = model.symmetry(), len(noise.churn_u)
    highest = torch.tensor([model.config.coordinate_sigma[1], model.config.cell_sigma[1]]).to(noise.u)
    times = torch.linspace(1.0, 0.0, calls, device=model.device, dtype=model.dtype) ** config.time_power
    levels = torch.stack(
        [geometric(times, *model.config.coordinate_sigma), geometric(times, *model.config.cell_sigma)], dim=1
    )
    free = torch.arange(3, device=model.device) < symmetry.freedom[batch.position][..., None]
    free_k = free_components(symmetry.system[batch.group])
    mean, scale = model.cell_reference(batch)
    most_k = LARGEST_LOG_CHANGE / scale
    n = len(batch.group)

    def raised(now: Tensor) -> Tensor:
        return (now * (1 + config.churn)).minimum(highest)

    def noisier(state: tuple[Tensor, Tensor], added: Tensor, call: int) -> tuple[Tensor, Tensor]:
        u = state[0] + model.coordinate_noise(batch, noise.churn_u[call], added[0].expand(n))
        return u, state[1] + added[1] * noise.churn_k[call] * free_k

    def step(state: tuple[Tensor, Tensor], now: Tensor, following: Tensor, call: int) -> tuple[Tensor, Tensor]:
        u, k = state
        move, output = model.denoise_geometry(batch, u, k, now[0].expand(n), now[1].expand(n))
        k_0 = gaussian.denoise(k, now[1], output).clamp(-most_k, most_k)
        u = u + (1 - following[0] / now[0]) * now[0] * wrapped_normal.score_scale(now[:1]) * move
        return u, gaussian.ode_step(k, k_0, now[1], following[1])

    start = noise.u * (free & batch.mask[..., None]), levels[0, 1] * noise.k * free_k
    u, k = stochastic_euler(start, levels, raised if config.churn > 0 else None, noisier, step)
    # A drop of RESULT_GRID beside 0 or 1 is 0: the grid is the same from both sides.
    u = (u / RESULT_GRID).round() % round(1 / RESULT_GRID) * RESULT_GRID
    k = ((mean + scale * k) / RESULT_GRID).round() * RESULT_GRID
    return batch.replace(free_coords=u, k=k)
