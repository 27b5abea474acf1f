"""What the readers need of an open binary stream: less than `typing.BinaryIO`, so that archives' members pass too."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable
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


class Encoded(io.RawIOBase):
    """Text as UTF-8 bytes, line by line."""

    def __init__(self, text: codecs.StreamReader | io.TextIOWrapper) -> None:
        self._text, self._held = text, b""

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer) -> int:
        """Fill from the line in hand, or the next."""
        if not self._held:
            self._held = self._text.readline().encode("utf-8", "replace")
        data, self._held = self._held[: len(buffer)], self._held[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)


class Joined(io.RawIOBase):
    """Bytes already read and the rest of their stream, as one raw stream that never waits for more than it has."""

    def __init__(self, head: bytes, rest: ByteReader) -> None:
        self._head = head
        self._rest = rest
        self.n_read = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer) -> int:
        """Fill from the head first, then from what the stream has."""
        if self._head:
            data, self._head = self._head[: len(buffer)], self._head[len(buffer) :]
        else:
            read = getattr(self._rest, "read1", self._rest.read)
            data = read(len(buffer))
        buffer[: len(data)] = data
        self.n_read += len(data)
        return len(data)


MAX_EXPANSION = 500
"""Bytes of compressed data that come of one: deflate reaches 1,030, structures repeated over and over half of that."""

SMALL_EXPANSION = 2**28
"""Up to so many bytes anything may expand."""


class Expanded:
    """Decompressed bytes, an error where they grow out of all proportion.

    Args:
        stream: gives them. n_packed: how many compressed bytes it has had.
    """

    def __init__(self, stream: ByteReader, n_packed: Callable[[], int]) -> None:
        self._stream, self._n_packed, self._n = stream, n_packed, 0

    def read(self, size: int = -1, /) -> bytes:
        """As `ByteReader.read`; OSError once more than `MAX_EXPANSION` bytes have come of one."""
        return self._counted(self._stream.read(size))

    def read1(self, size: int = -1, /) -> bytes:
        """As `read`, what there is at once."""
        return self._counted(getattr(self._stream, "read1", self._stream.read)(size))

    def readline(self, size: int = -1, /) -> bytes:
        """As `ByteReader.readline`, with the error of `read`."""
        return self._counted(self._stream.readline(size))

    def _counted(self, data: bytes) -> bytes:
        self._n += len(data)
        if self._n > SMALL_EXPANSION and self._n > MAX_EXPANSION * self._n_packed():
            raise OSError(f"more than {MAX_EXPANSION} times as long as compressed, which no structures are")
        return data
