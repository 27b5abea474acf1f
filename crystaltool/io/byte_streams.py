"""What the readers need of an open binary stream: less than `typing.BinaryIO`, so that archives' members pass too."""

from __future__ import annotations

import codecs
import io
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
        return len(data)
