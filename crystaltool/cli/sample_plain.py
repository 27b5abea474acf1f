"""What `crystaltool sample` does with a model of which nothing but its row is known: a number and a seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crystaltool.cli.sample_asked import Asked
    from crystaltool.cli.session import Session


def sample(session: Session, asked: Asked) -> None:
    """Sample structures and write them as CIF."""
    from crystaltool.verbs.models import load

    own = asked.own
    writer = session.writer(asked.output, own["output_dir"], asked.overwrite, bool(own["resume"]))
    with writer as out, session.progress(asked.n) as progress:
        for structure in load(asked.checkpoint).sample(asked.n, seed=asked.seed):
            out.write(structure.to_cif(session.created, session.provenance), structure.name)
            progress.advance()
