"""Archives that are damaged or mean harm: one record that says so, nothing unpacked, no memory filled."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from crystaltool.io import archives, byte_streams
from crystaltool.io.records import BadRecord, RawBlock
from crystaltool.io.stream import iter_raw
from tests.io.blocks import halite

MEMBER = halite("inside").encode()


def zipped(*names: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.writestr(name, MEMBER)
    return packed.getvalue()


def tarred(*names: str, kind: bytes = tarfile.REGTYPE) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            info.size = len(MEMBER) if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(MEMBER))
    return packed.getvalue()


def read(folder: Path, content: bytes) -> list[str]:
    """What comes of a file: names of blocks, messages with a ! before them."""
    path = folder / "input"
    path.write_bytes(content)
    found = list(iter_raw([str(path)]))
    assert os.listdir(folder) == ["input"]
    return [f"!{each.message}" if isinstance(each, BadRecord) else each.name for each in found]


@pytest.mark.parametrize("make", [zipped, tarred])
def test_members_that_point_outside_are_read_and_not_unpacked(tmp_path: Path, make: Callable) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    assert read(folder, make("../../up.cif", "/tmp/absolute.cif")) == ["inside", "inside.2"]
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_no_files(tmp_path: Path, kind: bytes) -> None:
    assert read(tmp_path, tarred("a.cif", kind=kind)) == ["!the archive holds no structure files"]


def test_every_byte_of_an_archive_may_be_damaged(tmp_path: Path) -> None:
    """`zipfile` raises ValueError, UnicodeDecodeError, struct.error and more; never may they come through."""
    for content, step in ((zipped("a.cif", "b.cif"), 1), (tarred("a.cif"), 7)):
        names = [place for place in range(0, len(content), step) if not 60 < place % len(MEMBER) < len(MEMBER) - 200]
        for place in names:
            for value in (0, 0x80, 0xFF):
                damaged = content[:place] + bytes([value]) + content[place + 1 :]
                path = tmp_path / "input"
                path.write_bytes(damaged)
                assert all(isinstance(each, (RawBlock, BadRecord)) for each in iter_raw([str(path)]))


def test_a_member_behind_a_damaged_one_is_read(tmp_path: Path) -> None:
    damaged = bytearray(zipped("a.cif", "b.cif"))
    damaged[damaged.find(b"PK\x01\x02") + 42] ^= 0xFF  # where a.cif begins
    (message, name) = read(tmp_path, bytes(damaged))
    assert message.startswith("!damaged archive: ") and name == "inside"


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_name_that_would_fill_memory_is_refused(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.size, info.type = 64 * 2**20, kind
    bomb = gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(info.size), 1)
    tracemalloc.start()
    (message,) = read(tmp_path, bomb)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "a name of 67108864 bytes, the limit is 1048576" in message and most < 8 * 2**20


def test_a_list_of_members_that_would_fill_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_LISTING_BYTES", 5000)
    assert read(tmp_path, zipped("a.cif")) == ["inside"]
    (message,) = read(tmp_path, zipped(*(f"{number:03}.cif" for number in range(100))))
    assert "its list of members has 5300 bytes, the limit is 5000" in message


def test_a_long_archive_is_not_kept_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(tarred(*(f"{number}.txt" for number in range(3000))))
    tracemalloc.start()
    assert [type(each) for each in iter_raw([str(path)])] == [BadRecord]
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2**20


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, None], ids=["gz", "bz2", "xz", "zip"])
def test_what_expands_out_of_all_proportion_is_not_read_on(
    tmp_path: Path, compress: Callable | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(byte_streams, "SMALL_EXPANSION", 2**18)
    content = MEMBER + b" " * 2**21
    if compress is None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.cif", content)
        bomb = packed.getvalue()
    else:
        bomb = compress(content)
    assert "more than 500 times as long as compressed" in read(tmp_path, bomb)[-1]
    sound = MEMBER + bytes(random.Random(0).choices(b"0123456789 ", k=2**20)).replace(b" ", b"\n#")
    assert read(tmp_path, gzip.compress(sound)) == ["inside"]
