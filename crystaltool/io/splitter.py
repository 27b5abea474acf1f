"""Cutting a CIF stream into blocks, line by line: a block is handed on as soon as the next `data_` line arrives.

What stands behind a `global_` line (a journal's data on the whole file) up to the next block is no block and left out.
`data_` inside a text field (lines between two that begin with `;`) starts no block. If a field is never closed, as in
a truncated file that another follows, the blocks behind it are found again by cutting at every `data_` line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from crystaltool.io.byte_streams import ByteReader

MAX_BLOCK_BYTES = 32 * 2**20
"""A block longer than this is not read: 20,000 sites take 2 MB, and a stream without `data_` must not fill memory."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_HEADER = re.compile(rb"\s*data_(\S*(?:[ \t]+(?![_#]|loop_|save_)[^\s#]+)*)", re.IGNORECASE)
"""The line of a name; blanks in it are an error of the syntax that programs make, a tag behind it is none."""

_GLOBAL = re.compile(rb"\s*global_\s*(?:#.*)?$", re.IGNORECASE)
_NAME_LINE = re.compile(r"^(\s*data_)\S*(?:[ \t]+(?![_#]|loop_|save_)[^\s#]+)*", re.IGNORECASE | re.MULTILINE)
_CONTENT = re.compile(rb"\s*[^\s#]")


class Chunk(NamedTuple):
    """The bytes of one block (or of what stands before the first), and where they began.

    Args:
        line: 1-based line of the first byte kept.
        data: the bytes; empty when `oversized`.
        oversized: longer than `MAX_BLOCK_BYTES`, dropped.
    """

    line: int
    data: bytes
    oversized: bool = False

    @property
    def name(self) -> str | None:
        """The name after `data_`, `None` if there is no such line (text before the first block)."""
        for text in self.data.split(b"\n"):
            if header := _HEADER.match(text):
                return decode(header[1])
            if _CONTENT.match(text):
                return None
        return None


def read_lines(handle: ByteReader) -> Iterator[bytes]:
    """Lines as they arrive; one longer than the block limit comes in pieces."""
    while line := handle.readline(MAX_BLOCK_BYTES):
        yield line


def split_blocks(lines: Iterable[bytes], first_line: int = 1) -> Iterator[Chunk]:
    """Cut lines into blocks; comments and blank lines before a block's `data_` line belong to the block before it."""
    held: list[bytes] = []
    start, n_bytes, number = first_line, 0, first_line - 1
    in_text, oversized, has_content, of_file = False, False, False, False
    for line in lines:
        number += 1
        line = line.removeprefix(BYTE_ORDER_MARK)  # also where files were written one behind the other
        if line[:1] == b";":
            in_text = not in_text
        elif not in_text and line[:1] in b"dDgG \t" and (_HEADER.match(line) or _GLOBAL.match(line)):
            if has_content or oversized:
                yield Chunk(start, b"".join(held), oversized)
            held, start, n_bytes, oversized, has_content = [], number, 0, False, False
            of_file = bool(_GLOBAL.match(line))
        if oversized or of_file:
            continue
        held.append(line)
        n_bytes += len(line)
        has_content = has_content or bool(_CONTENT.match(line))
        if n_bytes > MAX_BLOCK_BYTES:
            if in_text:  # most likely a field that was never closed
                *done, (start, rest, _) = cut_everywhere(held, start)
                yield from done
                held, n_bytes, in_text = [rest], len(rest), False
            if n_bytes > MAX_BLOCK_BYTES:
                held, oversized, in_text = [], True, False
    if in_text and not oversized:
        yield from cut_everywhere(held, start)
    elif has_content or oversized:
        yield Chunk(start, b"".join(held), oversized)


def cut_everywhere(lines: list[bytes], start: int) -> list[Chunk]:
    """Cut at every `data_` line, inside text fields too."""
    chunks: list[Chunk] = []
    held: list[bytes] = []
    first = start
    for number, line in enumerate(lines, start=start):
        if held and _HEADER.match(line):
            chunks.append(Chunk(first, b"".join(held)))
            held, first = [], number
        held.append(line)
    chunks.append(Chunk(first, b"".join(held)))
    return chunks


def decode(data: bytes) -> str:
    """Text of CIF bytes: UTF-8, or Latin-1 as older files have it."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def rename_block(text: str, name: str) -> str:
    """The text with its first `data_` line naming `name`."""
    return _NAME_LINE.sub(lambda found: found[1] + name, text, count=1)
