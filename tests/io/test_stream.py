"""Recognising inputs and cutting streams into blocks: every kind of container, and what is wrong with them."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import lzma
import os
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystaltool.io import splitter
from crystaltool.io.cif import CifBlock
from crystaltool.io.names import file_stem
from crystaltool.io.splitter import split_blocks
from crystaltool.io.stream import BadRecord, RawBlock, complete_blocks, iter_blocks, iter_raw, parse_raw
from tests.io.blocks import halite


def names(path: Path | str) -> list[str]:
    """Block names of an input in order; a bad record shows as `!message`."""
    return [
        f"!{record.message}" if isinstance(record, BadRecord) else record.name for record in iter_blocks([str(path)])
    ]


def lines_of(text: str) -> list[bytes]:
    return text.encode().splitlines(keepends=True)


TWO = halite("a") + halite("b")


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        (".cif", lambda data: data),
        (".cif.gz", gzip.compress),
        (".cif.xz", lzma.compress),
        (".cif.bz2", bz2.compress),
        (".whatever", lambda data: gzip.compress(gzip.compress(data))),
    ],
)
def test_text_and_compressed_text(tmp_path: Path, suffix: str, pack) -> None:
    path = tmp_path / f"in{suffix}"
    path.write_bytes(pack(TWO.encode()))
    assert names(path) == ["a", "b"]


def test_lines_and_sources_are_those_of_the_user(tmp_path: Path) -> None:
    path = tmp_path / "in.cif"
    path.write_text("# comment\n\n" + TWO)
    first, second = iter_blocks([str(path)])
    assert (first.source, first.line) == (str(path), 3)
    assert second.line == 3 + halite("a").count("\n")


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("head", [b"", b"\xef\xbb\xbf", b"# caf\xe9\n", "# caf\u00e9\n".encode()])
def test_encodings_and_line_ends(tmp_path: Path, ending: str, head: bytes) -> None:
    path = tmp_path / "in.cif"
    path.write_bytes(head + TWO.replace("\n", ending).encode())
    assert names(path) == ["a", "b"]


def test_files_with_a_mark_of_byte_order_one_behind_the_other(tmp_path: Path) -> None:
    path = tmp_path / "in.cif"
    path.write_bytes(b"".join(b"\xef\xbb\xbf" + halite(name).encode() for name in "ab"))
    assert names(path) == ["a", "b"]


def test_data_in_a_text_field_starts_no_block(tmp_path: Path) -> None:
    note = "_note\n;\ndata_not_a_block\n;\n"
    path = tmp_path / "in.cif"
    path.write_text(halite("a") + note + halite("b"))
    assert names(path) == ["a", "b"]


@pytest.mark.parametrize("before", [True, False])
def test_data_of_the_whole_file_are_no_block(tmp_path: Path, before: bool) -> None:
    of_file = "global_ # journal\n_journal_year 1999\n;\ndata_in_a_text\n;\n"
    path = tmp_path / "x.cif"
    path.write_text(
        of_file + halite("a") + halite("b") if before else halite("a") + of_file + "GLOBAL_\n" + halite("b")
    )
    assert names(path) == ["a", "b"]


def test_blocks_behind_a_truncated_text_field_are_found(tmp_path: Path) -> None:
    path = tmp_path / "in.cif"
    closed = "_note\n;\nwhole\n;\n"
    path.write_text(halite("a") + "_note\n;\ncut off\n" + halite("b") + closed + halite("c"))
    found = names(path)
    assert found == ["a", "b", "c"]  # all of a's atoms stand before the field that is cut off
    path.write_text(halite("a")[:-12] + "_note\n;\ncut off\n" + halite("b"))
    found = names(path)
    assert "the loop of _atom_site_label" in found[0] and found[1:] == ["b"]


@given(
    st.lists(
        st.sampled_from(["data_x\n", ";\n", ";text\n", "_a 1\n", "# c\n", "\n", "data_\n", "DATA_y\n"]), max_size=30
    )
)
@settings(max_examples=200, deadline=None)
def test_splitting_loses_nothing_after_the_first_content(lines: list[str]) -> None:
    data = [line.encode() for line in lines]
    chunks = list(split_blocks(data))
    joined = b"".join(chunk.data for chunk in chunks)
    assert b"".join(data).endswith(joined) or joined == b"".join(data).lstrip(b"\n")
    dropped = b"".join(data)[: len(b"".join(data)) - len(joined)]
    assert all(not line.strip() or line.startswith(b"#") for line in dropped.split(b"\n"))
    for chunk in chunks:
        assert chunk.data.startswith(data[chunk.line - 1])


def test_an_oversized_block_is_dropped_and_the_next_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splitter, "MAX_BLOCK_BYTES", 2000)
    path = tmp_path / "in.cif"
    path.write_text(halite("a") + "# long\n" * 1000 + halite("b"))
    found = names(path)
    assert "limit" in found[0] and found[1:] == ["b"]


def test_an_endless_line_does_not_fill_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splitter, "MAX_BLOCK_BYTES", 10_000)
    path = tmp_path / "in.cif.gz"
    path.write_bytes(gzip.compress(b"data_x\n" + b"y" * 20_000_000 + b"\n" + halite("b").encode()))
    tracemalloc.start()
    found = names(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "limit" in found[0] and found[1:] == ["b"]
    assert peak < 3_000_000


def test_memory_is_flat_over_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "in.cif"
    with path.open("w") as handle:
        for i in range(3200):
            handle.write(halite(f"x{i}") + "# " + "filling " * 100 + "\n")
    sum(1 for _ in iter_raw([str(path)]))
    tracemalloc.start()
    count = sum(isinstance(raw, RawBlock) for raw in iter_raw([str(path)]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 3200 and peak < path.stat().st_size / 4


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\n\n# only a comment\n", "empty"),
        (b"hello world\n", "not CIF text"),
        (b"<html>data_x</html>\n", "not CIF text"),
        (b"\x00\x01\x02\x03" * 100, "not CIF text, but binary data of another kind; formats read: CIF text, CSV"),
        (b"\x1f\x8b\x08\x00garbage", "cannot be read to its end"),
        (gzip.compress(TWO.encode() * 50)[:-30], "cannot be read to its end"),
        (b"PK\x03\x04 not a zip", "cannot be read to its end"),
        (b"\x89HDF\r\n\x1a\n not really", "not a readable HDF5"),
    ],
)
def test_inputs_that_are_nothing(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "in"
    path.write_bytes(content)
    found = names(path)
    assert any(words in name for name in found if name.startswith("!"))


def test_missing_and_forbidden_files_leave_the_rest(tmp_path: Path) -> None:
    (tmp_path / "b.cif").write_text(halite("b"))
    records = list(iter_blocks([str(tmp_path / "no.cif"), str(tmp_path / "b.cif")]))
    assert isinstance(records[0], BadRecord) and records[0].message == "No such file or directory"
    assert isinstance(records[1], CifBlock)


def test_repeated_names_are_renamed_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "in.cif"
    path.write_text(halite("x") + halite("X") + halite("x.2") + halite("x"))
    warnings: list[str] = []
    blocks = list(iter_blocks([str(path)], warn=lambda source, line, name, text: warnings.append(text)))
    assert [block.name for block in blocks] == ["x", "X.2", "x.2.2", "x.3"]
    assert len({block.name.casefold() for block in blocks}) == 4
    for block in blocks:
        assert block.text.startswith(f"data_{block.name}\n") and block.crystal.name == block.name
    assert len(warnings) == 3 and "renamed to X.2" in warnings[0]


def test_folders_are_walked_in_order(tmp_path: Path) -> None:
    for name in ("b/z.cif", "b/a.cif", "a/x.cif", ".hidden.cif", ".git/y.cif", "a/readme.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(halite(Path(name).stem))
    (tmp_path / "loop").symlink_to(tmp_path)
    assert names(tmp_path) == ["x", "a", "z"]
    (tmp_path / "empty").mkdir()
    kinds = ".cif, .csv, .vasp, .xyz, .h5, .zip, .tar, POSCAR, CONTCAR"
    assert names(tmp_path / "empty") == [f"!the folder holds no structure files ({kinds})"]


# ---- archives


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def make_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


MEMBERS = {
    "b.cif": halite("b").encode(),
    "sub/a.cif.gz": gzip.compress(halite("a").encode()),
    "readme.txt": b"not for us",
    "sub/.hidden.cif": halite("h").encode(),
}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_tar(tmp_path: Path, mode: str) -> None:
    assert names(make_tar(tmp_path / "in.bin", MEMBERS, mode)) == ["b", "a"]


def test_zip(tmp_path: Path) -> None:
    assert names(make_zip(tmp_path / "in.bin", MEMBERS)) == ["b", "a"]


HOSTILE = {
    "../escape.cif": halite("up").encode(),
    "/etc/absolute.cif": halite("root").encode(),
    "x\\..\\back.cif": halite("back").encode(),
    "x\x1b[31m.cif": halite("escape").encode(),
}


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_archive_paths_are_names_and_nothing_is_unpacked(tmp_path: Path, make) -> None:
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    archive = make(folder / "in.bin", HOSTILE)
    before = sorted(tmp_path.rglob("*"))
    assert sorted(names(archive)) == ["back", "escape", "root", "up"]
    assert sorted(tmp_path.rglob("*")) == before and not os.path.exists("/etc/absolute.cif")


def test_tar_links_and_devices_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "in.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in (
            ("link.cif", tarfile.SYMTYPE),
            ("hard.cif", tarfile.LNKTYPE),
            ("pipe.cif", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    assert names(path) == ["!the archive holds no structure files"]


def test_archives_in_archives_end(tmp_path: Path) -> None:
    data = halite("a").encode()
    for _ in range(6):
        data = make_zip(tmp_path / "x.zip", {"x.zip": data}).read_bytes()
    (tmp_path / "bomb.zip").write_bytes(data)
    assert names(tmp_path / "bomb.zip") == ["!compressed or archived more than three times over"]


def test_a_damaged_member_leaves_the_others(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "in.zip", {"a.cif": halite("a").encode() * 3, "b.cif": halite("b").encode()})
    data = bytearray(path.read_bytes())
    start = data.index(b"a.cif") + 5
    data[start : start + 20] = b"\xff" * 20
    path.write_bytes(data)
    found = names(path)
    assert found[-1] == "b" and found[0].startswith("!cannot be read")


# ---- CSV


def csv_text(rows: list[str], header: str = ",material_id,cif,x") -> str:
    return header + "\n" + "\n".join(rows) + "\n"


def csv_row(number: int, identifier: str, text: str) -> str:
    return f'{number},{identifier},"{text}",0'


def test_csv_rows_are_named_by_material_id(tmp_path: Path) -> None:
    path = tmp_path / "in.csv.gz"
    path.write_bytes(gzip.compress(csv_text([csv_row(i, f"mp-{i}", halite("NaCl")) for i in range(3)]).encode()))
    blocks = list(iter_blocks([str(path)]))
    assert [block.name for block in blocks] == ["mp-0", "mp-1", "mp-2"]
    assert blocks[1].text.startswith("data_mp-1\n") and blocks[1].line == 2 + halite().count("\n") + 1


def test_csv_without_ids_keeps_block_names(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text(csv_text([f'"{halite("NaCl")}"', f'"{halite("KCl")}"'], header="cif,").replace("cif,\n", "cif,e\n"))
    assert names(path) == ["!CSV row has too few or many fields"] * 2
    path.write_text(csv_text([f'"{halite("NaCl")}",1', f'"{halite("KCl")}",2'], header="cif,e"))
    assert names(path) == ["NaCl", "KCl"]


def test_bad_csv_rows_leave_the_rest(tmp_path: Path) -> None:
    rows = [
        csv_row(0, "mp-0", halite()),
        "1,mp-1",
        csv_row(2, "mp-2", "no block"),
        "3,mp-3,,0",
        csv_row(4, "mp-4", halite().replace("0.5 0.5 0.5", "0.5 nan 0.5")),
        csv_row(5, "mp-5", halite("a") + halite("b")),
        csv_row(6, "mp-6", halite()),
    ]
    path = tmp_path / "in.csv"
    path.write_text(csv_text(rows))
    records = list(iter_blocks([str(path)]))
    assert [record.name for record in records] == [f"mp-{i}" for i in range(7)]
    assert [isinstance(record, CifBlock) for record in records] == [True, False, False, False, False, False, True]
    assert "site Cl1" in records[4].message and "2 data blocks" in records[5].message


def test_an_open_quote_in_csv_ends_with_a_line(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text(csv_text([csv_row(0, "mp-0", halite()), '1,mp-1,"data_x']))
    records = list(iter_blocks([str(path)]))
    assert isinstance(records[0], CifBlock) and isinstance(records[1], BadRecord)


# ---- resuming


def test_complete_blocks_of_a_partial_output() -> None:
    from crystaltool.io.cif import format_crystal
    from tests.textbook import BY_NAME

    texts = [format_crystal(BY_NAME[name].crystal(), name) for name in ("halite", "rutile", "pyrite")]
    whole = "".join(texts).encode()
    assert complete_blocks(io.BytesIO(whole)) == (["halite", "rutile", "pyrite"], len(whole))
    third = len("".join(texts[:2]).encode())
    for cut in [*range(third, third + 8), *range(third + 8, len(whole), 29), len(whole) - 1]:
        assert complete_blocks(io.BytesIO(whole[:cut])) == (["halite", "rutile"], third), cut


def test_raw_blocks_parse_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "in.cif"
    path.write_text(halite("a") + halite("b", _cell_length_a="?"))
    first, second = map(parse_raw, iter_raw([str(path)]))
    assert isinstance(first, CifBlock) and first.name == "a"
    assert second == BadRecord(str(path), halite().count("\n") + 1, "b", "_cell_length_a is '?', expected a number")


@pytest.mark.data
def test_mp20_rows_are_read(mp20: Path) -> None:
    """The first thousand rows of the data set as its users have it, all of them."""
    raws = list(itertools.islice(iter_raw([str(mp20 / "val.csv.gz")]), 1000))
    assert len(raws) == 1000
    assert all(isinstance(parse_raw(raw), CifBlock) for raw in raws)


FOREIGN = {
    "JSON": ('{"@module": "pymatgen.core.structure"}\n', "JSON"),
    "PDB": ("CRYST1   10.000   10.000   10.000  90.00  90.00  90.00 P 1\n", "PDB"),
    "res": ("TITL x\nCELL 0.71 5 5 5 90 90 90\n", "SHELX .res"),
}


@pytest.mark.parametrize("form", FOREIGN)
def test_formats_that_are_not_read_are_named_with_those_that_are(tmp_path: Path, form: str) -> None:
    text, name = FOREIGN[form]
    path = tmp_path / "in.vasp"
    for data in (text.encode(), text.replace("\n", "\r\n").encode(), gzip.compress(text.encode())):
        path.write_bytes(data)
        (found,) = names(path)
        assert f"it seems to be {name}, which is not read; formats read: CIF text, CSV with a 'cif' column" in found
    path.write_text("hello world\n")
    assert "seems" not in names(path)[0] and "formats read: CIF text" in names(path)[0]


def test_text_called_hdf5_is_no_cif(tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    path.write_text("cut off")
    assert names(path) == ["!not a readable HDF5 file, in spite of its name"]


@pytest.mark.parametrize(
    ("source", "stem"),
    [
        ("a/b/MgO.cif", "MgO"),
        ("x.tar.xz:dir/qmof-1.cif", "qmof-1"),
        ("x.zip:a.cif.gz", "a"),
        ("v1.2.CIF", "v1.2"),
        ("train.csv.gz", "train"),
        (".cif", ".cif"),
        ("noending", "noending"),
    ],
)
def test_stems_of_files(source: str, stem: str) -> None:
    assert file_stem(source) == stem


def test_blocks_called_as_their_files(tmp_path: Path) -> None:
    """A second block of a file is told apart without a word, a second file of one name with one."""
    for name, text in {"a.cif": halite("x") + halite("y"), "b.cif": halite("x"), "c/B.cif": halite("x")}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    said: list[tuple[str, str]] = []
    warn = lambda source, line, name, text: said.append((name, text))  # noqa: E731
    raws = [raw for raw in iter_raw([str(tmp_path)], warn, by_file=True) if isinstance(raw, RawBlock)]
    assert [(raw.name, raw.written) for raw in raws] == [("a", "x"), ("a.2", "y"), ("b", "x"), ("B.2", "x")]
    assert said == [("B", "file name repeats, renamed to B.2")]
    assert [parse_raw(raw).name for raw in raws] == ["a", "a.2", "b", "B.2"]
