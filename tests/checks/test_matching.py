"""Novelty and uniqueness give what the plain matcher gives, asked about every pair."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from crystaltool.asymunit import expand, reduce, tabulate
from crystaltool.checks.formula import composition, reduced
from crystaltool.checks.matching import MAX_MATCH_ATOMS, Reference, Seen, formula_key, table_keys
from crystaltool.crystal import Crystal
from tests.textbook import BY_NAME, TEXTBOOK


def changed(crystal: Crystal, strain: float, noise: float, seed: int, name: str = "") -> Crystal:
    """The crystal with its cell strained and its atoms moved by `noise` A, in another setting of the axes."""
    rng = np.random.default_rng(seed)
    stretched = crystal.lattice @ (np.eye(3) + strain * rng.normal(size=(3, 3)))
    moved = crystal.cart_coords @ np.linalg.inv(crystal.lattice)
    moved = moved + noise * rng.normal(size=moved.shape) @ np.linalg.inv(stretched)
    order = rng.permutation(crystal.n_atoms)
    return Crystal(stretched[[1, 2, 0]], moved[order][:, [1, 2, 0]], crystal.numbers[order], name)


def polymorphs() -> list[Crystal]:
    """Structures of two formulas in several arrangements, some alike."""
    halite, wurtzite, rutile = (BY_NAME[name].crystal() for name in ("halite", "wurtzite", "rutile"))
    as_zinc_oxide = Crystal(halite.lattice * 0.76, halite.frac_coords, np.where(halite.numbers == 11, 30, 8))
    caesium_like = Crystal(np.eye(3) * 2.7, np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.array([30, 8]))
    return [
        wurtzite,
        changed(wurtzite, 0.01, 0.02, 0),
        as_zinc_oxide,
        changed(as_zinc_oxide, 0.02, 0.05, 1),
        caesium_like,
        changed(wurtzite, 0.0, 0.6, 2),
        rutile,
        changed(rutile, 0.02, 0.05, 3),
        changed(rutile, 0.0, 0.7, 4),
        halite,
    ]


def plain_fit(first: Crystal, second: Crystal) -> bool:
    from pymatgen.core import Lattice, Structure
    from pymatgen.core.structure_matcher import StructureMatcher

    a, b = (Structure(Lattice(c.lattice), c.numbers.tolist(), c.frac_coords) for c in (first, second))
    return StructureMatcher().fit(a, b)


def test_novelty_is_the_plain_matchers():
    crystals = polymorphs()
    units = [reduce(crystal) for crystal in crystals]
    answers = []
    for (i, unit), crystal in product(enumerate(units), crystals):
        verdict = Reference(tabulate([unit])).check_novel(crystal)
        answers.append(verdict.passed)
        assert verdict.passed != plain_fit(crystal, expand(unit)), f"reference {i}: {verdict.message}"
    assert 0.1 < np.mean(answers) < 0.9


def test_first_of_duplicates_is_kept():
    seen = Seen()
    wurtzite = BY_NAME["wurtzite"].crystal()
    stream = [wurtzite, BY_NAME["rutile"].crystal(), changed(wurtzite, 0.01, 0.02, 0), wurtzite, polymorphs()[2]]
    verdicts = [seen.check_unique(crystal, f"s{i}") for i, crystal in enumerate(stream)]
    assert [verdict.passed for verdict in verdicts] == [True, True, False, False, True]
    assert verdicts[2].message == verdicts[3].message == "matches s0"


def test_a_supercell_is_no_new_structure():
    halite = BY_NAME["halite"].crystal()
    cells = np.array([[0, 0, 0], [1, 0, 0]])
    doubled = Crystal(
        halite.lattice * [[2], [1], [1]],
        ((halite.frac_coords[None] + cells[:, None]) / [2, 1, 1]).reshape(-1, 3),
        np.tile(halite.numbers, 2),
    )
    reference = Reference(tabulate([reduce(halite)]))
    assert not reference.check_novel(doubled).passed
    assert "halite" in Reference(tabulate([reduce(halite)])).check_novel(doubled).message


def test_another_formula_is_novel_without_asking_the_matcher(monkeypatch):
    monkeypatch.setattr("crystaltool.checks.matching._matcher", lambda: pytest.fail("asked"))
    reference = Reference(tabulate([reduce(BY_NAME["halite"].crystal())]))
    verdict = reference.check_novel(BY_NAME["rutile"].crystal())
    assert verdict.passed and verdict.value == 0.0


def test_too_many_atoms_are_refused_not_called_novel():
    halite = BY_NAME["halite"].crystal()
    n = MAX_MATCH_ATOMS
    rng = np.random.default_rng(0)
    large = Crystal(np.eye(3) * 40, rng.random((n + 2, 3)), np.repeat([11, 17], n // 2 + 1))
    verdict = Reference(tabulate([reduce(halite)])).check_novel(large)
    assert not verdict.passed and str(MAX_MATCH_ATOMS) in verdict.message


def test_keys_of_a_table_are_those_of_its_crystals():
    units = [reduce(entry.crystal()) for entry in TEXTBOOK]
    assert table_keys(tabulate(units)) == [formula_key(entry.crystal()) for entry in TEXTBOOK]
    assert dict(formula_key(BY_NAME["rutile"].crystal())) == reduced(composition(BY_NAME["rutile"].crystal().numbers))


def test_a_repeated_crystal_is_told_without_the_matcher(monkeypatch):
    """The same names as with it: of two that differ, of one that matches, of repeats of these."""
    halite, strained = BY_NAME["halite"].crystal(), BY_NAME["halite"].crystal()
    strained = Crystal(strained.lattice * 1.001, strained.frac_coords, strained.numbers)
    wide = Crystal(strained.lattice @ np.diag([1.0, 1.0, 2.5]), strained.frac_coords, strained.numbers)
    stream = [halite, wide, strained, halite, wide, strained, wide]
    seen = Seen()
    found = [seen.check_unique(crystal, f"x{i}") for i, crystal in enumerate(stream[:3])]
    monkeypatch.setattr("crystaltool.checks.matching.ReducedStructure", None)  # nothing is reduced any more
    found += [seen.check_unique(crystal, f"x{i + 3}") for i, crystal in enumerate(stream[3:])]
    monkeypatch.undo()
    assert [v.passed for v in found] == [True, True, False, False, False, False, False]
    assert [v.message for v in found[2:]] == ["matches x0", "matches x0", "matches x1", "matches x0", "matches x1"]
    for verdict, crystal in zip(found[3:], stream[3:], strict=True):  # as a structure a hair off says
        near = Crystal(crystal.lattice * (1 + 1e-12), crystal.frac_coords, crystal.numbers)
        assert seen.check_unique(near, "near") == verdict
