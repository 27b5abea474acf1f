"""`crystaltool measure` and `check --stable`: the stream, the options, and every way it can go wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from crystaltool.io.cif import format_asym_unit, parse_block
from crystaltool.io.stream import iter_blocks
from tests.cli.one_process import Child, one_process
from tests.forcefield.units import ROCK_SALT, RUTILE, cubic, unit_of

RELAXED = {"energy_per_atom": "-3.40", "relax_forcefield": "chgnet", "e_above_hull": "7"}
POLONIUM = format_asym_unit(unit_of(221, cubic(3.35), [("Po", "a", ())]), "polonium", (), RELAXED)
HALITE = format_asym_unit(ROCK_SALT, "halite", ("1 elsewhere 1.0 | made",), RELAXED)
TITANIA = format_asym_unit(RUTILE, "rutile", (), {"energy_per_atom": "-9.5", "relax_forcefield": "chgnet"})
BROKEN = "data_broken\n_cell_length_a 5\n\n"
STREAM = HALITE + POLONIUM + BROKEN + TITANIA


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with one_process() as running:
        yield running


def blocks(path: Path):
    return {block.name: block for block in iter_blocks([str(path)])}


@pytest.fixture(scope="module")
def measured(child: Child, tmp_path_factory):
    folder = tmp_path_factory.mktemp("measured")
    (folder / "in.cif").write_text(STREAM)
    return folder, child.run(folder, "measure", "--hull", "--no-provenance", "-o", "out.cif", "in.cif")


def test_good_blocks_are_measured_and_bad_ones_reported(measured) -> None:
    folder, ended = measured
    found = blocks(folder / "out.cif")
    assert ended.code == 2 and list(found) == ["halite", "rutile"]
    assert [line.split(": ERROR, ")[1] for line in ended.err.splitlines()] == [
        "the hull mp2020-chgnet has no reference energy of Po",
        "no _cell_length_b, the cell is missing",
    ]
    assert "in.cif(" in ended.err and "data_polonium" in ended.err
    halite = found["halite"]
    assert halite.history == ("1 elsewhere 1.0 | made",) and halite.declared_group == 225
    assert halite.properties["hull_energy_source"] == "relaxed"
    # Na -1.3225 and Cl -1.8485 eV/atom, NaCl (mp-22862) -3.6932: facts of the Materials Project, corrected.
    assert float(halite.properties["formation_energy_per_atom"]) == pytest.approx(
        -3.40 + (1.3225 + 1.8485) / 2, abs=1e-3
    )
    assert halite.properties["hull_decomposition"] == "1.0000 NaCl (mp-22862)"
    assert 0.2 < float(halite.properties["e_above_hull"]) < 0.4


def test_two_workers_write_the_same_bytes_and_a_killed_run_goes_on(measured, child: Child, tmp_path: Path) -> None:
    whole = (measured[0] / "out.cif").read_bytes()
    (tmp_path / "in.cif").write_text(STREAM)
    run = ("measure", "--hull", "--no-provenance", "-q", "-o")
    assert child.run(tmp_path, *run, "two.cif", "--jobs", "2", "in.cif").code == 2
    assert (tmp_path / "two.cif").read_bytes() == whole
    (tmp_path / "part.cif.partial").write_bytes(whole[:-20])
    assert child.run(tmp_path, *run, "part.cif", "--resume", "in.cif").code == 2
    assert (tmp_path / "part.cif").read_bytes() == whole


@pytest.mark.parametrize(
    ("verdicts", "kept"),
    [
        ({"check_all": "pass", "check_charge": "pass", "check_stable": "pass"}, {"check_charge"}),
        ({"check_all": "pass", "check_charge": "pass"}, {"check_all", "check_charge"}),
    ],
)
def test_a_verdict_on_another_distance_to_the_hull_goes(
    child: Child, tmp_path: Path, verdicts: dict[str, str], kept: set[str]
) -> None:
    """`check_all` summed it up, so it goes too; the structure is as it was, so other verdicts stay."""
    (tmp_path / "in.cif").write_text(format_asym_unit(ROCK_SALT, "halite", (), RELAXED | verdicts))
    assert child.run(tmp_path, "measure", "--hull", "-o", "out.cif", "in.cif").code == 0
    properties = blocks(tmp_path / "out.cif")["halite"].properties
    assert {key for key in properties if key.startswith("check_")} == kept
    assert properties["e_above_hull"] != "7"


def test_history_says_what_was_done(child: Child, tmp_path: Path) -> None:
    (tmp_path / "in.cif").write_text(HALITE)
    child.run(tmp_path, "measure", "--hull", "-o", "out.cif", "in.cif")
    (_, last) = blocks(tmp_path / "out.cif")["halite"].history
    assert last.startswith("2 crystaltool ") and last.endswith("| measure --hull -o out.cif in.cif")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to measure, give --hull"),
        (["--hull-file", "hull.csv"], "--hull-file is of use with --hull only"),
        (["--hull", "--potential", "uff"], "energies of uff compare structures of equal bonds, they have no hull"),
        (["--hull", "--potential", "mace"], "energies of 'mace' do not stand beside the hull mp2020"),
        (["--hull", "--hull-file", "absent.csv"], "absent.csv: No such file or directory"),
        (["--hull", "--hull-file", "in.cif"], "in.cif: the first line names the columns"),
    ],
)
def test_wrong_options_are_one_line_and_exit_2(
    child: Child, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "in.cif").write_text(HALITE)
    ended = child.run(tmp_path, "measure", *arguments, "in.cif")
    assert ended.code == 2 and ended.out == ""
    assert message in ended.err and ended.err.count("\n") == 1


def test_a_hull_of_the_users_own_with_energies_of_any_potential(child: Child, tmp_path: Path) -> None:
    (tmp_path / "hull.csv").write_text("formula,energy_per_atom,id\nNa,-1,\nCl,-2,\nNaCl,-3.2,mine\n")
    (tmp_path / "in.cif").write_text(HALITE.replace("chgnet", "mace-x") + TITANIA)
    asked = ("measure", "--hull", "--potential", "mace-x", "--hull-file", "hull.csv", "-o", "out.cif", "in.cif")
    ended = child.run(tmp_path, *asked)
    assert ended.code == 2 and "the hull hull.csv has no reference energy of O, Ti" in ended.err
    found = blocks(tmp_path / "out.cif")["halite"].properties
    assert float(found["e_above_hull"]) == pytest.approx(-0.2) and found["hull_reference"] == "hull.csv"
    assert float(found["formation_energy_per_atom"]) == pytest.approx(-1.9) and found["hull_potential"] == "mace-x"
    assert found["hull_decomposition"] == "1.0000 NaCl (mine)" and "below the hull" not in ended.err
    (tmp_path / "few.csv").write_text("formula,energy_per_atom,id\nNa,-1,\nCl,-2,\n")
    again = child.run(tmp_path, *("few.csv" if word == "hull.csv" else word for word in asked), "--overwrite")
    assert "1.90 eV/atom below the hull: a phase is missing from it, or mace-x fails here" in again.err


def test_stable_is_a_verdict_on_what_was_measured(measured, child: Child, tmp_path: Path) -> None:
    text = (measured[0] / "out.cif").read_text()
    (tmp_path / "in.cif").write_text(text + POLONIUM)
    verdicts = {}
    for limit in ("0.1", "0.5"):
        ended = child.run(tmp_path, "check", "--stable", limit, "--json", "-q", "in.cif")
        lines = [json.loads(line) for line in ended.out.splitlines()]
        verdicts[limit] = {line["structure"]: line["checks"]["stable"] for line in lines}
    halite = parse_block(text.split("data_rutile")[0])
    assert [verdicts[limit]["halite"]["passed"] for limit in ("0.1", "0.5")] == [False, True]
    assert verdicts["0.5"]["halite"]["value"] == float(halite.properties["e_above_hull"])
    assert verdicts["0.5"]["halite"]["message"] == "relaxed energy of chgnet, hull mp2020-chgnet"
    assert verdicts["0.5"]["halite"]["limit"] == "at most 0.5 eV/atom above the hull"
    polonium = verdicts["0.5"]["polonium"]
    assert not polonium["passed"] and polonium["value"] is None
    assert polonium["message"] == "cannot be told: the hull mp2020-chgnet has no reference energy of Po"


def test_stable_measures_what_was_not_measured(child: Child, tmp_path: Path) -> None:
    """The block's 7 eV stands alone, without the energy it belongs to: it is not taken."""
    (tmp_path / "in.cif").write_text(HALITE)
    ended = child.run(tmp_path, "check", "--only", "stable,cell", "--stable", "0.5", "in.cif")
    assert ended.code == 0 and "halite\tstable\tpass\t0.29" in ended.out and "stable" in ended.err
    ended = child.run(tmp_path, "check", "--stable", "nan", "in.cif")
    assert ended.code == 2 and "--stable is nan eV/atom, expected a finite number" in ended.err


def test_relax_drops_what_was_measured_of_the_structure_before(measured, child: Child, tmp_path: Path) -> None:
    pytest.importorskip("chgnet", reason="the mlip extra is not installed")
    (tmp_path / "in.cif").write_bytes((measured[0] / "out.cif").read_bytes())
    assert child.run(tmp_path, "relax", "-q", "-o", "out.cif", "in.cif").code == 0
    for found in blocks(tmp_path / "out.cif").values():
        assert not [key for key in found.properties if "hull" in key or key.startswith("formation")]
        assert found.properties["relax_forcefield"] == "chgnet"
