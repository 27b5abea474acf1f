"""Every kind of bad input through the commands that read structures: one clear line, exit 2, the rest done."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from tests.io.blocks import halite

GOOD = halite("good")


def sites(*rows: str) -> str:
    """A block named `bad` with these sites."""
    return halite("bad").rsplit("Na1 Na", 1)[0] + "".join(f"{row}\n" for row in rows)


def hdf5(change: Callable[[h5py.File], None]) -> Callable[[Path], None]:
    """Writes an HDF5 file that looks like ours and is then changed."""

    def write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            file.attrs["crystaltool_format"] = 1
            file.attrs["kind"] = "asym-unit"
            change(file)

    return write


def text(content: str | bytes) -> Callable[[Path], None]:
    """Writes these contents."""
    return lambda path: path.write_bytes(content if isinstance(content, bytes) else content.encode()) and None


def foreign(file: h5py.File) -> None:
    del file.attrs["crystaltool_format"]


def hostile(file: h5py.File) -> None:
    file.create_dataset("lattice", shape=(10**12, 3, 3), dtype="f8", chunks=(64, 3, 3))


def linked(file: h5py.File) -> None:
    file["group"] = h5py.ExternalLink("/etc/passwd", "/")


BAD = {
    "truncated": (text(halite("bad")[:-8]), "the loop of _atom_site_label has 10 values for 6 tags"),
    "empty": (text(""), "empty, expected CIF text"),
    "partial occupancy": (text(sites("Na1 Na 0 0 0 0.5")), "site Na1 is partially occupied (0.5)"),
    "disorder": (
        text(halite("bad").replace("_atom_site_occupancy", "_atom_site_disorder_group")),
        "site Na1 is disordered (group 1)",
    ),
    "missing cell": (text(halite("bad", _cell_length_a="")), "no _cell_length_a, the cell is missing"),
    "unknown coordinate": (text(sites("Na1 Na 0 ? 0 1")), "site Na1: _atom_site_fract_y is '?'"),
    "nan coordinate": (text(sites("Na1 Na 0 nan 0 1")), "site Na1: _atom_site_fract_y is 'nan'"),
    "100,000 atoms": (
        text(sites(*(f"Na{i} Na 0 0 {i / 1e5:.5f} 1" for i in range(100_000)))),
        "100000 sites, the limit is 20000 atoms",
    ),
    "two statements": (text(halite("bad", _cell_length_a="5\n_cell_length_a 6")), "_cell_length_a is given twice"),
    "two elements": (text(sites("Na1 Na 0 0 0 1", "K1 K 0 0 0 1")), "sites Na1 and K1 are in one place"),
    "foreign HDF5": (hdf5(foreign), "not written by crystaltool"),
    "hostile HDF5": (hdf5(hostile), "the limit is"),
    "linked HDF5": (hdf5(linked), "soft or external link"),
    "broken HDF5": (text(b"\x89HDF\r\n\x1a\n" + b"\0" * 64), "not a readable HDF5 file"),
    "truncated gzip": (text(gzip.compress(GOOD.encode() * 40)[:-9]), "cannot be read to its end"),
    "binary": (text(b"\x7fELF\0\0\0\0"), "not CIF text"),
    "no such file": (lambda path: None, "No such file or directory"),
}


@pytest.mark.parametrize("command", ["asym-unit", "check"])
def test_each_is_one_line_and_the_rest_is_done(crystaltool, tmp_path: Path, command: str) -> None:
    """One run over all of them, so that the command starts once: a line for each, and the good block at the end."""
    files = []
    for index, (write, _) in enumerate(BAD.values()):
        files.append(f"bad{index}")
        write(tmp_path / files[-1])
    (tmp_path / "good.cif").write_text(GOOD)
    done = crystaltool(command, "-q", *files, "good.cif")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    for name, file, (_, words) in zip(BAD, files, BAD.values(), strict=True):
        about = [line for line in lines if f" {file}(" in line or f" {file}:" in line]
        assert len(about) == 1, (name, about)
        assert about[0].startswith(f"crystaltool {command}: ") and ": ERROR, " in about[0] and words in about[0], name
    assert len(lines) == len(BAD)
    assert re.search(r"(?m)^(data_)?good\b", done.stdout) and not re.search(r"(?m)^(data_)?bad", done.stdout)


@pytest.mark.parametrize("command", ["asym-unit", "check"])
def test_nothing_is_left_half_written(crystaltool, tmp_path: Path, command: str) -> None:
    (tmp_path / "in.cif").write_text(halite("a") + halite("b", _cell_length_a="?"))
    done = crystaltool(command, "-q", "--fail-fast", "in.cif", "-o", "out")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.cif"]
    done = crystaltool(command, "-q", "in.cif", "-o", "in.cif", "--overwrite")
    assert done.returncode == 2 and "is the input" in done.stderr
    done = crystaltool(command, "-q", "in.cif", "-o", "/dev/full")
    assert done.returncode == 2 and "No space left on device" in done.stderr
