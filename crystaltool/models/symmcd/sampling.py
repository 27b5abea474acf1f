"""Draw crystals from SymmCD: groups and orbit counts from the data, then sites, then geometry.

Everything random about item i is drawn beforehand from (seed, i), so the result does not depend on the batch it is in;
the networks run in float64, and what they give is rounded to a grid far coarser than the rounding errors of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crystaltool.asymunit import AsymUnit, expand
from crystaltool.batch import Batch
from crystaltool.checks.contacts import closest_contact
from crystaltool.diffusion import absorbing, gaussian, wrapped_normal
from crystaltool.diffusion.schedules import geometric
from crystaltool.errors import UsageError
from crystaltool.lattice import crystal_system_index
from crystaltool.models.symmcd.model import SymmCD
from crystaltool.models.symmcd.representation import free_components, to_units
from crystaltool.models.symmcd.supergroup import break_supergroups, has_supergroup, least_orbits
from crystaltool.symmetry.space_group import N_GROUPS

RESULT_GRID = 1e-6
"""Free coordinates and k are rounded to this: about 1e-5 A, a millionth of what float64 batches differ by."""

CLASH_DISTANCE = 0.5
"""Angstrom, the CDVAE rule's: a crystal with closer atoms is drawn again, while `SamplerConfig.attempts` allows."""

LARGEST_LOG_CHANGE = 2.0
"""Denoised components of log(cell) stay this close to their mean, a factor of 7: what the network says of a group that
it has never seen must still span a volume. In the 27,038 crystals of MP-20 train the largest is 1.1."""

FORWARD_SIZE = 32
"""Items of a forward pass, alike in size: pairs are padded to the square of the largest, so fewer waste less."""

LARGEST_SEED = 2**63 - 1
"""Seeds are half of a counter-based generator's key."""

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
    attempts: int = 4

    def __post_init__(self) -> None:
        if not (self.position_temperature > 0 and self.element_temperature > 0):
            raise UsageError("sampling temperatures must be above 0")
        if not 0 <= self.churn < math.inf:
            raise UsageError(f"churn is {self.churn}, expected at least 0")
        if not 0 < self.time_power < math.inf:
            raise UsageError(f"time_power is {self.time_power}, expected above 0")
        if self.attempts < 1:
            raise UsageError(f"{self.attempts} attempts at a structure, expected at least 1")

    @property
    def exact(self) -> bool:
        """Whether items are drawn until they have exactly their group."""
        return self.attempts > 1

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


@dataclass(frozen=True)
class ItemDraws:
    """All random numbers of one item.

    Args:
        group: space-group number minus one.
        n_orbits: M.
        position, element: uniform numbers, one a slot; (M,).
        element_order: the order in which slots get their elements; (M,).
        free_coords: uniform start of the coordinates; (M, 3).
        k: normal start of the cell; (6,).
        churn_coords, churn_k: normal noise of each geometry call; (calls, M, 3), (calls, 6).
        last_position: uniform, for the last slot's second draw where the first would leave a supergroup.
    """

    group: int
    n_orbits: int
    position: np.ndarray
    element: np.ndarray
    element_order: np.ndarray
    free_coords: np.ndarray
    k: np.ndarray
    churn_coords: np.ndarray
    churn_k: np.ndarray
    last_position: float


def orbit_distribution(counts: np.ndarray, group: int) -> np.ndarray:
    """p(M | G): the group's own counts; for a group never seen, those of its crystal system; else of all the data."""
    own = counts[group]
    if own.sum() == 0:
        own = counts[crystal_system_index(np.arange(1, N_GROUPS + 1)) == crystal_system_index(group + 1)].sum(0)
    return (own if own.sum() else counts.sum(0)) / (own.sum() or counts.sum())


def draw_item(
    counts: np.ndarray,
    groups: Sequence[int],
    seed: int,
    index: int,
    calls: int = 0,
    attempt: int = 0,
    exact: bool = False,
) -> ItemDraws:
    """The random numbers of item `index`.

    Args:
        counts: crystals with group g and M orbits; shape (230, n).
        groups: space-group numbers to take in turn; empty draws G from the data.
        seed, index: the item.
        calls: geometry calls.
        attempt: number of earlier draws of this item; group and number of orbits are those of the first.
        exact: at least as many orbits as a crystal of the group and no supergroup needs.
    """
    key = np.array([seed, index], dtype=np.uint64)
    rng = np.random.Generator(np.random.Philox(key=key))
    choice, size = rng.random(2)
    if groups:
        group = groups[index % len(groups)] - 1
    else:
        share = counts.sum(1).cumsum()
        group = int(np.searchsorted(share, choice * share[-1], side="right"))
    share = orbit_distribution(counts, group).cumsum()
    n_orbits = int(np.searchsorted(share, size * share[-1], side="right"))
    if exact:
        n_orbits = max(n_orbits, least_orbits(group + 1))
    if attempt:
        rng = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, attempt]))
    return ItemDraws(
        group=group,
        n_orbits=n_orbits,
        position=rng.random(n_orbits),
        element=rng.random(n_orbits),
        element_order=rng.permutation(n_orbits),
        free_coords=rng.random((n_orbits, 3)),
        k=rng.standard_normal(6),
        churn_coords=rng.standard_normal((calls, n_orbits, 3)),
        churn_k=rng.standard_normal((calls, 6)),
        last_position=rng.random(),
    )


def item_name(group: int, seed: int, index: int) -> str:
    """Block name of an item, such as `symmcd-sg225-s0-000017`; `group` is the space-group number minus one."""
    return f"symmcd-sg{group + 1}-s{seed}-{index:06d}"


def sample_symmcd(
    model: SymmCD, indices: Sequence[int], groups: Sequence[int], seed: int, config: SamplerConfig, batch_size: int
) -> Iterator[AsymUnit]:
    """Crystals of the given item numbers, in order, each named by its group, seed and number.

    Args:
        model: in float64 and evaluation mode for reproducible results.
        indices: item numbers.
        groups: space-group numbers, item i taking the i-th in turn; empty draws them from the data.
        seed: of all items.
        config: how to sample.
        batch_size: items at a time; never changes results.
    """
    counts = model.orbit_counts.cpu().double().numpy()
    for start in range(0, len(indices), batch_size):
        pending = list(indices[start : start + batch_size])
        best: dict[int, tuple[int, AsymUnit]] = {}
        for attempt in range(config.attempts):
            draws = {i: draw_item(counts, groups, seed, i, config.split()[2], attempt, config.exact) for i in pending}
            # Items of like size share a forward pass; the order of the output does not change.
            order = sorted(pending, key=lambda i: draws[i].n_orbits)
            for part in np.array_split(np.array(order), max(1, len(order) // FORWARD_SIZE)):
                items = part.tolist()
                names = [item_name(draws[i].group, seed, i) for i in items]
                batch = sample_batch(model, [draws[i] for i in items], config).to("cpu")
                for i, unit in zip(items, to_units(batch, names), strict=True):
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
    sizes = torch.tensor([d.n_orbits for d in draws])
    mask = torch.arange(int(sizes.max())) < sizes[:, None]

    def padded(field: Callable[[ItemDraws], np.ndarray], fill: float = 0.0) -> Tensor:
        rows = [torch.as_tensor(np.asarray(field(d), dtype=float)) for d in draws]
        out = torch.full((*mask.shape, *rows[0].shape[1:]), fill, dtype=torch.float64)
        for i, row in enumerate(rows):
            out[i, : len(row)] = row
        return out.to(model.device, model.dtype)

    batch = Batch(
        group=torch.tensor([d.group for d in draws]),
        k=torch.zeros(len(draws), 6),
        numbers=torch.zeros(mask.shape, dtype=torch.long),
        position=torch.zeros(mask.shape, dtype=torch.long),
        free_coords=torch.zeros(*mask.shape, 3),
        mask=mask,
    ).to(model.device, model.dtype)
    slot_order = torch.arange(mask.shape[1], device=model.device).expand(mask.shape)
    again = torch.tensor([d.last_position for d in draws]).to(model.device, model.dtype) if config.exact else None
    batch = _draw_positions(
        model, batch, padded(lambda d: d.position), slot_order, for_positions, config.position_temperature, again
    )
    order = padded(lambda d: d.element_order, 1e6).long()
    batch = _draw_elements(model, batch, padded(lambda d: d.element), order, for_elements, config.element_temperature)
    noise = GeometryNoise(
        padded(lambda d: d.free_coords),
        torch.as_tensor(np.stack([d.k for d in draws])).to(model.device, model.dtype),
        [padded(lambda d, call=call: d.churn_coords[call]) for call in range(for_geometry)],
        torch.as_tensor(np.stack([d.churn_k for d in draws], axis=1)).to(model.device, model.dtype),
    )
    return _denoise(model, batch, noise, config)


def _draw_positions(
    model: SymmCD,
    batch: Batch,
    uniform: Tensor,
    order: Tensor,
    calls: int,
    temperature: float,
    again: Tensor | None,
) -> Batch:
    """Reveal Wyckoff positions slot by slot; a position without freedom is used once.

    With `again`, uniform numbers for a second draw in the last slot, shape (B,), no supergroup is left that holds
    whatever elements and geometry are.
    """
    hidden, every = batch.mask.clone(), batch.mask
    position = batch.position.clone()
    for call in range(calls):
        if not hidden.any():
            break
        h = model.site_states(batch.replace(position=position), hidden, every)
        remaining = absorbing.reveal_count(hidden, calls - call)
        for _ in range(int(remaining.max())):
            # What is blocked changes with every draw, what the network said does not.
            state = batch.replace(position=position)
            logits, candidates = model.position_logits(h, state, hidden)
            slot = order.masked_fill(~hidden, order.shape[1] + 1).argmin(1)
            active = (remaining > 0) & hidden.any(1)
            rows = torch.arange(len(slot), device=slot.device)
            scores = logits[rows, slot] / temperature
            drawn = candidates[rows, absorbing.draw(scores, uniform[rows, slot])]
            if again is not None:
                last = active & (hidden.sum(1) == 1)
                drawn = break_supergroups(state, scores, candidates, drawn, slot, last, again)
            position[rows[active], slot[active]] = drawn[active]
            hidden = hidden.clone()
            hidden[rows[active], slot[active]] = False
            remaining = remaining - 1
    return batch.replace(position=position)


def _draw_elements(
    model: SymmCD, batch: Batch, uniform: Tensor, order: Tensor, calls: int, temperature: float
) -> Batch:
    """Reveal elements, each slot given the sites of all and the elements so far."""
    hidden = batch.mask.clone()
    none = torch.zeros_like(hidden)
    numbers = batch.numbers.clone()
    for call in range(calls):
        if not hidden.any():
            break
        h = model.site_states(batch.replace(numbers=numbers), none, hidden)
        drawn = absorbing.draw(model.sites.element_logits(h) / temperature, uniform) + 1
        count = absorbing.reveal_count(hidden, calls - call)
        rank = order.masked_fill(~hidden, 10**6).argsort(1).argsort(1)
        now = hidden & (rank < count[:, None])
        numbers = torch.where(now, drawn, numbers)
        hidden = hidden & ~now
    return batch.replace(numbers=numbers)


@dataclass(frozen=True)
class GeometryNoise:
    """Random numbers of a batch: uniform start of u (B, M, 3), normal start of k (B, 6), normal noise of every call."""

    u: Tensor
    k: Tensor
    churn_u: list[Tensor]
    churn_k: Tensor


def _denoise(model: SymmCD, batch: Batch, noise: GeometryNoise, config: SamplerConfig) -> Batch:
    """Coordinates and cell from pure noise: the stochastic sampler of Karras et al. (arXiv 2206.00364, algorithm 2).

    Euler steps along the probability flow, each from a noise level raised by a factor 1 + churn.
    """
    symmetry = model.symmetry()
    calls, churn = len(noise.churn_u), config.churn
    times = torch.linspace(1.0, 0.0, calls, device=model.device, dtype=model.dtype) ** config.time_power
    sigma_u = geometric(times, *model.config.coordinate_sigma)
    sigma_k = geometric(times, *model.config.cell_sigma)
    free = torch.arange(3, device=model.device) < symmetry.freedom[batch.position][..., None]
    free_k = free_components(symmetry.system[batch.group])
    u, k = noise.u * (free & batch.mask[..., None]), sigma_k[0] * noise.k * free_k
    mean, scale = model.cell_reference(batch)
    most_k = LARGEST_LOG_CHANGE / scale
    n = len(batch.group)
    for i in range(calls):
        now_u, now_k = sigma_u[i], sigma_k[i]
        if 0 < i < calls - 2 and churn > 0:
            now_u = (now_u * (1 + churn)).clamp(max=model.config.coordinate_sigma[1])
            now_k = (now_k * (1 + churn)).clamp(max=model.config.cell_sigma[1])
            added = (now_u**2 - sigma_u[i] ** 2).sqrt().expand(n)
            u = u + model.coordinate_noise(batch, noise.churn_u[i], added)
            k = k + (now_k**2 - sigma_k[i] ** 2).sqrt() * noise.churn_k[i] * free_k
        move, output = model.denoise_geometry(batch, u, k, now_u.expand(n), now_k.expand(n))
        k_0 = gaussian.denoise(k, now_k, output).clamp(-most_k, most_k)
        last = i == calls - 1
        ratio_u = torch.zeros_like(now_u) if last else sigma_u[i + 1] / now_u
        u = u + (1 - ratio_u) * now_u * wrapped_normal.score_scale(now_u[None]) * move
        k = k_0 if last else gaussian.ode_step(k, k_0, now_k, sigma_k[i + 1])
    # A drop of RESULT_GRID beside 0 or 1 is 0: the grid is the same from both sides.
    u = (u / RESULT_GRID).round() % round(1 / RESULT_GRID) * RESULT_GRID
    k = ((mean + scale * k) / RESULT_GRID).round() * RESULT_GRID
    return batch.replace(free_coords=u, k=k)
