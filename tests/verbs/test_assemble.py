"""Of several assemblies one that is neutral is taken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import crystaltool as ct
from crystaltool.mof.assemble import Assembly
from crystaltool.mof.blocks import NODE
from crystaltool.verbs.assemble import AssembleSettings, as_sample, assembled, is_neutral
from tests.mof.structures import curated

SODIUM = 11


def with_metal(assembly: Assembly, number: int) -> Assembly:
    """The assembly with another metal in its nodes."""
    blocks = [
        replace(block, numbers=np.where(block.numbers == block.numbers.max(), number, block.numbers))
        if block.kind == NODE
        else block
        for block in assembly.mof.blocks
    ]
    return replace(assembly, mof=replace(assembly.mof, blocks=tuple(blocks)))


@pytest.mark.parametrize("name", ["MOF-5", "MIL-53", "MIL-47"])
def test_real_frameworks_are_neutral_and_with_sodium_they_are_not(name: str) -> None:
    mof = ct.fragment(ct.Structure(curated()[name], name=name))
    found = assembled(AssembleSettings(), as_sample(mof, 0))
    assert found.good and is_neutral(found)
    assert not is_neutral(with_metal(found, SODIUM))
