"""What `crystaltool sample` does with a SymmCD checkpoint: inorganic crystals as CIF."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from crystaltool.cli import sample_conditions as conditions

if TYPE_CHECKING:
    from crystaltool.cli.sample_asked import Asked
    from crystaltool.cli.session import Record, Session
    from crystaltool.verbs.sample_symmcd import SampleSettings

LEAST_CHUNK = 32
"""Structures that a process takes at a time at least, where batches are larger: as many as share a network call."""


def sample(session: Session, asked: Asked) -> None:
    """Sample crystals and write them, in the order of their numbers.

    Raises:
        UsageError: conditions that contradict each other or that nothing meets.
        CheckpointError: a damaged checkpoint, or one of another model.
    """
    from crystaltool.executor import map_ordered

    settings = settings_of(session, asked)
    items, batch_size, resume = asked.items, asked.batch_size, asked.resume
    jobs = session.workers.count(asked.jobs)
    faulty: list[str] = []
    writer = session.writer(asked.output, asked.own["output_dir"], asked.overwrite, resume)
    with writer as out, session.progress(len(items)) as progress:
        todo = list(missing(settings, items, batch_size, out.has)) if resume else list(items)
        size = min(batch_size, max(LEAST_CHUNK, -(-len(todo) // (4 * jobs))))  # work and progress for every process
        chunks = (tuple(todo[start : start + size]) for start in range(0, len(todo), size))
        function = functools.partial(sample_blocks, settings, session.record)
        with contextlib.closing(map_ordered(function, chunks, jobs, executor=session.workers.executor)) as results:
            for blocks in results:
                if isinstance(blocks, Exception):
                    raise blocks
                for name, text, fault in blocks:
                    out.write(text, name)
                    faulty += [name] if fault else []
                    progress.advance()
    if faulty:
        some = f"{', '.join(faulty[:3])}{', ...' if len(faulty) > 3 else ''}"
        session.warn(f"{len(faulty)} of {len(todo)} have a supergroup or coinciding atoms after all attempts: {some}")


def settings_of(session: Session, asked: Asked) -> SampleSettings:
    """All that decides the structures, checked before anything is drawn."""
    from crystaltool.models.symmcd.sampling import SamplerConfig
    from crystaltool.training.distributed import choose_device
    from crystaltool.verbs.sample_symmcd import SampleSettings

    if asked.steps is not None:
        SamplerConfig(calls=asked.steps).split()
    settings = SampleSettings(
        checkpoint=str(asked.checkpoint),
        request=conditions.read_request(
            session, asked.checkpoint, {name: asked.own[name] for name in conditions.NAMES}
        ),
        seed=asked.seed,
        steps=asked.steps,
        attempts=asked.own["attempts"],
        candidates=asked.candidates,
        aim=() if asked.target is None else conditions.read_target(asked.target),
        device=str(choose_device(asked.device)),
    )
    settings.check()
    return settings


def missing(settings: SampleSettings, items: range, batch_size: int, has: Callable[[str], bool]) -> Iterator[int]:
    """Items that the output does not hold yet; names are known before any geometry is sampled."""
    from crystaltool.models.symmcd.draws import item_name
    from crystaltool.models.symmcd.sampling import draw_items
    from crystaltool.verbs.sample_symmcd import load, plan, sampler

    loaded = load(settings.checkpoint, settings.device)
    for start in range(0, len(items), batch_size):
        indices = items[start : start + batch_size]
        draws = draw_items(loaded.model, plan(settings), indices, settings.seed, sampler(settings, loaded))
        yield from (i for i in indices if not has(item_name(draws[i].group, settings.seed, i)))


def sample_blocks(settings: SampleSettings, record: Record, indices: tuple[int, ...]) -> list[tuple[str, str, int]]:
    """(name, CIF text, fault that all attempts have left) of some items; pure, for any process."""
    from crystaltool.verbs.sample_symmcd import sample_units, structure_of

    blocks = []
    for index, (unit, fault) in zip(indices, sample_units(settings, indices), strict=True):
        structure = structure_of(settings, unit, index, record.command_line)
        blocks.append((structure.name, structure.to_cif(record.created), fault))
    return blocks
