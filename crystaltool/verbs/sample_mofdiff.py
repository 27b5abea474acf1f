"""MOFDiff: wishes and a target in, coarse-grained MOFs out."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from crystaltool.defaults import BATCH_SIZE, N_SAMPLES
from crystaltool.errors import UsageError
from crystaltool.io.provenance import extend_history
from crystaltool.io.remarks import WARNING, publish
from crystaltool.models.block_encoder.library import Library
from crystaltool.models.mofdiff.checkpoint import LoadedMOFDiff, load_mofdiff
from crystaltool.models.mofdiff.draws import item_name
from crystaltool.models.mofdiff.library import load_library
from crystaltool.models.mofdiff.sampling import CoarseSampler
from crystaltool.models.mofdiff.targets import Target, parse_target
from crystaltool.mof.blocks import CoarseMOF
from crystaltool.mof.sample import MOFSample
from crystaltool.verbs import nets
from crystaltool.verbs.nets import NO_WISHES, Wishes

Decodings = list[tuple[CoarseMOF, tuple[int, ...]]]
"""Decodings of one sample, each with the rows of its blocks in the library."""


@dataclass(frozen=True)
class MOFSettings:
    """What a worker must know: checkpoint, library, seed, network calls, decodings, draws, target, device, wishes."""

    checkpoint: str
    library: str | None
    seed: int
    steps: int | None
    candidates: int | None
    draws: int | None
    target: str | None
    device: str
    wishes: Wishes = NO_WISHES

    @property
    def nets_first(self) -> bool:
        """Whether a net is drawn first."""
        return nets.nets_come_first(self.checkpoint, self.wishes)

    @property
    def without_choice(self) -> str:
        """What to warn of where an item has no decoding."""
        fault = "fits a net" if self.nets_first else "balances metal and other connection points"
        return f"no choice of blocks was found that holds C and H and {fault}"

    def plan(self) -> nets.Planned:
        """What fills nets in this process."""
        return nets.plan(self.checkpoint, self.library, self.wishes, self.candidates)


def prepare(settings: MOFSettings) -> Library:
    """The library that is decoded with, once all that is asked for is known to be there.

    Raises:
        UsageError: a target that the model does not know, a wish that cannot be met, an option of the other mode.
        CheckpointError, InputError: a damaged checkpoint, a library of another encoder.
    """
    if settings.nets_first and settings.steps is not None:
        raise UsageError("--steps counts network calls, which only --net free makes")
    loaded, library = load(settings)
    _target(loaded, settings)
    return settings.plan().library if settings.nets_first else library


@functools.lru_cache(maxsize=1)
def load(settings: MOFSettings) -> tuple[LoadedMOFDiff, Library]:
    """Model and library of this process."""
    directory = Path(settings.checkpoint)
    loaded = load_mofdiff(directory, settings.device)
    given = Path(settings.library) if settings.library is not None else None
    return loaded, load_library(directory, loaded.encoder_sha256, given)


def _target(loaded: LoadedMOFDiff, settings: MOFSettings) -> Target | None:
    return None if settings.target is None else parse_target(settings.target, loaded.model.config.properties)


def sample_items(settings: MOFSettings, indices: Sequence[int]) -> list[tuple[str, Decodings]]:
    """Names of some items, and of each its decodings with their rows in the library; pure, for any process."""
    loaded, library = load(settings)
    if settings.nets_first:
        draws = loaded.sampler.draws if settings.draws is None else settings.draws
        target = _target(loaded, settings)
        return nets.sample_items(settings.plan(), loaded, indices, settings.seed, target, draws)
    changes = {"calls": settings.steps, "candidates": settings.candidates, "draws": settings.draws}
    config = replace(loaded.sampler, **{name: value for name, value in changes.items() if value is not None})
    rows = min(config.placings, config.candidates)
    batch_size = max(1, len(indices) // rows)  # each placing is a row of the networks' batch
    target = _target(loaded, settings)
    decodings = CoarseSampler(loaded.model, library, config, settings.seed, target).sample(indices, batch_size)
    return [
        (item_name(settings.seed, index), [(decoded.mof, tuple(decoded.rows)) for decoded in found])
        for index, found in zip(indices, decodings, strict=True)
    ]


class MOFDiffSampler:
    """MOFDiff, ready to sample coarse-grained metal-organic frameworks.

    Args:
        checkpoint: its folder. device: where networks run.
    """

    def __init__(self, checkpoint: Path, device: str) -> None:
        self.checkpoint, self.device = checkpoint, device

    def sample(
        self,
        n: int = N_SAMPLES,
        *,
        seed: int = 0,
        target: Mapping[str, float | str] | None = None,
        net: str | None = None,
        metals: Sequence[str] = (),
        nodes: Sequence[str] = (),
        linkers: Sequence[str] = (),
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
            net: an RCSR symbol, the name of a MOF that has it, a key of the catalogue, a file of `fragment`, or "free".
            metals: symbols of the metals that nodes may have.
            nodes, linkers: names, SMILES or files of the blocks that alone may be used.
            steps: network calls of a trajectory, for "free" alone. candidates: decodings of each.
            draws: choices drawn a MOF under a target; all three by default the checkpoint's own.
            library: HDF5 file of blocks to decode with, by default the checkpoint's own.
            batch_size: rows of a network call; never changes results.

        Raises:
            UsageError: a target that the model does not know, a wish that cannot be met, or numbers out of range;
                before anything is drawn.
            CheckpointError, InputError: no library, a damaged one, or one of another encoder.
        """
        if n < 1 or batch_size < 1 or seed < 0:
            raise UsageError(f"n is {n}, batch_size {batch_size}, seed {seed}, expected 1, 1 and 0 or more")
        if target and len(target) > 1:
            raise UsageError(f"target {dict(target)}, expected one property")
        aim = next((f"{name}={value}" for name, value in (target or {}).items()), None)
        wishes = Wishes(net, tuple(metals), tuple(nodes), tuple(linkers))
        given = None if library is None else str(library)
        settings = MOFSettings(str(self.checkpoint), given, seed, steps, candidates, draws, aim, self.device, wishes)
        prepare(settings)
        call = f"sample mofdiff n={n} seed={seed}" + (f" target={dict(target)}" if target else "")
        return self._samples(settings, n, 1 if settings.nets_first else min(n, batch_size), call)

    def _samples(self, settings: MOFSettings, n: int, at_once: int, call: str) -> Iterator[MOFSample]:
        origin = (f"weights sha256:{load(settings)[0].sha256[:16]}", self.device)
        history = extend_history((), call, None, origin)
        item = 0
        for start in range(0, n, at_once):
            for name, decodings in sample_items(settings, range(start, min(start + at_once, n))):
                if not decodings:
                    publish(WARNING, settings.without_choice, "", 0, name)
                    continue
                yield MOFSample(item, name, "", tuple(mof for mof, _ in decodings), history)
                item += 1
