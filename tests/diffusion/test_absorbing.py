"""Masked diffusion: what is hidden, how fast it is revealed, and the draw."""

from __future__ import annotations

import pytest
import torch

from crystaltool.diffusion.absorbing import draw, random_hidden, reveal_count


def test_hidden_counts_and_slots_are_uniform() -> None:
    """n is uniform on 1 ... M, and every slot is hidden equally often: (M + 1) / 2M of the time."""
    n = 6000
    counts = torch.arange(1, 7).repeat(n // 6)
    # Empty slots stand anywhere, not only at the end.
    mask = (torch.arange(6) < counts[:, None]).roll(1, dims=1)
    hidden = random_hidden(mask, torch.Generator().manual_seed(0))
    assert not (hidden & ~mask).any()
    for size in range(1, 7):
        rows = hidden[counts == size]
        how_many = rows.sum(1)
        shares = torch.bincount(how_many, minlength=size + 1)[1:] / len(rows)
        assert how_many.min() >= 1 and how_many.max() <= size
        assert (shares - 1 / size).abs().max() < 0.06
        slots = rows.float().mean(0)[mask[counts == size][0]]
        assert (slots - (size + 1) / (2 * size)).abs().max() < 0.06


def test_hidden_is_repeatable() -> None:
    mask = torch.ones(50, 5, dtype=torch.bool)
    first, again = (random_hidden(mask, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, random_hidden(mask, torch.Generator().manual_seed(5)))


@pytest.mark.parametrize("calls", [1, 2, 3, 7, 30])
def test_reveal_count_ends_with_nothing_hidden_and_spreads_evenly(calls: int) -> None:
    hidden = torch.arange(21)[:, None] > torch.arange(20)
    left, steps = hidden.clone(), []
    for call in range(calls):
        count = reveal_count(left, calls - call)
        steps.append(count)
        for row, number in enumerate(count.tolist()):
            left[row, left[row].nonzero()[:number, 0]] = False
    assert not left.any()
    taken = torch.stack(steps)
    assert torch.equal(taken.sum(0), hidden.sum(1))
    assert (taken.max(0).values - taken.min(0).values <= 1).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draw_has_the_frequencies_of_the_softmax(dtype: torch.dtype) -> None:
    logits = torch.tensor([float("-inf"), 0.3, -1.0, float("-inf"), 2.0, -4.0, float("-inf")], dtype=dtype)
    n = 20_000
    uniform = (torch.arange(n, dtype=dtype) + 0.5) / n
    shares = torch.bincount(draw(logits.expand(n, -1), uniform), minlength=7) / n
    torch.testing.assert_close(shares, torch.softmax(logits, 0).float(), atol=1.5 / n, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draw_at_the_ends_never_takes_what_has_no_probability(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2000, 9, generator=generator, dtype=dtype) * 4
    blocked = torch.rand(2000, 9, generator=generator) < 0.5
    blocked[torch.arange(2000), torch.randint(9, (2000,), generator=generator)] = False
    logits = logits.masked_fill(blocked, float("-inf"))
    rows = torch.arange(2000)
    largest = 1 - torch.finfo(dtype).eps / 2
    for uniform in (0.0, largest, 0.5):
        index = draw(logits, torch.full((2000,), uniform, dtype=dtype))
        assert not blocked[rows, index].any()
    first = (~blocked).float().argmax(1)
    assert torch.equal(draw(logits, torch.zeros(2000, dtype=dtype)), first)


def test_draw_of_one_possibility() -> None:
    logits = torch.full((3, 4), float("-inf"))
    logits[torch.arange(3), torch.tensor([0, 3, 2])] = -50.0
    assert draw(logits, torch.tensor([0.0, 0.7, 0.999])).tolist() == [0, 3, 2]
