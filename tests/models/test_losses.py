"""The losses: what a few hundred steps on the textbook crystals reach, what is never scored, bfloat16."""

from __future__ import annotations

import copy
import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch

from crystaltool.batch import Batch
from crystaltool.errors import UsageError
from crystaltool.models.symmcd import model as model_module
from crystaltool.models.symmcd.checkpoint import LoadedSymmCD
from crystaltool.models.symmcd.model import SymmCD, SymmCDConfig
from crystaltool.models.symmcd.representation import gather_statistics
from crystaltool.symmetry.space_group import tables
from tests.models.tiny import SIZES, batch_of, random_model, random_unit, small_table, textbook_table


def mean_losses(model: SymmCD, batch: Batch, n_draws: int = 20) -> dict[str, float]:
    """Each loss, averaged over draws of noise."""
    with torch.no_grad():
        logs = [model.loss(batch, torch.Generator().manual_seed(seed))[1] for seed in range(n_draws)]
    return {name: float(np.mean([log[name] for log in logs])) for name in logs[0]}


def chain_entropy() -> tuple[float, float]:
    """Mean over the textbook crystals of log(orders of the slots that look different), for positions and for elements.

    Group and number of orbits tell the crystals apart. What is left to chance: which of the slots, alike while all are
    hidden, takes which position; then which of those on one position takes which element.
    """

    def arrangements(labels: list) -> float:
        return math.lgamma(len(labels) + 1) - sum(math.lgamma(n + 1) for n in Counter(labels).values())

    sites, elements = 0.0, 0.0
    for unit in textbook_table():
        sites += arrangements(unit.positions.tolist())
        for position in set(unit.positions.tolist()):
            elements += arrangements(unit.numbers[unit.positions == position].tolist())
    return sites / len(textbook_table()), elements / len(textbook_table())


def test_overfitting_reaches_the_bounds(overfitted: LoadedSymmCD) -> None:
    """Sites and elements cost little more than their entropy; both geometry losses, 1 for the ignorant, fall below."""
    site_bound, element_bound = chain_entropy()
    batch = batch_of(textbook_table(), torch.float32)
    untrained = SymmCD(SIZES, gather_statistics(textbook_table())).eval()
    before, after = mean_losses(untrained, batch), mean_losses(copy.deepcopy(overfitted.model).float(), batch)
    assert before["element_nll"] > 5 * element_bound and before["site_nll"] > 4 * site_bound
    assert site_bound - 0.15 < after["site_nll"] < site_bound + 0.25
    assert element_bound - 0.5 < after["element_nll"] < element_bound + 0.7
    few = batch_of(small_table(), torch.float32)
    assert mean_losses(untrained, few)["coordinate_loss"] > 0.9
    learned = mean_losses(copy.deepcopy(overfitted.model).float(), few)
    assert learned["coordinate_loss"] < 0.8
    assert learned["cell_loss"] < 0.5


def test_groups_never_seen_keep_vectors_of_zero(overfitted: LoadedSymmCD) -> None:
    """So that they look like groups whose learned vector was dropped, and live on their operations."""
    for part, table in ((overfitted.model.sites, textbook_table()), (overfitted.model.geometry, small_table())):
        seen = torch.zeros(230, dtype=torch.bool)
        seen[table.group - 1] = True
        position_seen = torch.from_numpy(np.repeat(seen.numpy(), tables()["n_positions"]))
        assert not part.encoder.group_rest.weight[~seen].any()
        assert part.encoder.group_rest.weight[seen].abs().sum(1).min() > 0
        assert not part.encoder.position_rest.weight[:-1][~position_seen].any()
        assert part.encoder.position_rest.weight[:-1][position_seen].any()


def test_a_position_without_freedom_is_scored_once() -> None:
    """Group 225: a and b hold one orbit each, e (x, 0, 0) any number; other groups' positions are no candidates."""
    model = random_model()
    batch = batch_of([random_unit(225, [4, 4, 4, 4], np.random.default_rng(0))] * 3)
    first = int(tables()["first_position"][224])
    n = int(tables()["n_positions"][224])
    m = batch.mask.shape[1]
    position = torch.full((3, m), first + 4)
    position[0, 0], position[1, :2] = first, torch.tensor([first + 1, first])
    batch = batch.replace(position=position, mask=torch.ones(3, m, dtype=torch.bool))
    hidden = torch.zeros(3, m, dtype=torch.bool)
    hidden[:, -1] = True
    hidden[2, 0] = True  # what is hidden does not block
    batch.position[2, 0] = first
    h = model.site_states(batch, hidden, hidden)
    logits, candidates = model.position_logits(h, batch, hidden)
    open_to = torch.isfinite(logits)
    assert candidates[0, :n].tolist() == list(range(first, first + n))
    assert not open_to[:, :, n:].any()
    blocked = [[0], [0, 1], []]
    for row, letters in enumerate(blocked):
        for slot in range(m):
            assert (~open_to[row, slot, :n]).nonzero()[:, 0].tolist() == letters


def test_the_likelihood_of_the_chain_does_not_depend_on_padding() -> None:
    """A crystal of one orbit has one order: its losses are exactly those of the network, weight 1."""
    model = random_model()
    halite = textbook_table()[6]
    assert halite.name == "halite" and len(halite.numbers) == 2
    batch = batch_of([halite])
    with torch.no_grad():
        every = batch.mask
        h = model.site_states(batch, every, every)
        logits, candidates = model.position_logits(h, batch, every)
        truth = (candidates[:, None] == batch.position[..., None]).float().argmax(-1)
        expected = -logits.log_softmax(-1).gather(-1, truth[..., None])[..., 0][0]
        for seed in itertools.count():
            generator = torch.Generator().manual_seed(seed)
            hidden = model_module.absorbing.random_hidden(batch.mask, generator)
            elements_turn = torch.rand(1, generator=generator) < 0.5
            if hidden.all() and not elements_turn:
                break
        _, log = model.site_loss(batch, torch.Generator().manual_seed(seed))
    torch.testing.assert_close(log["site_nll"], expected.sum(), atol=1e-9, rtol=0)


def test_bfloat16_leaves_cells_distances_and_losses_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The flag is for the networks alone: linear solves do not exist in bfloat16, and distances would be wrong."""
    model = SymmCD(SIZES, gather_statistics(textbook_table())).eval()
    batch = batch_of(textbook_table(), torch.float32)
    seen: dict[str, set] = {"pairs": set(), "network": set()}
    original = model_module.orbit_pairs

    def watched(lattice, orbits, *rest):
        assert not torch.is_autocast_enabled("cpu")
        seen["pairs"] |= {lattice.dtype, orbits.representatives.dtype, orbits.atoms.dtype}
        return original(lattice, orbits, *rest)

    monkeypatch.setattr(model_module, "orbit_pairs", watched)
    for linear in (model.geometry.layers[0].left, model.sites.layers[0].qkv):
        linear.register_forward_hook(lambda module, arguments, output: seen["network"].add(output.dtype))
    _, log = model.loss(batch, torch.Generator().manual_seed(0))
    assert seen == {"pairs": {torch.float32}, "network": {torch.float32}}
    model.mixed_precision = True
    seen["network"].clear()
    rounded, rounded_log = model.loss(batch, torch.Generator().manual_seed(0))
    assert seen == {"pairs": {torch.float32}, "network": {torch.bfloat16}}
    assert rounded.dtype == torch.float32
    for name, value in log.items():
        assert float(rounded_log[name]) == pytest.approx(float(value), rel=0.03), name
    rounded.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients and all(bool(torch.isfinite(g).all()) and g.dtype == torch.float32 for g in gradients)


@pytest.mark.parametrize(
    "changes",
    [
        {"site_width": 100, "site_heads": 8},
        {"site_layers": 0},
        {"n_functions": 1},
        {"cutoff": float("nan")},
        {"site_dropout": 1.0},
        {"coordinate_sigma": (0.5, 0.003)},
        {"cell_sigma": (0.0, 10.0)},
        {"geometry_heads": 7},
        {"geometry_heads": -1},
        {"time_focus": (0.8, 0.3)},
    ],
    ids=str,
)
def test_sizes_that_no_network_has_are_refused(changes: dict) -> None:
    with pytest.raises(UsageError, match=next(iter(changes))):
        SymmCDConfig(**changes)
