"""How MOFDiff samples."""

from __future__ import annotations

import math
from dataclasses import dataclass

from crystaltool.errors import UsageError


@dataclass(frozen=True)
class SamplerConfig:
    """How to sample.

    Args:
        calls: of the denoiser, from noise to a sample. refine_calls: more of them, with the embeddings held at those of
            the decoded blocks, from the noise of `refine_time` on; 0 leaves centres and cell as they were.
        attempts: times that centres, embeddings and cell are denoised for one latent; those are decoded in which blocks
            lie farthest apart. kept: how many of them.
        time_power: times are even steps to this power. churn: noise put back, share of sigma.
        latent_steps: of the prior's flow, two calls of a small network each.
        latent_temperature: of the prior's noise.
        candidates: decodings of a sample at most. candidate_temperature: of the perturbed scores.
        penalties: what a further distinct block costs, for the first decodings; the others take them in turn.
        spread: deviation of denoised embeddings that decoding reckons with.
        draws: latents drawn for each sample under a target, of which the best is decoded.

    Raises:
        UsageError: on a number outside its range.
    """

    calls: int = 50
    attempts: int = 6
    kept: int = 3
    refine_calls: int = 30
    refine_time: float = 0.6
    time_power: float = 1.5
    churn: float = 0.2
    latent_steps: int = 30
    latent_temperature: float = 1.0
    candidates: int = 6
    candidate_temperature: float = 1.0
    penalties: tuple[float, ...] = (20.0, 60.0)
    spread: float = 0.5
    draws: int = 64

    def __post_init__(self) -> None:
        least = {"calls": 2, "refine_calls": 0}
        least |= dict.fromkeys(("attempts", "kept", "latent_steps", "candidates", "draws"), 1)
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise UsageError(f"{name} is {getattr(self, name)}, expected at least {smallest}")
        if self.kept > self.attempts:
            raise UsageError(f"kept is {self.kept}, expected at most attempts, {self.attempts}")
        if not 0 < self.refine_time <= 1:
            raise UsageError(f"refine_time is {self.refine_time}, expected above 0, at most 1")
        if not self.penalties or not all(isinstance(x, (int, float)) and x >= 0 for x in self.penalties):
            raise UsageError(f"penalties is {list(self.penalties)}, expected numbers of at least 0")
        for name in ("time_power", "spread"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"{name} is {getattr(self, name)}, expected a positive number")
        for name in ("churn", "latent_temperature", "candidate_temperature"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} is {getattr(self, name)}, expected at least 0")
