"""A small subcommand on the common frame, for its tests: reads blocks and writes them in P 1."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from crystaltool.cli import options
from crystaltool.cli.session import Session


def command(
    context: typer.Context,
    files: options.Files = None,
    output: options.Output = "-",
    output_dir: options.OutputDir = None,
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    fail_fast: options.FailFast = False,
    no_provenance: options.NoProvenance = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
    slow: Annotated[float, typer.Option(help="Seconds to wait after each block.")] = 0.0,
    crash_at: Annotated[int, typer.Option(help="Raise an unexpected error at this block.")] = -1,
    fail: Annotated[bool, typer.Option(help="End as if a check had failed.")] = False,
    binary: Annotated[bool, typer.Option(help="Write eight bytes through the binary output instead.")] = False,
) -> None:
    """Copy blocks."""
    from crystaltool.io.cif import format_crystal

    session = Session(context)
    if binary:
        with session.binary_output(output, overwrite, files) as target:
            if hasattr(target, "write"):
                target.write(b"\x89HDFdata")
            else:
                target.write_bytes(b"\x89HDFdata")
        session.finish()
    with session.writer(output, output_dir, overwrite, resume, files) as out, session.progress() as progress:
        for count, block in enumerate(session.blocks(files)):
            if count == crash_at:
                raise RuntimeError("a bug")
            if out.has(block.name):
                continue
            text = format_crystal(
                block.crystal, block.name, session.history(block.history), block.properties, session.created
            )
            out.write(text, block.name)
            progress.advance()
            time.sleep(slow)
    session.finish(failed=fail)
