"""Members of zip and tar archives as open streams, one after the other; nothing is unpacked to disk.

The libraries raise whatever a damaged archive leads them to, and read headers of any length into memory: here the first
becomes one error, and the second is refused.
"""

from __future__ import annotations

import contextlib
import struct
import tarfile
import zipfile
from collections.abc import Generator, Iterator
from typing import NamedTuple

from crystaltool.errors import InputError
from crystaltool.io.byte_streams import ByteReader, Expanded, SeekableReader
from crystaltool.io.names import holds_structures

MAX_LISTING_BYTES = 64 * 2**20
"""The list of members of a zip is not read if it is longer: half a million names."""

MAX_NAME_BYTES = 2**20
"""A tar header that holds a name or other attributes of a member is not read if it is longer."""

_STRAY = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, RuntimeError, TypeError, ValueError,
    struct.error, tarfile.TarError, zipfile.BadZipFile,
)  # fmt: skip
"""What `zipfile` and `tarfile` raise of damaged archives, UnicodeDecodeError among them."""


class Member(NamedTuple):
    """A file of an archive, read or unreadable.

    Args:
        name: within the archive. handle: its bytes, to be read before the next member is asked for.
        message: why it cannot be read, empty if it can.
    """

    name: str
    handle: ByteReader | None
    message: str = ""


@contextlib.contextmanager
def _damage_named() -> Generator[None]:
    try:
        yield
    except _STRAY as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"damaged archive: {text}") from None


class _Guarded:
    """The bytes of a member; damage met on the way is an `InputError`."""

    def __init__(self, handle: ByteReader) -> None:
        self._handle = handle

    def read(self, size: int = -1, /) -> bytes:
        with _damage_named():
            return self._handle.read(size)

    def read1(self, size: int = -1, /) -> bytes:
        with _damage_named():
            return getattr(self._handle, "read1", self._handle.read)(size)

    def readline(self, size: int = -1, /) -> bytes:
        with _damage_named():
            return self._handle.readline(size)


class _ShortReads:
    """A zip file whose list of members is refused if it is too long: `zipfile` reads it at once."""

    def __init__(self, file: SeekableReader) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if size > MAX_LISTING_BYTES:
            raise zipfile.BadZipFile(f"its list of members has {size} bytes, the limit is {MAX_LISTING_BYTES}")
        return self._file.read(size)


class _ShortHeaders(tarfile.TarInfo):
    """A tar header; one that says that a longer name follows is refused."""

    def _proc_member(self, tar: tarfile.TarFile):
        named = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE)
        if self.type in (*named, tarfile.SOLARIS_XHDTYPE) and self.size > MAX_NAME_BYTES:
            raise tarfile.ReadError(f"a name of {self.size} bytes, the limit is {MAX_NAME_BYTES}")
        return super()._proc_member(tar)  # ty: ignore[missing-attribute]


def zip_members(file: SeekableReader) -> Iterator[Member]:
    """The structure files of a zip archive, sorted by name.

    Raises:
        InputError: the archive cannot be read; of a single member its message says so.
    """
    with _damage_named():
        archive = zipfile.ZipFile(_ShortReads(file))  # ty: ignore[no-matching-overload]
    with archive:
        found = (
            info for info in archive.infolist() if not info.filename.endswith("/") and holds_structures(info.filename)
        )
        for info in sorted(found, key=lambda info: info.filename):
            try:
                with _damage_named():
                    handle = archive.open(info)
            except InputError as error:
                yield Member(info.filename, None, str(error))
                continue
            size = info.compress_size
            with handle:
                yield Member(info.filename, _Guarded(Expanded(handle, lambda size=size: size)))


def tar_members(stream: ByteReader) -> Iterator[Member]:
    """The structure files of a tar archive, in its order; what is no plain file is passed over.

    Raises:
        InputError: the archive cannot be read, or not any further.
    """
    with _damage_named():
        archive = tarfile.TarFile.open(  # ty: ignore[no-matching-overload]
            fileobj=stream, mode="r|", tarinfo=_ShortHeaders
        )
    with archive:
        while True:
            with _damage_named():
                info = archive.next()
                archive.members = []  # it keeps all, which a long archive would fill memory with
                handle = archive.extractfile(info) if info is not None and info.isfile() else None
            if info is None:
                return
            if handle is not None and holds_structures(info.name):
                yield Member(info.name, _Guarded(handle))
