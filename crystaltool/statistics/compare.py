"""How far a set of structures is from another."""

from __future__ import annotations

from dataclasses import dataclass

from crystaltool.evaluation.distances import jensen_shannon_of_counts
from crystaltool.statistics.distribution import wasserstein
from crystaltool.statistics.summary import Summary


@dataclass(frozen=True)
class Comparison:
    """Distances of a set from another.

    Args:
        density: d_rho, Wasserstein distance of the densities, g/cm3. n_elements: d_elem, that of the numbers of
            elements. space_group: d_sg, Jensen-Shannon distance of the space groups. All three of crystals; NaN
            where a set has none.
        n_valid: crystals of the first set that the first two are of, its valid ones; of the second all.
        n_groups: crystals of the first set that the third is of, valid or not.
        fields: Wasserstein distance of every number that both have, in its unit.
        shared: of the different templates, formulas and MOFs' parts of the first set, how many the second has.
    """

    density: float
    n_elements: float
    space_group: float
    n_valid: int
    n_groups: int
    fields: dict[str, float]
    shared: dict[str, int]


def compare(first: Summary, second: Summary) -> Comparison:
    """Distances of the first set from the second, as `evaluation.metrics.distances` has them.

    That draws 1,000 of the valid structures; here are all.
    """
    groups = first.crystal_groups, second.crystal_groups
    fields = {
        name: wasserstein(found, second.numbers[name])
        for name, found in first.numbers.items()
        if name in second.numbers
    }
    names = ("formulas", "templates", "nets", "nodes", "linkers")
    pairs = {name: (getattr(first, name).counts, getattr(second, name).counts) for name in names}
    return Comparison(
        density=wasserstein(first.valid_density, second.crystal_density),
        n_elements=wasserstein(first.valid_elements, second.crystal_elements),
        space_group=jensen_shannon_of_counts(*groups) if all(groups) else float("nan"),
        n_valid=first.valid_density.n,
        n_groups=sum(first.crystal_groups.values()),
        fields=fields,
        shared={name: len(mine.keys() & theirs.keys()) for name, (mine, theirs) in pairs.items() if mine and theirs},
    )


def comparison_as_json(comparison: Comparison) -> dict[str, object]:
    """All figures as JSON has them; None for what is not there."""

    def number(value: float) -> float | None:
        return value if value == value else None

    return {
        "d_rho": number(comparison.density),
        "d_elem": number(comparison.n_elements),
        "d_sg": number(comparison.space_group),
        "n_valid": comparison.n_valid,
        "n_space_groups": comparison.n_groups,
        "wasserstein": {name: number(value) for name, value in comparison.fields.items()},
        "shared": comparison.shared,
    }
