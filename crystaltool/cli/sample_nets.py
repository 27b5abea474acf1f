"""Options of `crystaltool sample mofdiff` that say which nets and blocks to build from."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

NAMES = ("net", "metal", "node", "linker")

NetOption = Annotated[
    Optional[str],  # noqa: UP045 -- typer evaluates this at run time
    typer.Option(
        "--net",
        metavar="NET|FILE|free",
        help="Only this net: an RCSR symbol such as pcu, the name of a MOF that has it, a key of the catalogue, or a"
        " file of MOFs that fragment wrote. free: no net is given, blocks and places are denoised as in MOFDiff."
        " Default: nets as frequent as in the training data. mofdiff only.",
    ),
]
MetalOption = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--metal", metavar="ELEMENT", help="Nodes of these metals alone; may be repeated. mofdiff only."),
]
NodeOption = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        "--node",
        metavar="NAME|FILE",
        help="These nodes alone: a formula such as OZn4 or a name of the library's, or the nodes of a file that"
        " fragment wrote; may be repeated. mofdiff only.",
    ),
]
LinkerOption = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        "--linker",
        metavar="SMILES|FILE",
        help="These linkers alone: SMILES, a file of molecules that Open Babel reads, or the linkers of a file that"
        " fragment wrote; carboxylates, pyridines and azolates bind, or where dummy atoms (*) say so; may be repeated."
        " mofdiff only.",
    ),
]
