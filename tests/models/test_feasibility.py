"""What can still be completed, against listing every choice; right values of known crystals."""

from __future__ import annotations

from itertools import combinations_with_replacement, product

import numpy as np
import pytest

from crystaltool.models.symmcd.feasibility import (
    UNLIMITED,
    Completions,
    Content,
    SiteClasses,
    can_fill,
    open_elements,
    orbit_numbers,
    site_classes,
)
from crystaltool.symmetry import space_group

GROUPS = (1, 2, 5, 12, 16, 47, 62, 136, 147, 166, 194, 208, 216, 223, 225, 227, 230)
"""All systems; of 208 and 223 most classes are limited."""


def all_choices(classes: SiteClasses, n_orbits: int) -> list[tuple[int, ...]]:
    """Every choice of classes within the capacities, orbit by orbit."""
    found = []
    for chosen in combinations_with_replacement(range(len(classes.multiplicity)), n_orbits):
        counts = np.bincount(np.array(chosen, dtype=int), minlength=len(classes.multiplicity))
        if all(n <= most for n, most in zip(counts, classes.capacity, strict=True)):
            found.append(tuple(int(n) for n in counts))
    return found


def holds(classes: SiteClasses, counts: tuple[int, ...], content: Content) -> bool:
    """By trying every element for every orbit."""
    sizes = [size for size, n in zip(classes.multiplicity, counts, strict=True) for _ in range(n)]
    if not content.fewest <= sum(sizes) <= content.most:
        return False
    if not content.formula:
        return True
    units, rest = divmod(sum(sizes), sum(content.formula))
    wanted = [units * n for n in content.formula]
    return rest == 0 and any(
        [sum(size for size, e in zip(sizes, given, strict=True) if e == element) for element in range(len(wanted))]
        == wanted
        for given in product(range(len(wanted)), repeat=len(sizes))
    )


@pytest.mark.parametrize("group", [1, 2, 47, 225, 227, 229, 230])
def test_classes_are_the_multiplicities_and_points_without_freedom_are_limited(group: int) -> None:
    classes, positions = site_classes(group), space_group(group).positions
    assert [classes.multiplicity[i] for i in classes.of_position] == [p.multiplicity for p in positions]
    for i, size in enumerate(classes.multiplicity):
        own = [p for p in positions if p.multiplicity == size]
        free = any(p.degrees_of_freedom for p in own)
        assert classes.capacity[i] == (UNLIMITED if free else len(own))
    primitive = {"P": 1, "A": 2, "B": 2, "C": 2, "I": 2, "F": 4, "R": 3}
    assert classes.centring == primitive[space_group(group).centring]
    assert all(size % classes.centring == 0 for size in classes.multiplicity)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(
    "content",
    [
        Content(10, 24),
        Content(7, 7),
        Content(1, UNLIMITED, (1, 3)),
        Content(1, 30, (1, 1, 3)),
        Content(12, 12, (2, 1)),
        Content(1, 60, (2, 3, 1)),
    ],
    ids=str,
)
def test_numbers_of_orbits_and_ways_are_those_of_listing_all(group: int, content: Content) -> None:
    classes = site_classes(group)
    found = orbit_numbers(classes, content, 4)
    assert not found[0]
    for n_orbits in range(1, 5):
        true = {counts for counts in all_choices(classes, n_orbits) if holds(classes, counts, content)}
        assert {tuple(row) for row in Completions(classes, content, n_orbits).vectors.tolist()} == true
        assert found[n_orbits] == bool(true)


@pytest.mark.parametrize("group", [2, 47, 62, 208, 225])
def test_a_class_is_open_exactly_if_a_completion_goes_on_with_it(group: int) -> None:
    classes, content = site_classes(group), Content(1, 60, (1, 1, 3))
    for n_orbits in (3, 4):
        ways = Completions(classes, content, n_orbits)
        true = [counts for counts in all_choices(classes, n_orbits) if holds(classes, counts, content)]
        for n_chosen in range(n_orbits):
            for chosen in all_choices(classes, n_chosen):
                beyond = [
                    any(all(a <= b for a, b in zip(chosen, way, strict=True)) and way[i] > chosen[i] for way in true)
                    for i in range(len(chosen))
                ]
                assert ways.open_classes(chosen).tolist() == beyond


def test_elements_are_open_exactly_if_the_rest_can_be_filled() -> None:
    rng = np.random.default_rng(0)
    sizes = (1, 2, 3, 6)
    n_impossible = n_closed = 0
    for _ in range(300):
        counts = tuple(rng.integers(0, 3, 4).tolist())
        orbits = [i for i, n in enumerate(counts) for _ in range(n)]
        given = rng.integers(0, 3, len(orbits))
        demands = [int(sum(sizes[i] for i, e in zip(orbits, given, strict=True) if e == k)) for k in range(3)]
        demands[0] += int(rng.integers(-1, 2))
        demands[1] -= sum(demands) - sum(sizes[i] for i in orbits)
        if min(demands) < 0 or not orbits:
            continue

        def filled(left: list[int], wanted: list[int]) -> bool:
            return any(
                [sum(sizes[i] for i, e in zip(left, choice, strict=True) if e == k) for k in range(3)] == wanted
                for choice in product(range(3), repeat=len(left))
            )

        possible = filled(orbits, demands)
        n_impossible += not possible
        assert can_fill(sizes, counts, tuple(sorted(demands, reverse=True))) == possible
        rest = orbits[1:]
        true = []
        for k in range(3):
            wanted = [d - (sizes[orbits[0]] if e == k else 0) for e, d in enumerate(demands)]
            true.append(min(wanted) >= 0 and filled(rest, wanted))
        n_closed += possible and not all(true)
        assert open_elements(sizes, counts, tuple(demands), orbits[0]) == tuple(true)
    assert n_impossible > 10 and n_closed > 50


@pytest.mark.parametrize(
    ("group", "formula", "atoms", "smallest", "known"),
    [
        (225, (1, 1), 8, 2, 2),  # rock salt: 4a 4b
        (227, (1,), 8, 1, 1),  # diamond: 8a
        (227, (1, 2, 4), 56, 3, 3),  # spinel: 8a 16d 32e
        (221, (1, 1, 3), 5, 3, 3),  # perovskite: 1a 1b 3c
        (62, (1, 1, 1, 4), 28, 5, 6),  # olivine: 4a, 4c four times, 8d; 4a 4b 4c 8d 8d also adds up
        (230, (3, 2, 3, 12), 160, 4, 4),  # garnet: 24c 16a 24d 96h
        (225, (1, 1, 1, 4), 28, None, None),  # 4a and 4b are two places for three elements of four atoms each
        (194, (1, 2), 6, 2, 2),
    ],
)
def test_known_crystals(
    group: int, formula: tuple[int, ...], atoms: int, smallest: int | None, known: int | None
) -> None:
    possible = np.flatnonzero(orbit_numbers(site_classes(group), Content(atoms, atoms, formula), 64))
    assert (possible.min() if len(possible) else None) == smallest
    assert known is None or known in possible


def test_large_cells_are_answered_and_too_many_ways_are_an_error() -> None:
    """Sums of 64 orbits are counted without listing them; listing has a limit that says so."""
    assert orbit_numbers(site_classes(229), Content(1, UNLIMITED, (1, 1, 3)), 64)[64]
    assert Completions(site_classes(225), Content(12288, 12288), 64).vectors.tolist() == [[0, 0, 0, 0, 0, 0, 64]]
    with pytest.raises(OverflowError):
        Completions(site_classes(229), Content(1000, UNLIMITED), 60)
