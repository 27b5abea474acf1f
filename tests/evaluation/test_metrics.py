"""Metrics over small sets whose answers can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from crystaltool.asymunit import reduce, tabulate
from crystaltool.checks.matching import Reference
from crystaltool.evaluation import metrics, report
from crystaltool.evaluation.metrics import Rate, Sample
from crystaltool.evaluation.profile import GEOMETRY, SYMMETRY, Profile, make_profile
from crystaltool.evaluation.readers import crystal_difference, disagreement
from crystaltool.io.cif import parse_block
from crystaltool.io.stream import BadRecord, RawBlock
from tests.checks.blocks import P1_SITES, halite_text, textbook_text
from tests.textbook import BY_NAME, TEXTBOOK


def profile_of(text: str, name: str = "x") -> Profile:
    profile = make_profile(RawBlock("test.cif", 1, name, text))
    assert isinstance(profile, Profile)
    return profile


@pytest.fixture(scope="module")
def sample() -> Sample:
    """Halite twice, rutile, a halite with overlapping atoms, a charged one, and an unreadable record."""
    overlapping = halite_text(
        sites=P1_SITES.replace("Cl1 Cl 1 0.5 0 0", "Cl1 Cl 1 0.05 0 0"), operations=["x,y,z"], group="1"
    )
    charged = halite_text(sites="Na1 Na 4 0 0 0\nCl1 Cl 8 0.25 0.25 0.25", formula="'Cl2 Na'")
    texts = [textbook_text("halite"), textbook_text("halite"), textbook_text("rutile"), overlapping, charged]
    return Sample(tuple(profile_of(text, f"s{i}") for i, text in enumerate(texts)), n_bad=1)


def test_profile(sample):
    halite = sample.profiles[0]
    assert set(halite.passed) == {*GEOMETRY, *SYMMETRY} and all(halite.passed.values())
    assert (halite.declared_group, halite.template, halite.n_elements) == (225, (225, (0, 1)), 2)
    assert halite.density == pytest.approx(2.164, abs=0.002)


def test_an_unreadable_record_stays_bad():
    bad = BadRecord("a.cif", 3, "x", "no atoms")
    assert make_profile(bad) is bad
    assert isinstance(make_profile(RawBlock("a.cif", 1, "x", "data_x\n_cell_length_a 3\n")), BadRecord)


def test_validity_counts_unreadable_records_as_failing(sample):
    rates = metrics.validity(sample)
    assert rates["structural"] == Rate(4, 6)
    assert rates["compositional"] == Rate(4, 6)
    assert rates["structural and compositional"] == Rate(3, 6)
    assert rates["LeMat-like"] == Rate(3, 6)
    assert rates["LeMat-like without charge"] == Rate(4, 6)
    assert str(Rate(3, 6)) == "50.00 % (3 of 6)" and str(Rate(0, 0)) == "none"


def test_distances(sample):
    halite = Sample(sample.profiles[:1])
    rutile = Sample(sample.profiles[2:3])
    assert metrics.distances(halite, halite).density == 0.0
    apart = metrics.distances(halite, rutile)
    assert apart.density == pytest.approx(abs(sample.profiles[0].density - sample.profiles[2].density))
    assert apart.n_elements == 0.0
    assert apart.space_group == pytest.approx(np.sqrt(np.log(2)))
    assert np.isnan(metrics.distances(Sample(()), rutile).density)


def test_templates_and_novelty(sample):
    training = [(225, (0, 1))]
    counts = metrics.templates(sample, training)["raw"]
    assert (counts.n_structures, counts.in_training) == (5, 1)
    reference = Reference(tabulate([reduce(BY_NAME["halite"].crystal())]))
    found = metrics.novelty(sample, reference)
    assert (found.n_valid, found.unique, found.novel, found.novel_and_unique) == (3, 2, 1, 1)


@pytest.mark.parametrize("entry", TEXTBOOK, ids=lambda entry: entry.name)
def test_readers_agree_on_what_we_write(entry):
    assert disagreement(textbook_text(entry.name)) == ""


def test_readers_that_fail_or_differ_are_named():
    assert disagreement("data_x\n_cell_length_a 3\n").split(":")[0] in {"gemmi", "ase", "pymatgen"}
    halite, other = (parse_block(halite_text(cell=f"{a} {a} {a} 90 90 90")).crystal for a in (5.64, 5.65))
    assert crystal_difference(halite, halite) == ""
    assert crystal_difference(halite, other).startswith("cells")
    rutile = parse_block(textbook_text("rutile")).crystal
    assert "atoms" in crystal_difference(halite, rutile)
    moved = type(halite)(halite.lattice, halite.frac_coords + np.eye(8, 3) * 0.01, halite.numbers)
    assert crystal_difference(halite, moved).startswith("positions")


def test_report_rows_and_markdown(sample, tmp_path):
    path = tmp_path / "set.cif"
    path.write_text(textbook_text("halite") + textbook_text("rutile") + "data_bad\n_cell_length_a 3\n")
    read = report.read_sample([str(path)])
    assert (read.n, read.n_bad) == (3, 1)
    assert report.read_sample([str(path)], limit=1).n == 1
    reference = Reference(tabulate([reduce(BY_NAME["halite"].crystal())]))
    rows = [
        *report.validity_rows(read, read),
        *report.distance_rows(read, Sample(sample.profiles[:3]), 0),
        *report.template_rows(read, read, [(225, (0, 1))]),
        *report.novelty_rows(read, None, reference),
        *report.symmetry_rows(read),
    ]
    by_name = {row.what.split(" (")[0]: row.figure for row in rows}
    assert by_name["structural validity"] == "66.67 % (2 of 3)"
    assert by_name["templates, raw: unique / in training / new"] == "2 / 1 / 1 (n = 2)"
    assert by_name["novel and unique among the structurally and compositionally valid"] == "50.00 % (1 of 2)"
    reader_rows, reasons = report.reader_rows([str(path)], 10)
    assert reader_rows[0].figure == "66.67 % (2 of 3)" and reasons[0].startswith("bad: ")
    lines = list(report.markdown(rows, "ours", "test"))
    assert len(lines) == len(rows) + 2 and all(line.count("|") - line.count("\\|") == 5 for line in lines)


def test_interval_of_a_share_is_wilsons():
    low, high = Rate(2, 10).interval
    assert (low, high) == pytest.approx((0.0567, 0.5098), abs=1e-4)  # statsmodels proportion_confint(2, 10, "wilson")
    assert Rate(0, 20).interval == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert np.isnan(Rate(0, 0).interval).all()
