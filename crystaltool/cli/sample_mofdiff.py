"""What `crystaltool sample` does with a MOFDiff checkpoint: coarse-grained MOFs, as one HDF5 file."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from crystaltool.cli import sample_nets
from crystaltool.cli.sample_nets import NO_WISHES, Wishes

if TYPE_CHECKING:
    from crystaltool.cli.session import Session
    from crystaltool.models.block_encoder.library import Library
    from crystaltool.models.mofdiff.checkpoint import LoadedMOFDiff
    from crystaltool.mof.blocks import CoarseMOF


@dataclass(frozen=True)
class Settings:
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
        return sample_nets.nets_come_first(self.checkpoint, self.wishes)

    def plan(self) -> sample_nets.Planned:
        """What fills nets in this process."""
        return sample_nets.plan(self.checkpoint, self.library, self.wishes, self.candidates)


def sample(session: Session, settings: Settings, n: int, batch_size: int, jobs: int, output: str, overwrite: bool):
    """Sample `n` MOFs and write them, decodings of one sample one after the other.

    Raises:
        UsageError: a target that the model does not know, a wish that cannot be met, an option of the other mode.
        CheckpointError, InputError: a damaged checkpoint, a library of another encoder.
    """
    import contextlib

    from crystaltool.errors import UsageError
    from crystaltool.executor import map_ordered
    from crystaltool.mof.table import TableBuilder, write_mofs

    if settings.nets_first and settings.steps is not None:
        raise UsageError("--steps counts network calls, which only --net free makes")
    loaded, library = load(settings)  # here too when workers do the work: what cannot be loaded ends the run at once
    _target(loaded, settings)
    if settings.nets_first:
        library = settings.plan().library
        batch_size = min(batch_size, max(1, -(-n // (4 * jobs))))  # work and progress for every process
    builder = TableBuilder()
    fingerprints = library.blocks.arrays["identities/ecfp4"]
    identities = library.blocks.arrays["blocks/identity"]
    rows: dict[int, int] = {}
    with session.binary_output(output, overwrite) as target, session.progress(n) as progress:
        chunks = (tuple(range(start, min(start + batch_size, n))) for start in range(0, n, batch_size))
        with contextlib.closing(map_ordered(functools.partial(sample_items, settings), chunks, jobs)) as results:
            for items in results:
                if isinstance(items, Exception):
                    raise items
                for name, decodings in items:
                    if not decodings:
                        session.warn(
                            f"{name}: no choice of blocks was found that holds C and H and "
                            + ("fits a net" if settings.nets_first else "balances metal and other connection points")
                        )
                    for mof, chosen in decodings:
                        for block, row in zip(mof.blocks, chosen, strict=True):
                            if row not in rows:
                                rows[row] = builder.add_block(block, fingerprints[identities[row]])
                        builder.add(mof, numbers=[rows[row] for row in chosen])
                    progress.advance()
        origin = (f"weights sha256:{loaded.sha256[:16]}", settings.device)
        write_mofs(target, builder.table(), session.history((), None, origin))


@functools.lru_cache(maxsize=1)
def load(settings: Settings) -> tuple[LoadedMOFDiff, Library]:
    """Model and library of this process."""
    from crystaltool.models.mofdiff.checkpoint import load_mofdiff
    from crystaltool.models.mofdiff.library import load_library

    directory = Path(settings.checkpoint)
    loaded = load_mofdiff(directory, settings.device)
    given = Path(settings.library) if settings.library is not None else None
    return loaded, load_library(directory, loaded.encoder_sha256, given)


def _target(loaded: LoadedMOFDiff, settings: Settings):
    from crystaltool.models.mofdiff.targets import parse_target

    return None if settings.target is None else parse_target(settings.target, loaded.model.config.properties)


def sample_items(
    settings: Settings, indices: tuple[int, ...]
) -> list[tuple[str, list[tuple[CoarseMOF, tuple[int, ...]]]]]:
    """Names of some items, and of each its decodings with their rows in the library; pure, for any process."""
    from crystaltool.models.mofdiff.draws import item_name
    from crystaltool.models.mofdiff.sampling import sample_mofdiff

    loaded, library = load(settings)
    if settings.nets_first:
        draws = loaded.sampler.draws if settings.draws is None else settings.draws
        target = _target(loaded, settings)
        return sample_nets.sample_items(settings.plan(), loaded, indices, settings.seed, target, draws)
    changes = {"calls": settings.steps, "candidates": settings.candidates, "draws": settings.draws}
    config = replace(loaded.sampler, **{name: value for name, value in changes.items() if value is not None})
    rows = min(config.placings, config.candidates)
    batch_size = max(1, len(indices) // rows)  # each placing is a row of the networks' batch
    target = _target(loaded, settings)
    decodings = sample_mofdiff(loaded.model, library, indices, settings.seed, config, batch_size, target)
    return [
        (item_name(settings.seed, index), [(decoded.mof, tuple(decoded.rows)) for decoded in found])
        for index, found in zip(indices, decodings, strict=True)
    ]
