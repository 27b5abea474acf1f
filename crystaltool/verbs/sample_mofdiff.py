"""MOFDiff from Python: a target in, coarse-grained MOFs out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from crystaltool.defaults import BATCH_SIZE, N_SAMPLES
from crystaltool.errors import UsageError
from crystaltool.io.provenance import extend_history
from crystaltool.io.remarks import WARNING, publish
from crystaltool.models.block_encoder.library import Library
from crystaltool.models.mofdiff.checkpoint import load_mofdiff
from crystaltool.models.mofdiff.draws import item_name
from crystaltool.models.mofdiff.library import load_library
from crystaltool.models.mofdiff.sampler_config import SamplerConfig
from crystaltool.models.mofdiff.sampling import sample_mofdiff
from crystaltool.models.mofdiff.targets import Target, parse_target
from crystaltool.mof.sample import MOFSample


@dataclass(frozen=True)
class _Run:
    """One call of `sample`."""

    n: int
    seed: int
    config: SamplerConfig
    target: Target | None
    library: Library
    at_once: int
    call: str


class MOFDiffSampler:
    """MOFDiff, ready to sample coarse-grained metal-organic frameworks.

    Args:
        checkpoint: its folder. device: where networks run.
    """

    def __init__(self, checkpoint: Path, device: str) -> None:
        self.checkpoint, self.device = checkpoint, device
        self._loaded = load_mofdiff(checkpoint, device)

    def sample(
        self,
        n: int = N_SAMPLES,
        *,
        seed: int = 0,
        target: Mapping[str, float | str] | None = None,
        steps: int | None = None,
        candidates: int | None = None,
        draws: int | None = None,
        library: str | Path | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> Iterator[MOFSample]:
        """New coarse-grained MOFs for `assemble`, as `crystaltool sample mofdiff`; one without decoding is left out.

        Args:
            n: how many. seed: sample i depends on it and on i alone.
            target: {PROPERTY: value or "max"}, such as {"co2_wc": 3.0} (mmol/g).
            steps: network calls of a trajectory. candidates: decodings of each.
            draws: latents drawn a MOF under a target; all three by default the checkpoint's own.
            library: HDF5 file of blocks to decode with, by default the checkpoint's own.
            batch_size: rows of a network call; never changes results.

        Raises:
            UsageError: a target that the model does not know, or numbers out of range; before anything is drawn.
            CheckpointError, InputError: no library, a damaged one, or one of another encoder.
        """
        if n < 1 or batch_size < 1 or seed < 0:
            raise UsageError(f"n is {n}, batch_size {batch_size}, seed {seed}, expected 1, 1 and 0 or more")
        changes = {"calls": steps, "candidates": candidates, "draws": draws}
        config = replace(self._loaded.sampler, **{key: value for key, value in changes.items() if value is not None})
        given = None if library is None else Path(library)
        blocks = load_library(self.checkpoint, self._loaded.encoder_sha256, given)
        rows = min(config.placings, config.candidates)  # each placing is a row of the networks' batch
        call = f"sample mofdiff n={n} seed={seed}" + (f" target={dict(target)}" if target else "")
        at_once = max(1, min(n, batch_size) // rows)
        return self._samples(_Run(n, seed, config, self._target(target), blocks, at_once, call))

    def _target(self, target: Mapping[str, float | str] | None) -> Target | None:
        if not target:
            return None
        if len(target) > 1:
            raise UsageError(f"target {dict(target)}, expected one property")
        ((name, value),) = target.items()
        return parse_target(f"{name}={value}", self._loaded.model.config.properties)

    def _samples(self, run: _Run) -> Iterator[MOFSample]:
        origin = (f"weights sha256:{self._loaded.sha256[:16]}", self.device)
        history = extend_history((), run.call, None, origin)
        found = sample_mofdiff(
            self._loaded.model, run.library, range(run.n), run.seed, run.config, run.at_once, run.target
        )
        item = 0
        for index, decodings in enumerate(found):
            name = item_name(run.seed, index)
            if not decodings:
                publish(WARNING, "no choice of blocks was found that balances", "", 0, name)
                continue
            yield MOFSample(item, name, "", tuple(decoded.mof for decoded in decodings), history)
            item += 1
