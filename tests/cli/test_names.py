"""`--names file`, and what is said of a folder: a result can be traced to its file."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from crystaltool.io.stream import iter_blocks
from tests.cli.one_process import Child, one_process
from tests.conftest import ROOT

CASES = ROOT / "tests" / "data" / "cases"
OXIDES = {"BaO": 5.72, "CaO": 3.35, "MgO": 3.58, "NiO": 6.80, "SrO": 5.01}
"""Densities in g/cm3 (handbook values), by file; every block is called `image0`."""

SUMMARY = (
    "folder: NOTE, 9 files: 6 with structures, 2 without, 1 of other kinds passed over; "
    "6 structures: 5 read, 1 unreadable"
)


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with one_process() as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(CASES / "21-folder", tmp_path / "folder")
    return tmp_path


def test_check_names_the_files_and_sums_the_folder_up(child: Child, folder: Path) -> None:
    ended = child.run(folder, "check", "--names", "file", "--only", "density", "folder")
    found = {line.split("\t")[0]: float(line.split("\t")[3]) for line in ended.out.splitlines()[1:]}
    assert ended.code == 2 and found == pytest.approx(OXIDES, rel=0.05)
    assert ended.err.splitlines()[-1] == f"crystaltool check: {SUMMARY}"
    for bad in ("FeO-truncated.cif", "empty.cif", "html.cif"):
        assert sum(f"folder/{bad}" in line for line in ended.err.splitlines()) == 1
    assert "notes.txt" not in ended.err


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_asym_unit_names_the_files(child: Child, folder: Path, jobs: str) -> None:
    ended = child.run(folder, "asym-unit", "--names", "file", "-j", jobs, "-O", "out", "folder")
    assert ended.code == 2 and ended.err.splitlines()[-1] == f"crystaltool asym-unit: {SUMMARY}"
    assert sorted(path.stem for path in (folder / "out").iterdir()) == list(OXIDES)
    (block,) = iter_blocks([str(folder / "out" / "BaO.cif")])
    assert block.name == "BaO" and 56 in block.crystal.numbers
    data = child.run(folder, "asym-unit", "--names", "file", "-j", jobs, "-q", "-o", "out.h5", "folder")
    assert data.code == 2 and "NOTE" not in data.err


def test_without_it_blocks_keep_their_names(child: Child, folder: Path) -> None:
    ended = child.run(folder, "check", "--json", "--only", "density", "folder")
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert [row["structure"] for row in rows] == ["image0", "image0.2", "image0.4", "image0.5", "image0.6"]
    assert [Path(row["source"]).stem for row in rows] == list(OXIDES)


def test_relax_and_fragment_name_the_files(child: Child, tmp_path: Path) -> None:
    source = CASES / "15-block-names-image0"
    stems = sorted(path.stem for path in source.glob("*.cif"))
    ended = child.run(tmp_path, "relax", "--names", "file", "--max-steps", "0", "-o", "out.cif", source)
    assert ended.code == 0 and ended.err.splitlines()[-1].endswith(
        "15-block-names-image0: NOTE, 3 files: 3 with structures, 0 without, 0 of other kinds passed over; "
        "3 structures: 3 read, 0 unreadable"
    )
    assert [block.name for block in iter_blocks([str(tmp_path / "out.cif")])] == stems
    ended = child.run(tmp_path, "fragment", "-q", "--names", "file", "--report", "report.tsv", "-o", "out.h5", source)
    assert [line.split("\t")[0] for line in (tmp_path / "report.tsv").read_text().splitlines()[1:]] == stems


def test_a_folder_in_a_reference_is_named_by_file(child: Child, folder: Path) -> None:
    shutil.copy(folder / "folder" / "SrO.cif", folder / "in.cif")
    call = ("check", "--only", "novel", "-q", "--names", "file", "--reference", "folder", "in.cif")
    assert "matches SrO" in child.run(folder, *call).out


@pytest.mark.parametrize("suffix", [".csv", ".h5"])
def test_rows_of_tables_keep_their_identifiers(child: Child, folder: Path, suffix: str) -> None:
    text = (folder / "folder" / "MgO.cif").read_text()
    with (folder / "t.csv").open("w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerows([["material_id", "cif"], ["mp-1", text], ["mp-22", text]])
    if suffix == ".h5":
        assert child.run(folder, "asym-unit", "-q", "-o", "t.h5", "t.csv").code == 0
    ended = child.run(folder, "check", "--names", "file", "--only", "density", f"t{suffix}", "folder/CaO.cif")
    assert [line.split("\t")[0] for line in ended.out.splitlines()[1:]] == ["mp-1", "mp-22", "CaO"]
    assert ended.err.count("renamed") == 0


def test_rows_without_identifiers_are_called_as_their_file(child: Child, folder: Path) -> None:
    text = (folder / "folder" / "MgO.cif").read_text()
    with (folder / "t.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([["cif"], [text], [text]])
    ended = child.run(folder, "check", "--names", "file", "--only", "density", "t.csv")
    assert [line.split("\t")[0] for line in ended.out.splitlines()[1:]] == ["t", "t.2"]


def test_magnetic_cif_in_a_folder_is_read_and_everything_adds_up(child: Child, folder: Path) -> None:
    """Beside the five oxides: a file with two structures and one that is disordered, and a CSV with a bad row."""
    good = (folder / "folder" / "MgO.cif").read_text()
    bad = good.replace("_atom_site_fract_x", "_atom_site_occupancy", 1)
    (folder / "folder" / "spins.mcif").write_text(good + good + bad)
    (folder / "folder" / "table.csv").write_text('material_id,cif\nmp-1,"' + good.replace('"', '""') + '"\nmp-2\n')
    ended = child.run(folder, "check", "--names", "file", "--only", "density", "folder")
    names = [line.split("\t")[0] for line in ended.out.splitlines()[1:]]
    assert names == [*OXIDES, "spins", "spins.2", "mp-1"]
    assert ended.err.splitlines()[-1].endswith(
        "11 files: 8 with structures, 2 without, 1 of other kinds passed over; 11 structures: 8 read, 3 unreadable"
    )
