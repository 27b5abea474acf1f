"""Tables of uptakes: statistics against samples that are known, rows of good and bad blocks, the command."""

from __future__ import annotations

import csv
import subprocess
import sys

import numpy as np
import pytest
from adsorption import LABELS, agreement, bootstrap_difference, labelled, table_row

from crystaltool.crystal import Crystal
from crystaltool.io.cif_format import format_crystal
from crystaltool.io.stream import RawBlock
from crystaltool.measure.adsorption.uptake import framework_mass
from tests.conftest import DATA, ROOT, tool_environment

CELL = Crystal(np.eye(3) * 9.0, np.array([[0.0, 0.0, 0.0], [0.2, 0.0, 0.0]]), np.array([30, 8]), "small")


def test_mass_of_a_cell():
    assert framework_mass(CELL) == pytest.approx(65.409 + 15.9994, abs=0.03)


def test_interval_of_a_difference_has_the_width_of_the_normal_one_and_covers_it():
    rng = np.random.default_rng(0)
    inside = 0
    for seed in range(100):
        first, second = rng.normal(1.0, 1.0, 50), rng.normal(0.4, 0.5, 50)
        difference, low, high = bootstrap_difference(first, second, n=1000, seed=seed)
        assert difference == pytest.approx(first.mean() - second.mean())
        assert high - low == pytest.approx(2 * 1.96 * np.sqrt((1 + 0.25) / 50), rel=0.4)
        inside += low < 0.6 < high
    assert inside >= 86  # 94 expected; 86 is 3.3 standard deviations off


def test_agreement_of_twice_the_labels_in_their_order():
    labels = np.array([0.1, 0.4, 0.2, 3.0])
    found = agreement(2 * labels, labels)
    assert found["median ratio"] == pytest.approx(2) and found["Spearman"] == pytest.approx(1)
    assert agreement(1 / labels, labels)["Spearman"] == pytest.approx(-1)


def test_what_cannot_be_simulated_gets_a_reason_and_no_numbers():
    heavy = Crystal(CELL.lattice, CELL.frac_coords, np.array([105, 8]), "heavy")
    for text, reason in ((format_crystal(heavy, "heavy"), "Db"), ("data_bad\n_cell_length_a 3\n", "cell")):
        row = table_row(RawBlock("-", 1, "x", text), method="simulate", seed=0)
        assert reason in str(row["reason"]) and "co2_wc" not in row


@pytest.mark.slow
def test_the_command_writes_a_row_for_each_block_and_compares_tables(tmp_path):
    text = format_crystal(CELL, "small", properties={"co2_wc": "1.5"}) + "data_bad\n_cell_length_a 3\n"
    command = [sys.executable, str(ROOT / "benchmarks" / "adsorption.py")]
    run = {"capture_output": True, "text": True, "env": tool_environment()}
    table = tmp_path / "a.csv"
    done = subprocess.run([*command, "-", "-o", str(table)], input=text, **run)
    assert done.returncode == 2 and "bad" in done.stderr
    good, bad = csv.DictReader(table.open())
    assert float(good["co2_wc"]) == pytest.approx(float(good["co2_1bar"]) - float(good["co2_0.1bar"]), rel=1e-4)
    assert 0 < float(good["co2_0.1bar"]) < float(good["co2_0.15bar"]) < float(good["co2_1bar"])
    assert 0 < float(good["co2_wc_error"]) < 0.05 * float(good["co2_wc"])
    assert bad["reason"] and not bad["co2_wc"]
    done = subprocess.run([*command, "--compare", str(table), str(table)], **run)
    assert done.returncode == 0 and "| co2_wc | 1 |" in done.stdout and "+0.000 to +0.000" in done.stdout


@pytest.mark.data
def test_labelled_mofs_are_spread_over_the_range():
    if not (DATA / "mof" / "qmof_co2_isotherms.csv").exists():
        pytest.skip("no labels here")
    drawn = labelled(30, seed=0)
    values = [float(row[LABELS["co2_wc"]]) for row in drawn]
    assert values == sorted(values) and values[0] < 0.3 and values[-1] > 2.5
    assert [row["qmof_id"] for row in drawn] == [row["qmof_id"] for row in labelled(30, seed=0)]
    left_out = {row["qmof_id"] for row in drawn}
    assert not left_out & {row["qmof_id"] for row in labelled(30, seed=0, leave_out=tuple(left_out))}
