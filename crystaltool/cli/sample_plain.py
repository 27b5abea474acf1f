"""What `crystaltool sample` does with a model of which nothing but its row is known: a number and a seed."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crystaltool.cli.sample_asked import Asked
    from crystaltool.cli.session import Session


def sample(session: Session, asked: Asked) -> None:
    """Sample structures and write them as CIF."""
    from crystaltool.verbs.models import load

    own = asked.own
    writer = session.writer(asked.output, own["output_dir"], asked.overwrite, asked.resume)
    with writer as out, session.progress(len(asked.items)) as progress:
        drawn = load(asked.checkpoint).sample(asked.n, seed=asked.seed)  # a part of it only by drawing all before
        for structure in islice(drawn, asked.items.start, asked.items.stop):
            if out.has(structure.name):
                continue
            out.write(structure.to_cif(session.created, session.provenance), structure.name)
            progress.advance()
