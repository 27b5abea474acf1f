"""HDF5 files opened with suspicion: everything in them is looked at before it is read."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from crystaltool.errors import InputError
from crystaltool.io.byte_streams import SeekableReader

FORMAT = 1
"""Version of the layouts; a file of another version is refused."""

MAX_DATASET_BYTES = 16 * 2**30
"""A data set that would take more memory than this is refused."""

MAX_COMPRESSION = 1200
"""Declared bytes per stored byte; deflate reaches about 1,030, so more means storage that was never written."""

MAX_UNPACKED, MUCH_UNPACKED = 400, 2**28
"""A file of more bytes than the second may hold so many times its stored bytes: thousands of real structures have up to
30 times, one over and over 200 to 370, zeros 1,000."""

SMALL_DATASET_BYTES = 2**20
"""Data sets up to this size need not have storage at all: reading them costs nothing."""

MAX_OBJECTS = 10_000
"""Groups and data sets in a file; ours have a dozen."""

MAKERS = {"asym-unit": "asym-unit", "mof-blocks": "fragment", "block-embeddings": "embed"}
"""The command that makes a file of each kind."""

_DAMAGE = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError)


@dataclass
class _Seen:
    """What was met in a file so far."""

    objects: int = 0
    n_bytes: int = 0
    stored: int = 0


@contextlib.contextmanager
def open_checked(
    path: str | Path | SeekableReader, kind: str | None = None, label: str = ""
) -> Generator[h5py.File, None, None]:
    """Open an HDF5 file of ours for reading, after looking at everything in it; what reading it raises is damage.

    Args:
        path: a path or an open seekable binary stream.
        kind: required value of the root attribute `kind`; any if `None`.
        label: name for messages when `path` is a stream.

    Raises:
        InputError: not HDF5, another kind or format version, a link that leaves the file, a shape that its storage
            does not back, far more than its storage can hold of real structures, a data type that is no plain number or
            fixed-length text.
    """
    name = label or (str(path) if isinstance(path, (str, Path)) else "HDF5 input")
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{name}: {_what_instead(path, error)}{_maker(kind, path)}") from None
    with file:
        try:
            _check_root(file, name, kind)
            seen = _Seen()
            _check_group(file, name, seen)
            if seen.n_bytes > MUCH_UNPACKED and seen.n_bytes > MAX_UNPACKED * seen.stored:
                raise InputError(f"{name}: unpacks to {seen.n_bytes:.3g} bytes from {seen.stored:.3g}, no real data do")
            yield file
        except _DAMAGE as error:
            raise InputError(f"{name}: damaged HDF5 file ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    """What the library says, without numbers of the process: addresses, descriptors, times."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return re.sub(r"[,:]? *[\w>-]+(?: [\w>-]+)* = [^,()]+", "", " ".join(str(error).split()))


def _what_instead(path: str | Path | SeekableReader, error: Exception) -> str:
    """What it is that is no HDF5 file."""
    if isinstance(path, (str, Path)) and os.path.isdir(path):
        return "is a folder, not an HDF5 file"
    return f"not a readable HDF5 file{', but text' if _is_text(path) else f' ({_reason(error)})'}"


def _is_text(path: str | Path | SeekableReader) -> bool:
    if not isinstance(path, (str, Path)):
        return False
    with contextlib.suppress(OSError), open(path, "rb") as file:
        head = file.read(1024)
        return head[:1] not in (b"", b"\x89") and not any(byte < 32 and byte not in b"\t\n\f\r" for byte in head)
    return False


def _maker(kind: str | None, path: str | Path | SeekableReader) -> str:
    """How a file of a kind is made of the structures in a folder or a text."""
    if kind not in MAKERS or not isinstance(path, (str, Path)) or not (os.path.isdir(path) or _is_text(path)):
        return ""
    made_of = "BLOCKS.h5" if kind == "block-embeddings" else path
    return f"; `crystaltool {MAKERS[kind]} {made_of} -o FILE.h5` makes one"


def _check_root(file: h5py.File, name: str, kind: str | None) -> None:
    version = file.attrs.get("crystaltool_format")
    if version is None:
        raise InputError(f"{name}: HDF5, but not written by crystaltool (no attribute crystaltool_format)")
    if np.ndim(version) != 0 or not np.issubdtype(np.asarray(version).dtype, np.integer) or int(version) != FORMAT:
        raise InputError(f"{name}: HDF5 format version {version}, this program reads version {FORMAT}")
    found = file.attrs.get("kind")
    if not isinstance(found, str):
        raise InputError(f"{name}: HDF5 whose attribute kind is no text")
    if kind is not None and found != kind:
        raise InputError(f"{name}: HDF5 of kind {found!r}, expected {kind!r}")


def _check_group(group: h5py.Group, name: str, seen: _Seen) -> None:
    """Look at every link before it is followed."""
    for key in group:
        seen.objects += 1
        if seen.objects > MAX_OBJECTS:
            raise InputError(f"{name}: more than {MAX_OBJECTS} objects in the file")
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise InputError(f"{name}: {key!r} is a soft or external link, only plain data sets are read")
        item = group[key]
        if isinstance(item, h5py.Dataset):
            n_bytes, stored = _check_dataset(item, f"{name}: data set {item.name}")
            seen.n_bytes, seen.stored = seen.n_bytes + n_bytes, seen.stored + stored
        elif isinstance(item, h5py.Group):
            if item.name is not None and item.name.count("/") > 8:
                raise InputError(f"{name}: groups nested more than 8 deep")
            _check_group(item, name, seen)
        else:
            raise InputError(f"{name}: {key!r} is neither a group nor a data set")


def _check_dataset(dataset: h5py.Dataset, name: str) -> tuple[int, int]:
    """Bytes in memory and in the file."""
    if dataset.is_virtual or dataset.external:
        raise InputError(f"{name} keeps its values in another file")
    if dataset.dtype.kind not in "iufSb":
        raise InputError(f"{name} has the type {dataset.dtype}, expected plain numbers or fixed-length text")
    if dataset.shape is None or dataset.compression not in (None, "gzip"):
        raise InputError(f"{name} is empty or compressed by something other than gzip")
    n_bytes = int(np.prod([int(length) for length in dataset.shape], dtype=object)) * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    if n_bytes > MAX_DATASET_BYTES:
        raise InputError(
            f"{name} has the shape {dataset.shape}, {n_bytes:.3g} bytes, the limit is {MAX_DATASET_BYTES:.3g}"
        )
    if n_bytes > SMALL_DATASET_BYTES and n_bytes > MAX_COMPRESSION * stored:
        raise InputError(f"{name} has the shape {dataset.shape} but only {stored} bytes are stored")
    return n_bytes, stored
