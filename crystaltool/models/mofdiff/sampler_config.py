"""How MOFDiff samples."""

from __future__ import annotations

from dataclasses import dataclass

from crystaltool.errors import UsageError
from crystaltool.ranges import require_least, require_positive


@dataclass(frozen=True)
class SamplerConfig:
    """How to sample.

    Args:
        calls: of the denoiser from noise to blocks, and again as many for each placing: in all at most
            calls (1 + placings) a MOF.
        last_time: of the last call, which leads from there to the data.
        churn: noise put back before each call but the first and the last two, share of sigma.
        latent_steps: of the prior's flow, two calls of a small network each.
        latent_temperature: of the prior's noise.
        candidates: decodings of a sample at most. candidate_temperature: of the perturbed scores.
        placings: decodings whose blocks the denoiser places, at most; further ones take these places in turn.
        penalties: what a further distinct block costs, for the first decodings; the others take them in turn.
        spread: deviation of denoised embeddings that decoding reckons with.
        draws: latents drawn for each sample under a target, of which the best is decoded.

    Raises:
        UsageError: on a number outside its range.
    """

    calls: int = 14
    last_time: float = 0.25
    churn: float = 1.0
    latent_steps: int = 30
    latent_temperature: float = 1.0
    candidates: int = 12
    candidate_temperature: float = 1.0
    placings: int = 6
    penalties: tuple[float, ...] = (20.0, 60.0)
    spread: float = 0.5
    draws: int = 64

    def __post_init__(self) -> None:
        require_least(self, 2, "calls")
        require_least(self, 1, "latent_steps", "candidates", "placings", "draws")
        require_least(self, 0, "churn", "latent_temperature", "candidate_temperature")
        require_positive(self, "spread")
        if not 0 <= self.last_time < 1:
            raise UsageError(f"last_time is {self.last_time}, expected at least 0, below 1")
        if not self.penalties or not all(isinstance(x, (int, float)) and x >= 0 for x in self.penalties):
            raise UsageError(f"penalties is {list(self.penalties)}, expected numbers of at least 0")
