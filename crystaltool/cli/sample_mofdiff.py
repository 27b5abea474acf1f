"""What `crystaltool sample` does with a MOFDiff checkpoint: coarse-grained MOFs, as one HDF5 file."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crystaltool.cli.sample_asked import Asked
    from crystaltool.cli.session import Session
    from crystaltool.verbs.sample_mofdiff import MOFSettings


def sample(session: Session, asked: Asked) -> None:
    """Sample MOFs and write them, decodings of one sample one after the other.

    Raises:
        UsageError: a target that the model does not know, a wish that cannot be met, an option of the other mode.
        CheckpointError, InputError: a damaged checkpoint, a library of another encoder.
    """
    import contextlib

    from crystaltool.executor import map_ordered
    from crystaltool.mof.table import TableBuilder, write_mofs
    from crystaltool.verbs.sample_mofdiff import load, prepare, sample_items

    session.leave_if_done(asked.resume, asked.output)
    settings, items, batch_size = settings_of(asked), asked.items, asked.batch_size
    jobs = session.workers.count(asked.jobs)
    library = prepare(settings)  # here too when workers do the work: what cannot be loaded ends the run at once
    loaded, _ = load(settings)
    if settings.nets_first:
        batch_size = min(batch_size, max(1, -(-len(items) // (4 * jobs))))  # work and progress for every process
    builder = TableBuilder()
    fingerprints = library.blocks.arrays["identities/ecfp4"]
    identities = library.blocks.arrays["blocks/identity"]
    rows: dict[int, int] = {}
    with session.binary_output(asked.output, asked.overwrite) as target, session.progress(len(items)) as progress:
        chunks = (tuple(items[start : start + batch_size]) for start in range(0, len(items), batch_size))
        function, executor = functools.partial(sample_items, settings), session.workers.executor
        with contextlib.closing(map_ordered(function, chunks, jobs, executor=executor)) as results:
            for found in results:
                if isinstance(found, Exception):
                    raise found
                for name, decodings in found:
                    if not decodings:
                        session.warn(f"{name}: {settings.without_choice}")
                    for mof, chosen in decodings:
                        for block, row in zip(mof.blocks, chosen, strict=True):
                            if row not in rows:
                                rows[row] = builder.add_block(block, fingerprints[identities[row]])
                        builder.add(mof, numbers=[rows[row] for row in chosen])
                    progress.advance()
        origin = (f"weights sha256:{loaded.sha256[:16]}", settings.device)
        write_mofs(target, builder.table(), session.history((), None, origin))


def settings_of(asked: Asked) -> MOFSettings:
    """All that decides the MOFs."""
    from crystaltool.training.distributed import choose_device
    from crystaltool.verbs.nets import Wishes
    from crystaltool.verbs.sample_mofdiff import MOFSettings

    own = asked.own
    return MOFSettings(
        checkpoint=str(asked.checkpoint),
        library=own["library"],
        seed=asked.seed,
        steps=asked.steps,
        candidates=asked.candidates,
        draws=own["draws"],
        target=asked.target,
        device=str(choose_device(asked.device)),
        wishes=Wishes(own["net"], *(tuple(own[name] or ()) for name in ("metal", "node", "linker"))),
    )
