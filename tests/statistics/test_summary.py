"""The statistics of small sets that can be counted by hand, and the field's distances by the code of `evaluation`."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from crystaltool.evaluation import metrics, report
from crystaltool.io.records import RawBlock
from crystaltool.io.stream import iter_raw
from crystaltool.statistics.compare import compare
from crystaltool.statistics.facts import Asked, Facts, facts_of
from crystaltool.statistics.summary import MOST_FIELDS, Summary, summary_as_json
from crystaltool.statistics.text import report as text_report
from crystaltool.statistics.words import grouped, short
from crystaltool.structure import Structure
from crystaltool.verbs.check import check, plan_of
from crystaltool.view.fields import FIELDS, Record
from tests.checks.blocks import P1_SITES, halite_text, textbook_text
from tests.conftest import ROOT

MOFS = ROOT / "tests" / "data" / "curated_mofs.cif"
OVERLAPPING = halite_text(
    sites=P1_SITES.replace("Cl1 Cl 1 0.5 0 0", "Cl1 Cl 1 0.05 0 0"), operations=["x,y,z"], group="1"
)
SET = ("halite", "rutile", "corundum", "wurtzite", "halite")
OTHERS = ("pyrite", "cementite", "diamond", "halite")


def raw(text: str, name: str = "x") -> RawBlock:
    return RawBlock("test.cif", 1, name, text)


def with_values(text: str, **values: str) -> str:
    lines = "".join(f"_crystaltool_{key} {value}\n" for key, value in values.items())
    return text.replace("_cell_length_a", f"{lines}_cell_length_a", 1)


def summary_of(texts: list[str], asked: Asked, label: str = "set") -> Summary:
    summary = Summary(label)
    for text in texts:
        summary.add(facts_of(raw(text), asked))
    return summary


def test_facts_are_the_fields_of_view() -> None:
    text = with_values(textbook_text("rutile"), e_above_hull="-0.25", note="'a word'", check_all="fail", odd="inf")
    facts = facts_of(raw(text), Asked())
    record = Record(raw(text))
    assert {name: facts.numbers[name] for name in ("density", "n_atoms", "n_sites", "volume")} == {
        name: FIELDS[name].of(record) for name in ("density", "n_atoms", "n_sites", "volume")
    }
    assert facts.numbers["volume_per_atom"] == pytest.approx(record.volume / 6)
    assert (facts.kind, facts.formula, facts.group, facts.template) == ("inorganic", "O2Ti", 136, "136 a f")
    assert facts.numbers["e_above_hull"] == -0.25 and facts.texts["note"] == "a word"
    assert facts.verdicts == {"all": "fail"} and "check_all" not in facts.texts
    assert facts.sets == {"elements": ("O", "Ti")} and facts.valid is None


def test_the_group_is_found_or_declared() -> None:
    text = halite_text(sites=P1_SITES, operations=["x,y,z"], group="1")
    assert facts_of(raw(text), Asked()).group == 225
    declared = facts_of(raw(text), Asked(detect=False))
    assert (declared.group, declared.template) == (1, "")


def test_a_mof_has_net_nodes_and_linkers() -> None:
    facts = [facts_of(block, Asked()) for block in iter_raw([str(MOFS)]) if isinstance(block, RawBlock)]
    assert len(facts) > 3 and all(each.kind == "mof" and each.valid is None for each in facts)
    records = [Record(block) for block in iter_raw([str(MOFS)]) if isinstance(block, RawBlock)]
    for each, record in zip(facts, records, strict=True):
        assert record.identity is not None
        assert each.sets["linkers"] == record.identity.linkers
        assert f"{each.texts['nodes']};" in record.identity.text and record.identity.text.endswith(each.texts["net"])
    summary = Summary()
    for each in facts:
        summary.add(each)
    assert summary.kinds == {"mof": len(facts)} and not summary.crystal_groups
    assert summary.linkers.n_structures == len(facts) == sum(summary.nets.counts.values())


def test_checks_are_run_or_read() -> None:
    plan = plan_of(None, None, with_reference=False)
    for text in (textbook_text("halite"), OVERLAPPING):
        structure = Structure.from_block(Record(raw(text)).block)
        judged = check(structure)
        facts = facts_of(raw(text), Asked(plan=plan))
        assert facts.verdicts["all"] == ("pass" if judged.passed else "fail")
        assert {v.check: v.passed for v in judged.verdicts if v.judged} == {
            name: word == "pass" for name, word in facts.verdicts.items() if name != "all" and word != "not_judged"
        }
        written = structure.with_properties(**judged.properties())
        assert facts_of(raw(written.to_cif()), Asked()).verdicts == facts.verdicts
    known = with_values(textbook_text("halite"), check_novel="fail", check_density="fail")
    words = facts_of(raw(known), Asked(plan=plan)).verdicts
    assert words["novel"] == "fail" and words["density"] == "pass"  # what the run cannot give stays


def test_the_fields_distances_are_those_of_evaluation(tmp_path) -> None:
    mine = [*(textbook_text(name) for name in SET), OVERLAPPING]
    theirs = [textbook_text(name) for name in OTHERS]
    (tmp_path / "a.cif").write_text("\n".join(mine))
    (tmp_path / "b.cif").write_text("\n".join(theirs))
    first, second = (report.read_sample([str(tmp_path / name)], declared_symmetry=False) for name in ("a.cif", "b.cif"))
    expected = metrics.distances(first, second)
    found = compare(summary_of(mine, Asked(validity=True)), summary_of(theirs, Asked()))
    assert (found.n_valid, found.n_groups) == (expected.n_valid, expected.n_groups) == (5, 6)
    assert found.density == pytest.approx(expected.density, rel=1e-12)
    assert found.n_elements == pytest.approx(expected.n_elements, rel=1e-12)
    assert found.space_group == pytest.approx(expected.space_group, rel=1e-12)
    assert found.density > 0 and 0 < found.space_group < 0.833
    volumes = [[facts_of(raw(text), Asked()).numbers["volume_per_atom"] for text in texts] for texts in (mine, theirs)]
    assert found.fields["volume_per_atom"] == pytest.approx(wasserstein_distance(*volumes))
    assert found.shared["formulas"] == 1


def test_json_has_every_figure() -> None:
    texts = [with_values(textbook_text("halite"), e_above_hull=str(value)) for value in (0.1, 0.4, 0.2)]
    found = summary_as_json(summary_of([*texts, textbook_text("rutile")], Asked()))
    assert found["structures"] == 4 and found["kinds"] == {"inorganic": 4}
    assert found["elements"] == {"Cl": 3, "Na": 3, "O": 1, "Ti": 1}
    assert found["space_groups"] == {"136": 1, "225": 3} and found["crystal_systems"] == {"tetragonal": 1, "cubic": 3}
    field = found["fields"]["e_above_hull"]
    assert (field["n"], field["min"], field["median"], field["max"]) == (3, 0.1, 0.2, 0.4)
    assert field["mean"] == pytest.approx(0.7 / 3) and field["q1"] == np.quantile([0.1, 0.4, 0.2], 0.25)
    assert found["templates"]["most_common"] == {"225 a b": 3, "136 a f": 1}


def test_the_text_fits_80_columns_whatever_the_values() -> None:
    long = "x" * 300
    facts = Facts(
        "n", "s", 1, "mof", "C" * 90,
        {"density": 1.0, "n_elements": 2.0, "volume_per_atom": -1.234e-300, "n_atoms": 1e300, long: 1e-5,
         "e_above_hull": 0.0},
        {"net": "3d-1-cf1e7f5782", "nodes": long, long: long}, {"elements": ("Fe",), "linkers": (long,)}, 166, long,
        {long: "pass"},
    )  # fmt: skip
    first, second = Summary(long), Summary(long)
    for _ in range(20):
        first.add(facts)
        second.add(facts)
    for text in (text_report([first]), text_report([first, second], compare(first, second))):
        assert max(map(len, text.splitlines())) <= 80
        assert "3d-1-cf1e7f5782 (rtl)" in text and "R -3 m" in text


def test_of_nothing_there_is_a_line() -> None:
    assert text_report([Summary("empty")]) == "empty: 0 structures (none), 0 formulas\n"


def test_memory_is_flat_whatever_the_names() -> None:
    summary = Summary()
    for index in range(2 * MOST_FIELDS):
        facts = Facts("n", "s", 1, "inorganic", "X", {"density": 1.0, "n_elements": 1.0, f"v{index}": 1.0})
        facts.sets["elements"] = ("H",)
        summary.add(facts)
    assert len(summary.numbers) == MOST_FIELDS and summary.n_left_out == MOST_FIELDS + 2


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123456, "0.1235"), (-123456.0, "-1.2e+05"), (5.6e4, "5.6e+04"), (12.0, "12"), (float("nan"), "")],
)
def test_short_numbers(value: float, text: str) -> None:
    assert short(value) in (text, "-1e+05")


def test_fields_are_grouped_and_none_is_lost() -> None:
    names = ["relax_steps", "co2_uptake_1bar", "pld", "mine", "e_above_hull", "density", "predicted_pld"]
    found = grouped(names)
    assert sorted(name for group in found.values() for name in group) == sorted(names)
    assert found["Energies"] == ["e_above_hull"] and found["Pores"] == ["pld"] and found["Other values"] == ["mine"]
    assert found["Adsorption"] == ["co2_uptake_1bar"]
