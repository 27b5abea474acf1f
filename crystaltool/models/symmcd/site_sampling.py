"""Which Wyckoff positions are occupied, and by which elements: the categorical half of a sample.

Both are any-order absorbing diffusions. Under a request every token is drawn among those from which the rest can be
completed. What the network gave to these, multiplied over all tokens, is the importance weight of the draw: of several
one is taken in proportion to it (sampling, importance resampling; Rubin 1987), so that groups, numbers of orbits and
positions are drawn as the request makes them likely, not as they are without it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from crystaltool.batch import Batch
from crystaltool.diffusion import absorbing
from crystaltool.models.symmcd.draws import CHOOSES, SiteDraws, Turn, draw_item, item_generator
from crystaltool.models.symmcd.model import SymmCD
from crystaltool.models.symmcd.plan import Choice, Plan, first_position
from crystaltool.models.symmcd.supergroup import break_supergroups, positions_have_supergroup

LAST = 1e6
"""Place in the order of revealing behind all slots."""

OF_A_SUPERGROUP = 1000.0
"""Taken from the logarithm of the weight of positions that leave a supergroup: they stand where all do."""

FORWARD_SIZE = 64
"""Items of a forward pass, alike in size, where each has one candidate."""


def padded(rows: Sequence[np.ndarray], mask: Tensor, fill: float = 0.0) -> Tensor:
    """Rows of M values or vectors as one tensor in float64; shape (B, M, ...)."""
    tensors = [torch.as_tensor(np.asarray(row, dtype=float)) for row in rows]
    out = torch.full((*mask.shape, *tensors[0].shape[1:]), fill, dtype=torch.float64)
    for i, row in enumerate(tensors):
        out[i, : len(row)] = row
    return out


@torch.no_grad()
def draw_sites(
    model: SymmCD,
    draws: Sequence[SiteDraws],
    calls: tuple[int, int],
    temperatures: tuple[float, float] = (1.0, 1.0),
    plan: Plan | None = None,
    exact: bool = False,
) -> tuple[Batch, Tensor]:
    """Positions and elements of one batch, and the logarithm of each item's weight, 0 without conditions; (B,).

    Args:
        model: the networks.
        draws: random numbers of each item; what they fix is taken as it is, in all items or in none.
        calls: network calls for positions and for elements.
        temperatures: of the draws of positions and of elements.
        plan: what a request leaves open.
        exact: the last position breaks every supergroup that would hold whatever elements and geometry are.
    """
    sizes = torch.tensor([d.n_orbits for d in draws])
    mask = torch.arange(int(sizes.max())) < sizes[:, None]
    batch = Batch(
        group=torch.tensor([d.group for d in draws]),
        k=torch.zeros(len(draws), 6),
        numbers=torch.zeros(mask.shape, dtype=torch.long),
        position=torch.zeros(mask.shape, dtype=torch.long),
        free_coords=torch.zeros(*mask.shape, 3),
        mask=mask,
    ).to(model.device, model.dtype)

    def tensor(rows: Sequence[np.ndarray | None], fill: float = 0.0) -> Tensor:
        return padded([row for row in rows if row is not None], mask, fill).to(model.device, model.dtype)

    weight = torch.zeros(len(draws), device=model.device, dtype=model.dtype)
    if draws[0].positions is None:
        in_order = torch.arange(mask.shape[1], device=model.device).expand(mask.shape)
        again = torch.tensor([d.last_position for d in draws]).to(weight) if exact else None
        one = _Positions(model, plan, tensor([d.position for d in draws]), in_order, calls[0], temperatures[0], again)
        batch, weight = one.reveal(batch, weight)
    else:
        known = tensor([None if d.positions is None else d.positions + first_position(d.group) for d in draws])
        batch = batch.replace(position=known.long())
    if draws[0].numbers is None:
        order = tensor([d.element_order for d in draws], LAST).long()
        two = _Elements(model, plan, tensor([d.element for d in draws]), order, calls[1], temperatures[1], None)
        return two.reveal(batch, weight)
    return batch.replace(numbers=tensor([d.numbers for d in draws]).long()), weight


@dataclass(frozen=True)
class _Reveal(ABC):
    """One of the two diffusions: slots are revealed in their order, some with every network call.

    Args:
        uniform: a number for every slot; (B, M). order: in which slots are revealed; (B, M).
        again: for the last position's second draw where the first would leave a supergroup; (B,), None to leave it.
    """

    model: SymmCD
    plan: Plan | None
    uniform: Tensor
    order: Tensor
    calls: int
    temperature: float
    again: Tensor | None

    @abstractmethod
    def states(self, batch: Batch, hidden: Tensor) -> Tensor:
        """What one network call says of every slot."""

    @abstractmethod
    def scores(self, h: Tensor, batch: Batch, hidden: Tensor, slot: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of one slot of each item and what they stand for; (B, C) each."""

    @abstractmethod
    def open(self, plan: Plan, row: int, batch: Batch, hidden: Tensor, slot: int) -> np.ndarray | None:
        """Which of them the plan leaves open; (C,), None for all."""

    @abstractmethod
    def record(self, batch: Batch, rows: Tensor, slot: Tensor, value: Tensor) -> Batch:
        """The batch with one more value in some rows."""

    def reveal(self, batch: Batch, weight: Tensor) -> tuple[Batch, Tensor]:
        """Reveal all; `weight` is raised by the logarithm of what was open."""
        hidden = batch.mask.clone()
        rows = torch.arange(len(hidden), device=hidden.device)
        for call in range(self.calls):
            if not hidden.any():
                break
            h = self.states(batch, hidden)
            remaining = absorbing.reveal_count(hidden, self.calls - call)
            for _ in range(int(remaining.max())):
                # What is blocked changes with every draw, what the network said does not.
                slot = self.order.masked_fill(~hidden, LAST + 1).argmin(1)
                active = (remaining > 0) & hidden.any(1)
                scores, values = self.scores(h, batch, hidden, slot)
                scores = scores / self.temperature
                if self.plan is not None:
                    kept = self._masked(self.plan, scores, batch, hidden, slot, active)
                    gain = kept.logsumexp(1) - scores.logsumexp(1)
                    weight, scores = weight + torch.where(active, gain, 0.0), kept
                drawn = values[rows, absorbing.draw(scores, self.uniform[rows, slot])]
                if self.again is not None:
                    last = slot.masked_fill(~(active & (hidden.sum(1) == 1)), -1)
                    drawn = break_supergroups(batch, scores, values, drawn, last, self.again)
                batch = self.record(batch, rows[active], slot[active], drawn[active])
                hidden = hidden.clone()
                hidden[rows[active], slot[active]] = False
                remaining = remaining - 1
        return batch, weight

    def _masked(self, plan: Plan, scores: Tensor, batch: Batch, hidden: Tensor, slot: Tensor, active: Tensor) -> Tensor:
        closed = np.zeros(scores.shape, dtype=bool)
        for row in np.flatnonzero(active.cpu().numpy()).tolist():
            left = self.open(plan, row, batch, hidden, int(slot[row]))
            if left is not None:
                if not left.any():
                    raise AssertionError(f"nothing is left open in group {int(batch.group[row]) + 1}")
                closed[row, : len(left)] = ~left
        return scores.masked_fill(torch.from_numpy(closed).to(scores.device), float("-inf"))


class _Positions(_Reveal):
    """Wyckoff positions; one without free coordinates is used once."""

    def states(self, batch: Batch, hidden: Tensor) -> Tensor:
        return self.model.site_states(batch, hidden, batch.mask)

    def scores(self, h: Tensor, batch: Batch, hidden: Tensor, slot: Tensor) -> tuple[Tensor, Tensor]:
        logits, candidates = self.model.position_logits(h[torch.arange(len(slot)), slot][:, None], batch, hidden)
        return logits[:, 0], candidates

    def open(self, plan: Plan, row: int, batch: Batch, hidden: Tensor, slot: int) -> np.ndarray | None:
        group = int(batch.group[row])
        chosen = batch.position[row][batch.mask[row] & ~hidden[row]].cpu().numpy() - first_position(group)
        return plan.open_positions(group, int(batch.mask[row].sum()), chosen)

    def record(self, batch: Batch, rows: Tensor, slot: Tensor, value: Tensor) -> Batch:
        position = batch.position.clone()
        position[rows, slot] = value
        return batch.replace(position=position)


class _Elements(_Reveal):
    """Elements, each slot given the positions of all and the elements so far."""

    def states(self, batch: Batch, hidden: Tensor) -> Tensor:
        return self.model.sites.element_logits(self.model.site_states(batch, torch.zeros_like(hidden), hidden))

    def scores(self, h: Tensor, batch: Batch, hidden: Tensor, slot: Tensor) -> tuple[Tensor, Tensor]:
        logits = h[torch.arange(len(slot), device=slot.device), slot]
        return logits, torch.arange(1, logits.shape[1] + 1, device=slot.device).expand(logits.shape)

    def open(self, plan: Plan, row: int, batch: Batch, hidden: Tensor, slot: int) -> np.ndarray | None:
        group, used = int(batch.group[row]), batch.mask[row].cpu().numpy()
        positions = batch.position[row].cpu().numpy()[used] - first_position(group)
        numbers = np.where(hidden[row].cpu().numpy(), 0, batch.numbers[row].cpu().numpy())[used]
        return plan.open_elements(group, positions, numbers, slot)

    def record(self, batch: Batch, rows: Tensor, slot: Tensor, value: Tensor) -> Batch:
        numbers = batch.numbers.clone()
        numbers[rows, slot] = value
        return batch.replace(numbers=numbers)


@dataclass(frozen=True)
class SiteSettings:
    """How sites are drawn and chosen.

    Args:
        candidates: draws an item.
        calls: network calls for positions and for elements.
        temperatures: of the draws of positions and of elements.
    """

    candidates: int
    calls: tuple[int, int]
    temperatures: tuple[float, float] = (1.0, 1.0)


def choose_sites(
    model: SymmCD,
    plan: Plan,
    seed: int,
    begun: Mapping[int, Choice | None],
    turn: Turn,
    settings: SiteSettings,
) -> dict[int, tuple[int, SiteDraws]]:
    """Sites of some items: of several draws one by its weight; its number and the draw with what it gave.

    Of several candidates those of one item make one forward pass, so what comes out does not depend on the other items,
    whatever the precision; where an item has one, a pass has many items and wants double precision.

    Args:
        begun: by item, group and number of orbits where they are settled; None: every candidate has its own.
        turn: the attempt, and whether the last position breaks supergroups.
    """
    n_candidates = settings.candidates
    draws = [
        (i, draw_item(plan, seed, i, 0, Turn(turn.attempt, candidate), settled))
        for i, settled in begun.items()
        for candidate in range(n_candidates)
    ]
    weight, drawn = np.zeros(len(draws)), list(draws)
    for part in _passes(draws, n_candidates):
        restricting = plan if plan.has_conditions else None
        some = [draws[row][1] for row in part]
        batch, weights = draw_sites(model, some, settings.calls, settings.temperatures, restricting, turn.exact)
        if plan.guide is not None:
            weights = weights + plan.guide.log_weights(model, batch)
        for place, row in enumerate(part.tolist()):
            used = batch.mask[place].cpu().numpy()
            positions = batch.position[place].cpu().numpy()[used] - first_position(draws[row][1].group)
            numbers = batch.numbers[place].cpu().numpy()[used]
            drawn[row] = draws[row][0], replace(draws[row][1], positions=positions, numbers=numbers)
            weight[row] = float(weights[place])
            if turn.exact and positions_have_supergroup(draws[row][1].group + 1, tuple(sorted(positions.tolist()))):
                weight[row] -= OF_A_SUPERGROUP
    chosen = {}
    for start in range(0, len(draws), n_candidates):
        index = draws[start][0]
        share = weight[start : start + n_candidates]
        share = np.exp(share - share.max()).cumsum()
        uniform = item_generator(seed, index, turn.attempt, CHOOSES).random()
        candidate = int(np.searchsorted(share, uniform * share[-1], side="right"))
        chosen[index] = candidate, drawn[start + candidate][1]
    return chosen


def _passes(draws: Sequence[tuple[int, SiteDraws]], n_candidates: int) -> list[np.ndarray]:
    """Which draws share a forward pass."""
    rows = np.arange(len(draws))
    if n_candidates > 1:
        return np.split(rows, range(n_candidates, len(draws), n_candidates))
    order = sorted(rows.tolist(), key=lambda row: draws[row][1].n_orbits)
    return np.array_split(np.array(order), max(1, len(order) // FORWARD_SIZE))
