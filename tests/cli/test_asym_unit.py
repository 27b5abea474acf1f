"""`crystaltool asym-unit`: CIF and data set, there and back, bad records, workers."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from crystaltool.asymunit import expand, join_tables, tabulate
from crystaltool.crystal import Crystal
from crystaltool.io.cif import CifBlock, format_crystal
from crystaltool.io.hdf5 import read_asym_units, read_history, read_properties, read_texts, write_asym_units
from crystaltool.io.stream import iter_blocks
from tests.cli.one_process import Child, one_process
from tests.forcefield.units import CORUNDUM, PERICLASE, ROCK_SALT, RUTILE, SILICON, cubic, unit_of

UNITS = (SILICON, ROCK_SALT, PERICLASE, RUTILE, CORUNDUM)
LISTED = [format_crystal(expand(unit), unit.name) for unit in UNITS]
NO_CELL = "data_no-cell\n_cell_length_a 5\n\n"
COINCIDING = format_crystal(Crystal(np.eye(3) * 5, np.array([[0.1, 0.2, 0.3]] * 2), np.array([14, 32])), "coinciding")


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    """One process for the whole module."""
    with one_process() as running:
        yield running


def read(path: Path) -> list[CifBlock]:
    blocks = list(iter_blocks([str(path)]))
    assert all(isinstance(block, CifBlock) for block in blocks)
    return blocks


def same_atoms(one: CifBlock, other: CifBlock) -> bool:
    """Whether the sorted interatomic distances of two cells agree within 1e-5 A: equal up to rotation and origin."""
    if sorted(one.crystal.numbers) != sorted(other.crystal.numbers):
        return False
    spectra = []
    for crystal in (one.crystal, other.crystal):
        apart = crystal.frac_coords[:, None] - crystal.frac_coords
        spectra.append(np.sort(np.linalg.norm((apart - np.round(apart)) @ crystal.lattice, axis=2).ravel()))
    return bool(np.abs(spectra[0] - spectra[1]).max() < 1e-5)


@pytest.mark.parametrize(("symprec", "fits"), [("5", False), ("1.1", False), ("0", False), ("nan", False), ("1", True)])
def test_a_tolerance_beyond_bonds_is_a_usage_error(child: Child, tmp_path: Path, symprec: str, fits: bool) -> None:
    (tmp_path / "in.cif").write_text(LISTED[0])
    ended = child.run(tmp_path, "asym-unit", "--symprec", symprec, "in.cif")
    assert ended.code == (0 if fits else 2) and ("--symprec" in ended.err) != fits


def test_reduce_and_expand_give_the_crystals_back(child: Child, tmp_path: Path) -> None:
    (tmp_path / "in.cif").write_text("".join(LISTED))
    assert child.run(tmp_path, "asym-unit", "-o", tmp_path / "units.cif", tmp_path / "in.cif").code == 0
    units = read(tmp_path / "units.cif")
    assert [block.declared_group for block in units] == [unit.group for unit in UNITS]
    assert [block.site_letters for block in units] == [unit.letters for unit in UNITS]
    assert [block.site_multiplicities for block in units] == [tuple(unit.multiplicities) for unit in UNITS]
    assert all(len(block.history) == 1 and " | asym-unit -o " in block.history[0] for block in units)
    assert child.run(tmp_path, "asym-unit", "--expand", "-o", tmp_path / "back.cif", tmp_path / "units.cif").code == 0
    back = read(tmp_path / "back.cif")
    assert [len(block.history) for block in back] == [2] * len(UNITS)
    for block, given in zip(back, read(tmp_path / "in.cif"), strict=True):
        assert block.name == given.name and block.declared_group == 1
        assert same_atoms(block, given)


def test_data_set_holds_the_same_and_expands_too(child: Child, tmp_path: Path) -> None:
    (tmp_path / "in.cif").write_text("".join(LISTED))
    assert child.run(tmp_path, "asym-unit", "-o", tmp_path / "data.h5", tmp_path / "in.cif").code == 0
    table = read_asym_units(tmp_path / "data.h5")
    assert table.names == tuple(unit.name for unit in UNITS)
    assert [unit.letters for unit in table] == [unit.letters for unit in UNITS]
    assert [unit.group for unit in table] == [unit.group for unit in UNITS]
    assert " | asym-unit -o " in read_history(tmp_path / "data.h5")[0]
    assert child.run(tmp_path, "asym-unit", "--expand", "-o", tmp_path / "back.cif", tmp_path / "data.h5").code == 0
    for block, given in zip(read(tmp_path / "back.cif"), read(tmp_path / "in.cif"), strict=True):
        assert same_atoms(block, given)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A compressed CSV file as MP-20's, with two bad rows."""
    path = tmp_path / "in.csv.gz"
    with gzip.open(path, "wt", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["material_id", "cif"])
        for index, text in enumerate([LISTED[0], NO_CELL, *LISTED[1:3], COINCIDING, *LISTED[3:]]):
            writer.writerow([f"mp-{index}", text])
    return path


@pytest.mark.parametrize("output", ["out.cif", "out.h5"])
def test_bad_rows_are_reported_and_the_rest_is_done(child: Child, mixed: Path, tmp_path: Path, output: str) -> None:
    ended = child.run(tmp_path, "asym-unit", "-o", output, mixed)
    assert ended.code == 2 and ended.err.count(": ERROR, ") == 2
    assert "data_mp-1: ERROR, no _cell_length_b, the cell is missing" in ended.err
    assert "data_mp-4: ERROR, sites Si1 and Ge1 are in one place (0.00 A apart) and of different elements" in ended.err
    expected = ["mp-0", "mp-2", "mp-3", "mp-5", "mp-6"]
    if output == "out.h5":
        assert list(read_asym_units(tmp_path / output).names) == expected
    else:
        assert [block.name for block in read(tmp_path / output)] == expected


def test_two_workers_write_the_same(child: Child, mixed: Path, tmp_path: Path) -> None:
    outputs = []
    for jobs in ("1", "2"):
        text = child.run(tmp_path, "asym-unit", "--no-provenance", "-j", jobs, mixed)
        data = child.run(tmp_path, "asym-unit", "--no-provenance", "-j", jobs, "-o", f"{jobs}.h5", mixed)
        assert text.code == data.code == 2 and text.out.count("\ndata_") == 4
        outputs.append((text, data.err, (tmp_path / f"{jobs}.h5").read_bytes()))
    assert outputs[0] == outputs[1]


def test_chunks_of_any_size_give_the_same_table(child: Child, mixed: Path, tmp_path: Path) -> None:
    command = ("asym-unit", "--no-provenance", "-q", "-o")
    child.run(tmp_path, *command, "one.h5", mixed)
    with one_process("from crystaltool.cli import asym_unit; asym_unit.CHUNK = 2") as small_chunks:
        small_chunks.run(tmp_path, *command, "two.h5", mixed)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


CRASHING = """
from crystaltool.cli import asym_unit
real = asym_unit.reduce_chunk
def crashing(symprec, chunk):
    if any(raw.name == "mp-3" for raw in chunk):
        raise RuntimeError("library crashed")
    return real(symprec, chunk)
asym_unit.reduce_chunk = crashing
"""


def test_a_chunk_that_fails_as_a_whole_is_done_one_by_one(mixed: Path, tmp_path: Path) -> None:
    with one_process(CRASHING) as crashing:
        ended = crashing.run(tmp_path, "asym-unit", "-o", "out.h5", mixed)
    assert ended.code == 2
    assert read_asym_units(tmp_path / "out.h5").names == ("mp-0", "mp-2", "mp-5", "mp-6")
    assert "data_mp-3: ERROR, internal error, RuntimeError: library crashed" in ended.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--expand", "-o", "out.h5"], "--expand writes CIF, not HDF5"),
        (["-O", "folder", "-o", "out.h5"], "-o and -O exclude each other"),
        (["-o", "there.h5"], "there.h5"),
    ],
)
def test_options_that_contradict(child: Child, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "in.cif").write_text(LISTED[0])
    (tmp_path / "there.h5").write_text("kept")
    ended = child.run(tmp_path, "asym-unit", *arguments, "in.cif")
    assert ended.code == 2 and ended.out == ""
    assert message in ended.err and ended.err.count("\n") == 1
    assert (tmp_path / "there.h5").read_text() == "kept" and not (tmp_path / "out.h5").exists()


def test_what_cannot_be_read_at_all_is_no_data_set_that_resume_takes_for_done(child: Child, tmp_path: Path) -> None:
    (tmp_path / "bad.cif").write_text("data_x\n_cell_length_a 1\n")
    for _ in range(2):
        ended = child.run(tmp_path, "asym-unit", "--resume", "missing.cif", "bad.cif", "-o", "out.h5")
        assert ended.code == 2 and "missing.cif: ERROR" in ended.err and "data_x: ERROR" in ended.err
        assert not (tmp_path / "out.h5").exists()
    (tmp_path / "missing.cif").write_text(LISTED[0])
    assert child.run(tmp_path, "asym-unit", "--resume", "missing.cif", "bad.cif", "-o", "out.h5").code == 2
    assert len(read_asym_units(tmp_path / "out.h5").names) == 1


def test_an_empty_data_set_can_be_joined() -> None:
    table = join_tables([tabulate([]), tabulate([SILICON]), tabulate([]), tabulate([RUTILE, CORUNDUM])])
    assert table.names == ("silicon", "rutile", "corundum") and list(table.n_orbits) == [1, 2, 2]
    np.testing.assert_array_equal(table[2].free_coords, CORUNDUM.free_coords)


def units_of(path: Path) -> list[bytes]:
    """Every array of a data set but the names."""
    with h5py.File(path) as file:
        keys = ("group", "lattice", "n_orbits", "numbers", "positions", "free_coords")
        return [file[key][...].tobytes() for key in keys]


def test_data_sets_are_merged_as_they_are(child: Child, tmp_path: Path) -> None:
    """Zinc blende's positions of equal atoms in F-43m: a detector would find diamond's group."""
    low = unit_of(216, cubic(5.43), [("Si", "a", ()), ("Si", "c", ())])
    gaps = {"gap": np.array([1.1, 2])}
    write_asym_units(tmp_path / "a.h5", tabulate([replace(low, name="x"), RUTILE]), properties=gaps)
    write_asym_units(tmp_path / "b.h5", tabulate([replace(CORUNDUM, name="x")]), texts={"source": ["a paper"]})
    ended = child.run(tmp_path, "asym-unit", "a.h5", "b.h5", "-o", "c.h5")
    assert ended.code == 0 and "data_x: WARNING, block name repeats, renamed to x.2" in ended.err
    table = read_asym_units(tmp_path / "c.h5")
    assert table.names == ("x", "rutile", "x.2") and table.group.tolist() == [216, 136, 167]
    write_asym_units(tmp_path / "expected.h5", tabulate([low, RUTILE, CORUNDUM]))
    assert units_of(tmp_path / "c.h5") == units_of(tmp_path / "expected.h5")
    np.testing.assert_array_equal(read_properties(tmp_path / "c.h5")["gap"], [1.1, 2, np.nan])
    assert read_texts(tmp_path / "c.h5") == {"source": ["", "", "a paper"]}
    assert child.run(tmp_path, "asym-unit", "a.h5", "-o", "a.cif").code == 0
    first, _ = read(tmp_path / "a.cif")
    assert first.declared_group == 216 and first.properties == {"gap": "1.1"}
    assert child.run(tmp_path, "asym-unit", "--symprec", "0.01", "a.h5", "-o", "again.h5").code == 0
    assert read_asym_units(tmp_path / "again.h5").group.tolist() == [227, 136]


def test_columns_of_a_csv_file_survive(child: Child, tmp_path: Path) -> None:
    header = ["", "material_id", "band_gap", "spacegroup.number", "pretty_formula", "cif", "CO2 uptake [mmol/g]", "id"]
    with (tmp_path / "in.csv").open("w", newline="") as handle:
        rows = [[0, "a", "0.5", 227, "Si", LISTED[0], "", "1_2"], [1, "b", "", 225, "NaCl's", LISTED[1], "1e-3", "x"]]
        csv.writer(handle).writerows([header, *rows])
    assert child.run(tmp_path, "asym-unit", "in.csv", "-o", "out.h5").code == 0
    numbers = read_properties(tmp_path / "out.h5")
    assert numbers.keys() == {"band_gap", "spacegroup_number", "co2_uptake_mmol_g"}
    np.testing.assert_array_equal(numbers["spacegroup_number"], [227, 225])
    np.testing.assert_array_equal(numbers["band_gap"], [0.5, np.nan])
    np.testing.assert_array_equal(numbers["co2_uptake_mmol_g"], [np.nan, 1e-3])
    assert read_texts(tmp_path / "out.h5") == {"pretty_formula": ["Si", "NaCl's"], "id": ["1_2", "x"]}
    for source in ("in.csv", "out.h5"):
        assert child.run(tmp_path, "asym-unit", source, "-o", "out.cif", "--overwrite").code == 0
        first, second = (block.properties for block in read(tmp_path / "out.cif"))
        assert first == {"band_gap": "0.5", "spacegroup_number": "227", "pretty_formula": "Si", "id": "1_2"}
        assert float(second.pop("co2_uptake_mmol_g")) == 1e-3
        assert second == {"spacegroup_number": "225", "pretty_formula": "NaCl's", "id": "x"}
    assert child.run(tmp_path, "check", "--pass", "-q", "--only", "cell", "in.csv", "-o", "good.cif").code == 0
    assert [block.properties["spacegroup_number"] for block in read(tmp_path / "good.cif")] == ["227", "225"]


@pytest.mark.data
def test_first_rows_of_mp20_have_the_groups_that_it_lists(child: Child, mp20: Path, tmp_path: Path) -> None:
    """spglib's labels at 0.1 A; moyopy differs on 0.6 % of the whole set."""
    with gzip.open(mp20 / "val.csv.gz", "rt", newline="") as handle:
        rows = [row for row, _ in zip(csv.DictReader(handle), range(300), strict=False)]
    with (tmp_path / "head.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    assert (
        child.run(tmp_path, "asym-unit", "--symprec", "0.1", "-o", tmp_path / "out.h5", tmp_path / "head.csv").code == 0
    )
    table = read_asym_units(tmp_path / "out.h5")
    assert table.names == tuple(row["material_id"] for row in rows)
    agreed = np.mean(table.group == np.array([int(row["spacegroup.number"]) for row in rows]))
    assert agreed >= 0.98


JUDGED = {"check_all": "pass", "check_exact_group": "fail", "e_above_hull": "0.02"}


@pytest.mark.parametrize("options", [[], ["--expand"]])
def test_verdicts_do_not_outlive_the_structure_that_was_judged(
    child: Child, tmp_path: Path, options: list[str]
) -> None:
    (tmp_path / "in.cif").write_text(format_crystal(expand(RUTILE), "rutile", properties=JUDGED))
    assert child.run(tmp_path, "asym-unit", *options, "-o", "out.cif", "in.cif").code == 0
    assert read(tmp_path / "out.cif")[0].properties == {"e_above_hull": "0.02"}


def test_a_data_set_holds_no_verdicts_of_other_structures(child: Child, tmp_path: Path) -> None:
    (tmp_path / "in.cif").write_text(format_crystal(expand(RUTILE), "rutile", properties=JUDGED))
    assert child.run(tmp_path, "asym-unit", "-o", "out.h5", "in.cif").code == 0
    assert list(read_properties(tmp_path / "out.h5")) == ["e_above_hull"]
    assert not read_texts(tmp_path / "out.h5")
