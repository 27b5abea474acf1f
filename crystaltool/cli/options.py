"""Every shared option, defined once as an `Annotated` alias; a subcommand lists the ones it has.

Aliases hold no default: a command writes `output: options.Output = "-"` and the default stands where it is used. What
`session.Session` looks after is only listed there, by the name of its option: `quiet`, `no_provenance`.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Optional

import typer

Files = Annotated[
    Optional[list[str]],  # noqa: UP045 -- typer evaluates this at run time
    typer.Argument(
        metavar="FILE",
        help="CIF, POSCAR or extended XYZ files, folders, zip or tar archives, CSV files with a 'cif' column, each also"
        " gzipped; - or nothing is standard input.",
        show_default=False,
    ),
]


class Names(StrEnum):
    """What a structure is called."""

    block = "block"
    file = "file"


Naming = Annotated[
    Names,
    typer.Option(
        "--names",
        metavar="block|file",
        help="Call a structure as its CIF block, or as its file without the ending; rows of tables keep their ids.",
    ),
]
Output = Annotated[
    str, typer.Option("-o", "--output", metavar="FILE", help="Write here; - is standard output; .gz compresses.")
]
OutputDir = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("-O", "--output-dir", metavar="DIR", help="Write one file per block, DIR/<block>.cif."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output file.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue a partial output: finished blocks are kept.")]
Shard = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Do part I of N equal parts alone; the outputs of all parts, one after the other, are that of one run.",
    ),
]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first bad record.")]
NoProvenance = Annotated[
    bool, typer.Option("--no-provenance", help="Write no dates and no command history into the output.")
]
Jobs = Annotated[
    int, typer.Option("-j", "--jobs", min=1, metavar="N", envvar="CRYSTALTOOL_JOBS", help="Worker processes.")
]
Scheduler = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        envvar="CRYSTALTOOL_SCHEDULER",
        help="Work on the workers of this dask scheduler, tcp://HOST:PORT or its file, in place of own processes; -j"
        " is then how many to plan for at least (extra 'cluster').",
    ),
]
Device = Annotated[
    str, typer.Option("--device", metavar="auto|cpu|cuda:N", envvar="CRYSTALTOOL_DEVICE", help="Where networks run.")
]
BatchSize = Annotated[
    int, typer.Option("--batch-size", min=1, metavar="N", help="Structures at a time; never changes results.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Seed; item i draws from (seed, i).")]
Symprec = Annotated[
    float,
    typer.Option("--symprec", min=1e-8, max=1.0, metavar="A", help="Symmetry tolerance on distances, in Angstrom."),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No notes, warnings, progress or summary on stderr.")]
Verbose = Annotated[
    int, typer.Option("-v", "--verbose", count=True, show_default=False, help="More notes; tracebacks with errors.")
]
