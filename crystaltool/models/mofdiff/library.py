"""Which library a MOFDiff checkpoint decodes with."""

from __future__ import annotations

import functools
from pathlib import Path

from crystaltool.errors import CheckpointError
from crystaltool.models.block_encoder.library import Library

LIBRARY_NAME = "library.h5"


def load_library(directory: Path, encoder_sha256: str, given: Path | None = None) -> Library:
    """The library given, or the one beside the weights.

    Args:
        directory: of the checkpoint.
        encoder_sha256: of the block encoder that the model was trained with.
        given: another library of the same encoder.

    Raises:
        CheckpointError: none is given and none lies there.
        InputError: it is damaged or of another encoder.
    """
    path = given or directory / LIBRARY_NAME
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such file; make a library with `crystaltool embed --library` and give it with --library"
        )
    seen = path.stat()
    return _read(path.absolute(), encoder_sha256, (seen.st_mtime_ns, seen.st_size, seen.st_ino))


@functools.lru_cache(maxsize=1)
def _read(path: Path, encoder_sha256: str, version: tuple[int, ...]) -> Library:
    """The library of a file as it is now; `sample` asks for one several times."""
    return Library.load(path, encoder_sha256)
