"""The second judge: relaxes with any ASE calculator, adds the Materials Project's corrections, goes on where it was."""

from __future__ import annotations

import json
import sys

import pytest
from ase_worker import correction, main, split

from crystaltool.io.cif import format_asym_unit
from tests.forcefield.units import cubic, unit_of

COPPER = format_asym_unit(unit_of(225, cubic(3.70), [("Cu", "a", ())]), "copper")
GOLD = format_asym_unit(unit_of(225, cubic(4.20), [("Au", "a", ())]), "gold")
NO_EMT = format_asym_unit(unit_of(225, cubic(5.64), [("Na", "a", ()), ("Cl", "b", ())]), "salt")


def test_a_stream_is_cut_into_named_blocks() -> None:
    assert split(COPPER + GOLD) == [("copper", COPPER), ("gold", GOLD)]


def test_relaxed_cells_and_a_killed_run(tmp_path, monkeypatch) -> None:
    pytest.importorskip("ase")
    (tmp_path / "in.cif").write_text(COPPER + NO_EMT + GOLD)
    out = tmp_path / "out.jsonl"
    command = ["ase_worker", str(tmp_path / "in.cif"), "-o", str(out)]
    command += ["--calculator", "ase.calculators.emt:EMT", "--no-corrections"]
    monkeypatch.setattr(sys, "argv", command)
    main()
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["name"] for row in rows] == ["copper", "salt", "gold"]
    assert rows[0]["converged"] and rows[0]["energy_per_atom"] == pytest.approx(-0.007, abs=0.01)  # EMT counts from fcc
    assert rows[0]["numbers"] == [29] and rows[0]["steps"] > 0 and rows[0]["correction"] == 0
    assert "NotImplementedError" in rows[1]["reason"]
    whole = out.read_bytes()
    out.write_bytes(whole[:-30])
    main()
    assert out.read_bytes() == whole


def test_corrections_are_those_of_the_materials_project() -> None:
    """Wang et al., doi 10.1038/s41598-021-94550-5: O -0.687 and Cl -0.614 an anion, Fe in +U oxides -2.256 an atom."""
    from pymatgen.core import Lattice, Structure

    def rock_salt(cation: str, anion: str) -> Structure:
        return Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.3), [cation, anion], [[0, 0, 0], [0.5] * 3])

    assert correction(rock_salt("Mg", "O")) / 4 == pytest.approx(-0.687, abs=1e-3)
    assert correction(rock_salt("Na", "Cl")) / 4 == pytest.approx(-0.614, abs=1e-3)
    assert correction(rock_salt("Fe", "O")) / 4 == pytest.approx(-0.687 - 2.256, abs=1e-3)
    assert correction(rock_salt("Fe", "Al")) == 0
