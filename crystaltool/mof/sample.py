"""`MOFSample`: the noun for one coarse-grained MOF as a model draws it: several decodings to choose from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from crystaltool.mof.blocks import CoarseMOF


@dataclass(frozen=True)
class MOFSample:
    """The decodings of one sample.

    Args:
        item: its number in the run, from which an assembly draws its random numbers.
        name: unique in the run, legal in CIF.
        source: where it comes from.
        decodings: other blocks in the same places, at least one.
        history: a line for each command or verb that made it.
    """

    item: int
    name: str
    source: str
    decodings: tuple[CoarseMOF, ...]
    history: tuple[str, ...] = ()


def grouped(mofs: Iterable[CoarseMOF]) -> Iterator[tuple[CoarseMOF, ...]]:
    """Decodings of one sample: MOFs of one name in a row whose property `candidate` goes up."""
    found: list[CoarseMOF] = []
    for mof in mofs:
        if found and (
            mof.name != found[-1].name
            or not mof.properties.get("candidate", -1.0) > found[-1].properties.get("candidate", 0.0)
        ):
            yield tuple(found)
            found = []
        found.append(mof)
    if found:
        yield tuple(found)
