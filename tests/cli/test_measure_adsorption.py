"""`crystaltool measure --adsorption --pores --predict`: values, histories, charges, warnings and refusals."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from crystaltool.crystal import Crystal
from crystaltool.io.cif_format import format_crystal
from crystaltool.io.stream import iter_blocks
from crystaltool.models.mofdiff.checkpoint import load_mofdiff
from crystaltool.models.mofdiff.properties import predict_mofs
from crystaltool.models.weights import find_checkpoint
from crystaltool.mof.fragment import fragment
from crystaltool.mof.perception import perceive_bonds
from crystaltool.verbs.fragment import identified
from tests.cli.one_process import Child, one_process
from tests.measure.adsorption.frameworks import CHARGES, CRYSTAL
from tests.mof.structures import curated

GOOD = format_crystal(CRYSTAL, "good", ("1 elsewhere 1.0 | made",), {"e_above_hull": "7"}, charges=CHARGES)
HEAVY = format_crystal(Crystal(CRYSTAL.lattice, CRYSTAL.frac_coords, np.array([105, 8, 6, 1])), "heavy")
FULL = format_crystal(Crystal(np.eye(3) * 3.0, np.zeros((1, 3)), np.array([6])), "full")
STREAM = GOOD + HEAVY + "data_broken\n_cell_length_a 5\n\n" + FULL
RUN = ("measure", "--adsorption", "CO2", "--adsorption", "ch4,CO2", "--pressure", "1,0.1")


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with one_process() as running:
        yield running


def blocks(path: Path):
    return {block.name: block for block in iter_blocks([str(path)])}


@pytest.fixture(scope="module")
def measured(child: Child, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adsorbed")
    (folder / "in.cif").write_text(STREAM)
    return folder, child.run(folder, *RUN, "-o", "out.cif", "in.cif")


def test_good_blocks_are_measured_and_bad_ones_reported(measured) -> None:
    folder, ended = measured
    found = blocks(folder / "out.cif")
    assert ended.code == 2 and list(found) == ["good", "full"]
    assert "data_heavy: ERROR, no Lennard-Jones parameters of Db" in ended.err
    assert "data_broken: ERROR, no _cell_length_b" in ended.err
    assert "data_full: WARNING, CO2: no room" in ended.err
    values = found["good"].properties
    low, high = (float(values[f"co2_uptake_{at}"]) for at in ("0p1bar", "1bar"))
    assert 0 < low < high
    assert float(values["co2_working_capacity"]) == pytest.approx(high - low, rel=2e-3)
    assert 0 < float(values["co2_working_capacity_error"]) < 0.1 * high
    density = (65.38 + 15.999 + 12.011 + 1.008) / CRYSTAL.volume * 1.66054
    assert float(values["co2_uptake_1bar_volumetric"]) == pytest.approx(high * density * 22.414, rel=2e-3)
    assert values["co2_charges"] == "none" and values["co2_temperature"] == "298"
    assert values["e_above_hull"] == "7" and "ch4_heat_1bar" in values
    assert found["full"].properties["co2_uptake_1bar"] == "0"
    history = found["good"].history
    assert history[0] == "1 elsewhere 1.0 | made" and "| measure --adsorption CO2" in history[1]
    assert found["good"].atom_charges == pytest.approx(CHARGES)  # stay


def test_two_workers_write_the_same_bytes(measured, child: Child) -> None:
    folder, _ = measured
    for name, more in (("one.cif", ()), ("two.cif", ("--jobs", "2"))):
        assert child.run(folder, *RUN, "--no-provenance", "-q", *more, "-o", name, "in.cif").code == 2
    assert (folder / "one.cif").read_bytes() == (folder / "two.cif").read_bytes()


def test_measuring_again_replaces_all_of_that_gas_alone(measured, child: Child) -> None:
    folder, _ = measured
    again = ("measure", "--adsorption", "CO2", "--pressure", "2", "--temperature", "310")
    child.run(folder, *again, "-q", "-o", "again.cif", "out.cif")
    values = blocks(folder / "again.cif")["good"].properties
    assert "co2_uptake_2bar" in values and values["co2_temperature"] == "310" and "ch4_uptake_1bar" in values
    gone = {"co2_uptake_1bar", "co2_heat_0p1bar", "co2_working_capacity", "co2_working_capacity_between"}
    assert not gone & set(values)
    assert len(blocks(folder / "again.cif")["good"].history) == 3


def test_estimates_stand_beside_what_was_simulated(measured, child: Child) -> None:
    folder, _ = measured
    run = ("measure", "--adsorption", "CO2", "--estimate", "--pressure", "0.1,1")
    assert child.run(folder, *run, "-q", "-o", "estimated.cif", "out.cif").code == 0
    values = blocks(folder / "estimated.cif")["good"].properties
    simulated = float(values["co2_working_capacity"])
    assert float(values["co2_estimated_working_capacity"]) == pytest.approx(simulated, rel=0.4)
    assert values["co2_estimated_working_capacity_between"] == "0.1 and 1 bar"
    child.run(folder, *RUN, "-q", "-o", "simulated.cif", "estimated.cif")
    again = blocks(folder / "simulated.cif")["good"].properties
    assert again["co2_estimated_working_capacity"] == values["co2_estimated_working_capacity"]
    assert again["co2_uptake_1bar"] == values["co2_uptake_1bar"]


def test_charges_of_the_file_count_and_those_of_eqeq_are_written(measured, child: Child, tmp_path: Path) -> None:
    from crystaltool.checks.mof.eqeq import eqeq_charges

    (tmp_path / "in.cif").write_text(GOOD)
    plain = blocks(measured[0] / "out.cif")["good"].properties
    run = ("measure", "--adsorption", "CO2", "--charges")
    assert child.run(tmp_path, *run, "file", "-q", "-o", "file.cif", "in.cif").code == 0
    found = blocks(tmp_path / "file.cif")["good"]
    assert float(found.properties["co2_uptake_0p1bar"]) > 2 * float(plain["co2_uptake_0p1bar"])
    assert found.properties["co2_charges"] == "file" and found.atom_charges == pytest.approx(CHARGES)
    salt = Crystal(np.eye(3) * 8.0, np.array([[0.0, 0.0, 0.0], [0.25, 0.0, 0.0]]), np.array([12, 8]), "salt")
    (tmp_path / "salt.cif").write_text(format_crystal(salt, "salt"))
    assert child.run(tmp_path, *run, "eqeq", "-q", "-o", "eqeq.cif", "salt.cif").code == 0
    assert blocks(tmp_path / "eqeq.cif")["salt"].atom_charges == pytest.approx(eqeq_charges(salt), abs=1e-5)
    ended = child.run(tmp_path, *run, "file", "salt.cif")
    assert ended.code == 2 and "data_salt: ERROR, not every site states a charge" in ended.err and ended.out == ""


def test_pores_and_a_warning_where_the_gas_cannot_get_in(child: Child, tmp_path: Path) -> None:
    pytest.importorskip("pyzeo")
    box = Crystal(np.eye(3) * 4.6, np.zeros((1, 3)), np.array([6]))
    (tmp_path / "in.cif").write_text(format_crystal(box, "box"))
    ended = child.run(tmp_path, "measure", "--pores", "--adsorption", "CH4", "-o", "out.cif", "in.cif")
    values = blocks(tmp_path / "out.cif")["box"].properties
    assert float(values["pld"]) < 3.8 and 0 < float(values["helium_void_fraction"]) < 1
    assert ended.code == 0 and "CH4: the pore limiting diameter of 3." in ended.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--hull", "--charges", "eqeq"], "--charges is of use with --adsorption only"),
        (["--hull", "--probe", "1.2"], "--probe is of use with --pores only"),
        (["--pores", "--pressure", "5"], "--pressure is of use with --adsorption only"),
        (["--pores", "--model", "mine"], "--model is of use with --predict only"),
        (["--adsorption", "Xe"], "no gas 'Xe', expected CO2, CH4, N2, H2"),
        (["--adsorption", "CO2", "--pressure", "1;2"], "--pressure is '1;2', expected numbers of bar"),
        (["--adsorption", "CO2", "--pressure", "-1"], "a pressure of -1 bar"),
        (["--adsorption", "CO2", "--pressure", ""], "no pressure"),
        (["--adsorption", "CO2", "--temperature", "5"], "a temperature of 5 K"),
        (["--adsorption", "CO2", "--charges", "ddec"], "--charges is 'ddec', expected none, file, eqeq"),
        (["--adsorption", "CO2", "--cycles", "0"], "--cycles is 0, expected 1 to 1000"),
        (["--adsorption", "N2", "--temperature", "77", "--pressure", "5"], "N2 is a liquid at 5 bar and 77 K"),
        (["--pores", "--estimate"], "--estimate is of use with --adsorption only"),
        (["--adsorption", "CO2", "--estimate", "--cycles", "9"], "--cycles is of use without --estimate only"),
        (["--adsorption", "CO2,CH4", "--estimate"], "--estimate is fitted for CO2, not for CH4"),
        (["--adsorption", "CO2", "--estimate", "--charges", "eqeq"], "--charges is eqeq"),
        (["--adsorption", "CO2", "--estimate", "--pressure", "1"], "give --pressure two values"),
        (["--pores", "--probe", "0"], "--probe is 0 A, expected a positive number"),
        (["--predict", "--model", "absent"], "absent"),
    ],
)
def test_wrong_options_are_one_line_and_exit_2(
    child: Child, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "in.cif").write_text(GOOD)
    ended = child.run(tmp_path, "measure", *arguments, "in.cif")
    assert ended.code == 2 and ended.out == ""
    assert message in ended.err and ended.err.count("\n") == 1


def test_predictions_are_those_of_the_heads_for_the_cell_as_it_is(child: Child, tmp_path: Path) -> None:
    crystal = curated()["MOF-5"]
    wide = Crystal(crystal.lattice * 1.2, crystal.frac_coords, crystal.numbers)
    bonds = perceive_bonds(crystal)
    texts = [format_crystal(one, name, bonds=bonds) for one, name in ((crystal, "MOF-5"), (wide, "wide"))]
    (tmp_path / "in.cif").write_text("".join(texts))
    ended = child.run(tmp_path, "measure", "--predict", "-o", "out.cif", "in.cif")
    assert (ended.code, ended.err) == (0, "")
    found = blocks(tmp_path / "out.cif")
    model = load_mofdiff(find_checkpoint("mofdiff"))
    names = [f"predicted_{name}" for name in model.model.config.properties]
    for name, one in (("MOF-5", crystal), ("wide", wide)):
        expected = predict_mofs(model.model, [identified(fragment(one, bonds))[0]])[0]
        told = {key: float(value) for key, value in found[name].properties.items() if key in names}
        assert told == pytest.approx({f"predicted_{key}": value for key, value in expected.items()}, rel=1e-5)
        assert f"weights sha256:{model.sha256}" in found[name].history[-1]
    density = [float(found[name].properties["predicted_density"]) for name in ("MOF-5", "wide")]
    assert density[0] == pytest.approx(0.59, abs=0.1) and density[1] < 0.8 * density[0]
    listed = child.run(tmp_path, "view", "-e", "predicted_lcd > 0", "--columns", "name,predicted_lcd", "out.cif")
    assert listed.code == 0 and "wide" in listed.out


def test_what_is_no_mof_has_no_prediction(child: Child, tmp_path: Path) -> None:
    (tmp_path / "in.cif").write_text(FULL)
    ended = child.run(tmp_path, "measure", "--predict", "in.cif")
    assert ended.code == 2 and ended.out == "" and ended.err.count("ERROR") == 1


def test_defaults_are_those_of_the_package() -> None:
    from crystaltool import defaults as shared
    from crystaltool.measure.adsorption.chains import PRODUCTION
    from crystaltool.measure.adsorption.uptake import measure_adsorption
    from crystaltool.measure.pores import PROBE_RADIUS
    from crystaltool.measure.stability import POTENTIAL

    defaults = {name: p.default for name, p in inspect.signature(measure_adsorption).parameters.items()}
    assert tuple(map(float, shared.PRESSURES.split(","))) == defaults["pressures"]
    assert defaults["temperature"] == shared.TEMPERATURE
    assert shared.CYCLES == PRODUCTION == defaults["run"].cycles
    assert shared.PROBE == PROBE_RADIUS and shared.POTENTIAL == POTENTIAL
