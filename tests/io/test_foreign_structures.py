"""POSCAR and extended XYZ against ASE and pymatgen, and what is refused of them."""

from __future__ import annotations

import gzip
import io
import logging
import warnings
from pathlib import Path

import numpy as np
import pytest

from crystaltool.crystal import Crystal
from crystaltool.io.cif import parse_block
from crystaltool.io.extxyz import format_extxyz
from crystaltool.io.names import holds_structures
from crystaltool.io.poscar import format_poscar, parse_poscar, read_poscar
from crystaltool.io.records import BadRecord
from crystaltool.io.remarks import NOTE
from crystaltool.io.stream import iter_blocks

TRICLINIC = Crystal(
    np.array([[3.1, 0.0, 0.0], [0.4, 4.2, 0.0], [-0.7, 0.9, 5.3]]),
    np.array([[0.1, 0.2, 0.3], [0.75, 0.5, 0.05], [0.4, 0.9, 0.6], [0.99, 0.01, 0.5]]),
    np.array([8, 26, 8, 3]),
    "odd",
)
POSCAR = "an oxide\n1.0\n3.1 0 0\n0.4 4.2 0\n-0.7 0.9 5.3\nO Fe Li\n2 1 1\nDirect\n{rows}"
ROWS = "0.1 0.2 0.3\n0.4 0.9 0.6\n0.75 0.5 0.05\n0.99 0.01 0.5\n"
FRAME = '2\nLattice="5.6 0 0 0 5.6 0 0 0 5.6" {info}\nNa 0 0 0\nCl 2.8 2.8 2.8\n'
SHARES = 'occupancy="_JSON {\\"0\\": {%s}, \\"1\\": {\\"Cl\\": 1}}"'
"""How ASE writes the shares of a site's elements beside its main one."""


def distances(lattice, coords, numbers) -> list[tuple[int, int, float]]:
    """Shortest distances of all pairs, which hang on neither basis nor origin nor order."""
    cells = np.stack(np.meshgrid(*[range(-2, 3)] * 3), axis=-1).reshape(-1, 3)
    found = []
    for i in range(len(numbers)):
        for j in range(i):
            near = np.linalg.norm((coords[i] - coords[j] + cells) @ lattice, axis=1).min()
            found.append((*sorted((int(numbers[i]), int(numbers[j]))), near))
    return sorted(found)


def same(crystal: Crystal, lattice, coords, numbers) -> None:
    ours = distances(crystal.lattice, crystal.frac_coords, crystal.numbers)
    theirs = distances(np.array(lattice), np.array(coords), np.array(numbers))
    assert [pair[:2] for pair in ours] == [pair[:2] for pair in theirs]
    np.testing.assert_allclose([pair[2] for pair in ours], [pair[2] for pair in theirs], atol=1e-6)
    assert crystal.volume == pytest.approx(abs(np.linalg.det(lattice)))


VARIANTS = {
    "direct": POSCAR.format(rows=ROWS),
    "scaled": POSCAR.format(rows=ROWS).replace("\n1.0\n", "\n1.7 \n"),
    "a volume": POSCAR.format(rows=ROWS).replace("\n1.0\n", "\n-120.0\n"),
    "selective": POSCAR.format(rows=ROWS.replace("\n", " T T F\n")).replace("Direct", "Selective dynamics\nDirect"),
    "cartesian": POSCAR.format(rows="0 0 0\n1.5 0.5 0.1\n0.2 2.0 0.3\n0.3 0.1 2.5\n")
    .replace("Direct", "Cartesian")
    .replace("\n1.0\n", "\n1.3\n"),
    "left-handed": POSCAR.format(rows=ROWS).replace("3.1 0 0\n0.4 4.2 0", "0.4 4.2 0\n3.1 0 0"),
    "elements behind": POSCAR.format(rows=ROWS.replace("\n", " O\n", 2).replace("0.05\n", "0.05 Fe\n")),
    "velocities": POSCAR.format(rows=ROWS) + "\n" + " 0.0 0.0 0.1\n" * 4,
}


@pytest.mark.parametrize("form", VARIANTS)
def test_a_poscar_is_what_ase_and_pymatgen_read(form: str) -> None:
    from ase.io import read
    from pymatgen.io.vasp import Poscar

    found = parse_poscar(VARIANTS[form])
    theirs = read(io.StringIO(VARIANTS[form]), format="vasp")
    same(found, theirs.cell.array, theirs.get_scaled_positions(), theirs.numbers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = Poscar.from_str(VARIANTS[form]).structure
    same(found, other.lattice.matrix, other.frac_coords, other.atomic_numbers)


def test_three_scales_are_of_x_y_and_z() -> None:
    found = parse_poscar(POSCAR.format(rows=ROWS).replace("\n1.0\n", "\n1.0 2.0 0.5\n"))
    same(found, np.array([[3.1, 0, 0], [0.4, 8.4, 0], [-0.7, 1.8, 2.65]]), found.frac_coords, found.numbers)


def test_names_of_potentials_are_no_part_of_the_element() -> None:
    found = parse_poscar(POSCAR.format(rows=ROWS).replace("O Fe Li", "O_s Fe_pv/3f2a Li_sv"))
    assert found.numbers.tolist() == [8, 8, 26, 3]


REFUSED = {
    "vasp 4": (POSCAR.format(rows=ROWS).replace("O Fe Li\n", ""), "line 6 names no elements (a file of VASP 4)"),
    "no element": (POSCAR.format(rows=ROWS).replace("Fe", "Xx"), "'Xx' is not an element"),
    "too few": (POSCAR.format(rows="0 0 0\n"), "1 positions, expected 4"),
    "no mode": (POSCAR.format(rows=ROWS).replace("Direct\n", ""), "expected Direct or Cartesian"),
    "flat": (POSCAR.format(rows=ROWS).replace("0.4 4.2 0", "6.2 0 0"), "the cell has no volume"),
    "a word": (POSCAR.format(rows=ROWS.replace("0.75", "x")), "line 11 is 'x 0.5 0.05', expected 3 numbers"),
    "not finite": (POSCAR.format(rows=ROWS.replace("0.75", "nan")), "line 11 is"),
    "counts": (POSCAR.format(rows=ROWS).replace("2 1 1", "2 1"), "expected 3 whole numbers"),
    "too many": (POSCAR.format(rows=ROWS).replace("2 1 1", "99999 1 1"), "the limit is 20000"),
    "molecule": ("1\n\nC 0.0 0.0 -1e-3\n", "no Lattice in the comment line: a molecule, expected a crystal"),
    "slab": (FRAME.format(info='pbc="T T F"'), "not periodic in three directions"),
    "flat frame": (FRAME.format(info="").replace("0 5.6 0 0 0 5.6", "5.6 0 0 0 0 5.6"), "the cell has no volume"),
    "no species": (FRAME.format(info="Properties=pos:R:3"), "neither species nor Z"),
    "dummy": (FRAME.format(info="").replace("Cl", "X"), "'X' is not an element"),
    "short": (FRAME.format(info="")[:-18], "ends after 1 of 2 atoms"),
    "more counts": (
        POSCAR.format(rows=ROWS).replace("2 1 1", "2 1 1 1"),
        "line 7 has more counts than line 6 elements",
    ),
    "more positions": (POSCAR.format(rows=ROWS + "0.1 0.2 0.3\n"), "line 13 is a position more than the 4"),
    "another element": (POSCAR.format(rows=ROWS.replace("\n", " Fe\n")), "line 9 says Fe, by the counts it is O"),
    "two elements": (
        FRAME.format(info="Properties=species:S:1:pos:R:3:Z:I:1").replace("0 0 0\n", "0 0 0 12\n"),
        "1 is Na and",
    ),
    "shares": (
        FRAME.format(info=SHARES % ('\\"Na\\": 0.6, \\"K\\": 0.4')),
        "site 0 is partially occupied (Na 0.6, K 0.4)",
    ),
    "a share": (FRAME.format(info=SHARES % '\\"Na\\": 0.6'), "site 0 is partially occupied (Na 0.6)"),
    "six numbers": (FRAME.format(info="").replace('0 0 0 5.6"', '0"'), "expected 9"),
}


@pytest.mark.parametrize("form", REFUSED)
def test_what_is_not_certain_is_refused_in_one_line(tmp_path: Path, form: str) -> None:
    text, words = REFUSED[form]
    (tmp_path / "in").write_text(text)
    (found,) = iter_blocks([str(tmp_path / "in")])
    assert isinstance(found, BadRecord) and words in found.message and "\n" not in found.message


@pytest.mark.parametrize(
    "text",
    [POSCAR.format(rows=ROWS) * 2, POSCAR.format(rows=ROWS) + f"Direct configuration=     2\n{ROWS}"],
    ids=["two POSCARs", "XDATCAR"],
)
def test_a_second_structure_in_a_poscar_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "in").write_text(text)
    block, further = iter_blocks([str(tmp_path / "in")])
    assert not isinstance(block, BadRecord) and block.crystal.n_atoms == 4
    assert isinstance(further, BadRecord) and further.line == 13 and "another structure begins here" in further.message


@pytest.mark.parametrize(
    "text", [POSCAR.format(rows=ROWS).replace("Li", "D"), FRAME.format(info="").replace("Na", "D")]
)
def test_deuterium_is_said_to_be_read_as_hydrogen(tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str) -> None:
    (tmp_path / "in").write_text(text)
    with caplog.at_level(NOTE):
        (block,) = iter_blocks([str(tmp_path / "in")])
    assert not isinstance(block, BadRecord) and 1 in block.crystal.numbers
    assert "deuterium is read as H" in caplog.text


def test_whole_shares_of_ase_are_read(tmp_path: Path) -> None:
    (tmp_path / "in").write_text(FRAME.format(info=SHARES % '\\"Na\\": 1.0'))
    (block,) = iter_blocks([str(tmp_path / "in")])
    assert not isinstance(block, BadRecord) and block.crystal.n_atoms == 2


@pytest.mark.parametrize("wrap", [bytes, gzip.compress, lambda data: data.replace(b"\n", b"\r\n")])
def test_both_are_told_by_their_content_whatever_the_file_is_called(tmp_path: Path, wrap) -> None:
    path = tmp_path / "in.dat"
    path.write_bytes(wrap(POSCAR.format(rows=ROWS).encode()))
    (block,) = iter_blocks([str(path)])
    assert (block.name, block.crystal.n_atoms, block.declared_group) == ("an_oxide", 4, 1)
    path.write_bytes(wrap(FRAME.format(info="energy=-1.5 name='rock salt' stress=\"1 2 3\"").encode()))
    (block,) = iter_blocks([str(path)])
    assert (block.name, block.formula_sum) == ("rock_salt", "Cl Na") and block.properties == {"energy": "-1.5"}


def test_frames_follow_each_other_and_a_bad_one_is_skipped(tmp_path: Path) -> None:
    good = FRAME.format(info='Properties=Z:I:1:pos:R:3 pbc="T T T"').replace("Na", "11").replace("Cl", "17")
    (tmp_path / "in.xyz").write_text(good + good.replace("2.8", "x") + "\n" + FRAME.format(info="") + "hello\n")
    found = list(iter_blocks([str(tmp_path / "in.xyz")]))
    assert [block.name for block in found] == ["in", "in-1", "in-2", ""]
    assert [isinstance(block, BadRecord) for block in found] == [False, True, False, True]
    assert "expected a number of atoms; the rest is not read" in found[3].message
    assert [block.line for block in found] == [1, 5, 10, 14]


FOUND = ("POSCAR", "CONTCAR.gz", "POSCAR-001", "contcar_relaxed.xz", "a.vasp", "b.xyz", "c.extxyz.xz", "d.poscar")


@pytest.mark.parametrize("name", FOUND)
def test_a_folder_finds_them_by_name(name: str) -> None:
    assert holds_structures(name)


@pytest.mark.parametrize("name", ["OUTCAR", "POSCAR.txt", "POSCAR_notes.txt", "POSCARS", ".POSCAR-001"])
def test_a_folder_passes_over_others(name: str) -> None:
    assert not holds_structures(name)


ONE = POSCAR.format(rows=ROWS)
MORE = {
    "cat": (ONE + VARIANTS["selective"], 13),
    "after velocities": (VARIANTS["velocities"] + ONE, 18),
    "behind an empty line": (ONE + "\n" + ONE, 14),
    "XDATCAR": (ONE.replace("Direct", "Direct configuration=     1") + "Direct configuration=     2\n" + ROWS, 13),
    "XDATCAR with cells": (ONE.replace("Direct", "Direct configuration=     1") * 2, 13),
}


@pytest.mark.parametrize("form", MORE)
def test_a_second_structure_of_a_poscar_is_no_silent_loss(tmp_path: Path, form: str) -> None:
    text, line = MORE[form]
    (tmp_path / "in").write_text(text)
    first, second = iter_blocks([str(tmp_path / "in")])
    assert not isinstance(first, BadRecord) and first.crystal.n_atoms == 4
    assert isinstance(second, BadRecord) and "another structure begins here" in second.message and second.line == line


@pytest.mark.parametrize("form", VARIANTS)
def test_what_else_follows_the_positions_is_no_structure(form: str) -> None:
    velocities = "Lattice velocities and vectors\n  1\n" + " 0.0 0.0 0.1\n" * 6 + "\n" + " 0.0 0.0 0.1\n" * 4
    assert (
        read_poscar(VARIANTS[form] + velocities + "\n 24 24 24\n 0.1 0.2\naugmentation occupancies 1 4\n").next_line
        is None
    )


def test_atoms_that_a_file_fixes_are_a_note(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    import ase.io
    from ase import Atoms
    from ase.constraints import FixAtoms, FixCartesian

    atoms = Atoms("NaCl", cell=[5.6] * 3, scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], pbc=True)
    caplog.set_level(logging.INFO, "crystaltool")
    whole = ((), [FixAtoms([0])], [FixAtoms([0, 1])])
    along_x = ((), [FixCartesian([0], (True, False, False))])
    for ending, form, constraints in (("vasp", "vasp", whole), ("xyz", "extxyz", whole), ("xyz", "extxyz", along_x)):
        for n_fixed, constraint in enumerate(constraints):
            atoms.set_constraint(constraint)
            ase.io.write(path := tmp_path / f"in.{ending}", atoms, format=form)
            caplog.clear()
            (block,) = iter_blocks([str(path)])
            assert not isinstance(block, BadRecord)
            words = [record.getMessage() for record in caplog.records]
            assert len(words) == (n_fixed > 0) and all(f": {n_fixed} atom" in text for text in words)
    assert read_poscar(VARIANTS["selective"]).n_fixed == 4


def test_what_is_written_is_read_by_ase_and_pymatgen_and_by_us() -> None:
    from ase.io import read
    from pymatgen.io.vasp import Poscar

    values = {"e_above_hull": "0.03", "note": 'a "b" \\ c', "hull_decomposition": "1.0 NaCl (mp-1)"}
    text = format_extxyz(TRICLINIC, "odd", values)
    first, second = read(io.StringIO(text * 2), ":", format="extxyz")
    same(TRICLINIC, first.cell.array, first.get_scaled_positions(), first.numbers)
    assert first.pbc.all() and first.info["name"] == "odd" and first.info["e_above_hull"] == 0.03
    assert first.info["hull_decomposition"] == values["hull_decomposition"] and second.info["note"] == values["note"]
    text = format_poscar(TRICLINIC, "odd")
    atoms = read(io.StringIO(text), format="vasp")
    same(TRICLINIC, atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    other = Poscar.from_str(text)
    same(TRICLINIC, other.structure.lattice.matrix, other.structure.frac_coords, other.structure.atomic_numbers)
    assert other.comment == "odd"


def test_what_we_write_we_read_again(tmp_path: Path) -> None:
    for text in (format_extxyz(TRICLINIC, "odd", {"note": 'a "b" \\ c', "x": "1"}), format_poscar(TRICLINIC, "odd")):
        (tmp_path / "in").write_text(text)
        (block,) = iter_blocks([str(tmp_path / "in")])
        assert block.name == "odd"
        same(block.crystal, TRICLINIC.lattice, TRICLINIC.frac_coords, TRICLINIC.numbers)
        assert parse_block(block.text).properties == block.properties
        assert block.properties in ({}, {"note": 'a "b" \\ c', "x": "1"})
