"""What the readers need of an open binary stream: less than `typing.BinaryIO`, so that archives' members pass too."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class ByteReader(Protocol):
    """Bytes in order, e.g. a pipe, a compressed file, a member of an archive."""

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes, all that are left if negative; empty at the end."""
        ...

    def readline(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes of one line."""
        ...


@runtime_checkable
class SeekableReader(ByteReader, Protocol):
    """Bytes in any order, e.g. a file, `BytesIO`."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to an offset."""
        ...

    def tell(self) -> int:
        """The current offset."""
        ...
