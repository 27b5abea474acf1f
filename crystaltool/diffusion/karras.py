"""The stochastic sampler of Karras et al. (arXiv 2206.00364, algorithm 2), of whatever is denoised together.

Euler steps along the probability flow, each but the first and the last two from a noise level raised by what lets later
calls mend what earlier ones did.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

State = TypeVar("State")


def stochastic_euler(
    state: State,
    levels: Tensor,
    raised: Callable[[Tensor], Tensor] | None,
    noisier: Callable[[State, Tensor, int], State],
    step: Callable[[State, Tensor, Tensor, int], State],
) -> State:
    """The state after one step for each row of levels.

    Args:
        state: at the first level.
        levels: noise of each part before each step, falling; behind the last step it is 0; (calls, parts).
        raised: the higher level to start a step from; (parts,) -> (parts,). None raises none.
        noisier: the state with so much more noise on each part, a standard deviation (parts,), in call number i.
        step: the state at the next level, given the level now and the next one, (parts,) each, in call number i.
    """
    calls = len(levels)
    for call in range(calls):
        now = levels[call]
        if 0 < call < calls - 2 and raised is not None:
            higher = raised(now)
            state = noisier(state, (higher**2 - now**2).clamp(min=0).sqrt(), call)
            now = higher
        following = levels[call + 1] if call < calls - 1 else torch.zeros_like(now)
        state = step(state, now, following, call)
    return state
