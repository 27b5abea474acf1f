"""The gate: what cannot be assembled whatever the rotations are."""

from __future__ import annotations

from crystaltool.mof.assemble.assembly import Assembly
from crystaltool.mof.blocks import NODE, CoarseMOF


def gate(mof: CoarseMOF) -> Assembly | None:
    """A refusal where the connection points of metal blocks and of the others do not balance, else None."""
    n_metal = sum(block.n_connections for block in mof.blocks if block.kind == NODE)
    n_other = sum(block.n_connections for block in mof.blocks if block.kind != NODE)
    if n_metal == n_other and n_metal > 0:
        return None
    return Assembly(
        mof, "parity", f"{n_metal} connection points on metal blocks, {n_other} on the others: they cannot pair up"
    )
