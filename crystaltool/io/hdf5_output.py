"""Writing HDF5 by way of memory: the library does not survive a disk that fills up while it writes."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from io import BytesIO
from pathlib import Path


@contextlib.contextmanager
def through_memory(target: str | Path | BytesIO) -> Generator[BytesIO]:
    """Memory for `h5py.File(memory, "w")` that goes into the target at once, when the block ends.

    A write that fails leaves HDF5 (2.0 and 1.14) with metadata that it cannot flush: it raises RuntimeError
    from whatever comes next, prints tracebacks from destructors, or the process ends by SIGSEGV. Written by Python it
    is an OSError. The image in memory is compressed; what it is made of takes more.

    Args:
        target: a path, or memory, which is then used as it is.

    Raises:
        OSError: the disk is full or not writable.
    """
    if isinstance(target, BytesIO):
        yield target
        return
    memory = BytesIO()
    yield memory
    with open(target, "wb") as handle:
        handle.write(memory.getbuffer())
