"""The table of stability: what counts as S.U.N., new, substituted; counts by hand; rows that survive a kill."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from stability import Folder
from stability_report import Judged, Set, coverage, figures, percent, read_set
from stability_rows import Prototypes, anonymous, make_rows, read_rows

from crystaltool.asymunit import expand, reduce, tabulate
from crystaltool.evaluation.metrics import Rate
from crystaltool.evaluation.profile import detected_template
from crystaltool.evaluation.templates import merge
from crystaltool.io.cif import format_asym_unit
from crystaltool.io.hdf5 import write_asym_units
from crystaltool.measure.hull import load_hull, shares_of
from tests.textbook import BY_NAME

TRAIN = tabulate([reduce(BY_NAME[name].crystal()) for name in ("rutile", "halite", "kyanite")])
TEST = {"density": np.array([4.0]), "n_elements": np.array([2]), "group": np.array([136, 225])}


def replaced(name: str, elements: dict[int, int], stretch: float = 1.0):
    """A textbook crystal with other elements, c stretched."""
    unit = reduce(BY_NAME[name].crystal())
    numbers = np.array([elements.get(n, n) for n in unit.numbers.tolist()])
    lattice = unit.lattice * np.array([[1.0], [1.0], [stretch]])
    return type(unit)(unit.group, lattice, numbers, unit.positions, unit.free_coords, name)


def test_a_substitution_is_found_whatever_the_elements() -> None:
    prototypes = Prototypes(TRAIN)

    def match(unit) -> str | None:
        crystal = expand(unit)
        found = detected_template(crystal)
        assert found is not None
        return prototypes.match(crystal, merge(found))

    assert match(replaced("rutile", {22: 50, 8: 9})) == "rutile"
    assert match(replaced("rutile", {22: 8, 8: 22})) == "rutile"
    assert match(replaced("rutile", {22: 50}, stretch=2.0)) is None  # the same template, other distances
    assert match(replaced("corundum", {})) is None  # another template
    assert anonymous(np.array([22, 8, 8, 22, 8, 8])) == (1, 2) == anonymous(np.array([9, 9, 50]))


def test_rows_are_kept_and_a_cut_off_line_is_done_again(tmp_path: Path) -> None:
    write_asym_units(tmp_path / "train.h5", TRAIN)
    units = [replaced("rutile", {22: 50}), replaced("corundum", {})]
    said = {"e_above_hull": "0.02", "hull_energy_per_atom": "-6.2", "relax_converged": "yes"}
    texts = [format_asym_unit(unit, unit.name, (), said) for unit in units]
    (tmp_path / "structures.cif").write_text("".join(texts) + "data_broken\n_cell_length_a 3\n\n")
    (tmp_path / "measured.cif").write_text("".join(texts))
    make_rows(tmp_path, tmp_path / "train.h5", 1)
    path = tmp_path / "relaxed_rows.jsonl"
    first, second = read_rows(path)
    assert (first["new_template"], first["substitution_of"], first["e_above_hull"]) == (False, "rutile", 0.02)
    assert (second["new_template"], second["substitution_of"], second["n_orbits"]) == (True, None, 2)
    tin_dioxide = load_hull("mp2020").energy(shares_of({50: 1, 8: 2}))
    assert first["e_above_published"] == pytest.approx(-6.2 - tin_dioxide, abs=1e-6)
    assert [row["name"] for row in read_rows(tmp_path / "raw_rows.jsonl")] == ["rutile", "corundum", "broken"]
    whole = path.read_bytes()
    path.write_bytes(whole[:-25])
    make_rows(tmp_path, tmp_path / "train.h5", 1)
    assert path.read_bytes() == whole


def judged(above: float | None, **changes) -> Judged:
    passes = {"novel": True, "unique": True, "distance-cdvae": True, "distance-lemat": True, "charge": True}
    row = {"new_template": False, "substitution_of": None, "template": [136, [0, 1]], "converged": True}
    row |= {} if above is None else {"e_above_hull": above}
    raw_row = {"n_elements": 2, "n_orbits": 2, "group": 136, "density": 4.0}
    return Judged(
        passes | changes.get("raw", {}),
        passes | changes.get("relaxed", {}),
        raw_row | changes.get("raw_row", {}),
        row | changes.get("row", {}),
        changes.get("second", {}),
    )


def test_shares_are_of_all_that_was_asked_for() -> None:
    structures = (
        judged(-0.01, row={"new_template": True, "template": [136, [0, 2]]}, second={"e_above_hull": 0.01}),
        judged(0.02, row={"substitution_of": "rutile"}, second={"e_above_hull": -0.01}),
        judged(0.09, relaxed={"novel": False}, raw_row={"n_orbits": 7}, second={"e_above_hull": np.inf}),
        judged(-0.5, raw={"novel": False}, relaxed={"novel": False}),
        judged(-0.5, raw={"unique": False}, relaxed={"unique": False}),
        judged(-0.5, raw_row={"n_elements": 1}),  # an element is no discovery
        judged(0.2),
        judged(None, row={"converged": False}),
    )
    found = figures(Set(10, 2, structures, {"generate": 5.0, "relax": 14.0, "measure": 1.0}), TEST, 0)

    def first(name: str) -> float:
        return float(found[name].split()[0])

    assert found["n (unreadable)"] == "10 (2)"
    assert [first(f"**S.U.N. <= {t}**") for t in ("0", "0.025", "0.1")] == [10.0, 20.0, 30.0]
    assert [first(f"S.U.N. <= {t}, compared relaxed") for t in ("0", "0.025", "0.1")] == [10.0, 20.0, 20.0]
    assert [first(f"S.U.N. <= {t} on a new template") for t in ("0", "0.025", "0.1")] == [10.0, 10.0, 10.0]
    assert [first(f"E_hull <= {t}") for t in ("0", "0.1")] == [40.0, 60.0]
    assert found["a substitution of a training crystal"].startswith("10.0 ")
    assert found["the same of S.U.N. <= 0.1"].startswith("33.3 ")
    assert found["templates: different / new"] == "2 / 1 of 8"
    assert found["E_hull <= 0.1 of 7 and more orbits (n)"].startswith("100.0 ")
    assert found["judged by SevenNet-0 too, n"] == "3"
    assert found["S.U.N. <= 0 by SevenNet / CHGNet on these"].split(" / ")[1] == "33.3"
    assert found["S.U.N. <= 0 by SevenNet / CHGNet on these"].startswith("33.3 ")
    assert found["cpu s a structure, to make it"] == "0.500"
    assert found["cpu s a structure, relax and measure"] == "1.50"
    assert found["cpu s a S.U.N. (<= 0) structure, everything"] == "20.0"
    assert percent(Rate(2, 10)) == "20.0 (5.7-51.0)"


def test_the_second_judges_energies_meet_the_same_hull(tmp_path: Path) -> None:
    names = ("a", "b", "c", "d")
    (tmp_path / "set.json").write_text(json.dumps({"records": 4}))
    (tmp_path / "raw_rows.jsonl").write_text("".join(json.dumps({"name": name}) + "\n" for name in names))
    rows = [{"name": "a", "energy_per_atom": -3.40, "numbers": [11, 17]}, {"name": "c", "reason": "no"}]
    (tmp_path / "second.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_set(tmp_path, {})
    assert found.structures[0].second["e_above_hull"] == pytest.approx(0.29, abs=0.01)  # NaCl -3.6932 eV/atom
    assert [s.second.get("e_above_hull") for s in found.structures[1:]] == [np.inf, np.inf, None]


def test_processor_time_adds_up_over_runs(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "set")
    for _ in range(2):
        folder.run("relax", ["python3", "-c", "sum(range(3 * 10**6))"])
    with pytest.raises(SystemExit):
        folder.run("measure", ["false"])
    seconds = Folder(tmp_path / "set").seconds()
    assert seconds["relax"] > 0.05 and set(seconds) == {"relax", "measure"}


def test_coverage_asks_for_structure_and_composition_apart(tmp_path: Path) -> None:
    def write(name: str, pairs) -> Path:
        (tmp_path / name).mkdir()
        rows = [{"name": str(i), "structure": [a], "composition": [b]} for i, (a, b) in enumerate(pairs)]
        text = "".join(json.dumps(row) + "\n" for row in [*rows, {"name": "x", "reason": "no neighbours"}])
        (tmp_path / name / "fingerprints.jsonl").write_text(text)
        return tmp_path / name

    # Deviation of the test compositions is 40.8: 0, 1.2 and 2.4 deviations; all are within the cut of 10 but the last.
    test = write("test", [(0.0, 0.0), (1.0, 50.0), (2.0, 100.0)])
    mine = write("mine", [(0.3, 0.0), (1.1, 100.0), (5.0, 50.0), (0.1, 900.0)])
    found = coverage(mine, 8, test)
    assert found["COV-R (of 4 of MP-20 test)"].startswith("50.0 ") and found["COV-P"].startswith("25.0 ")
    assert coverage(tmp_path, 8, test) == {}
