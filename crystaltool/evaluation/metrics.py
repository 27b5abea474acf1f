"""Metrics over a set of profiles: validity, distances to the test set, templates, novelty and uniqueness.

Every rate is over all records asked for: one that could not be read counts as failing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from crystaltool.checks.matching import Reference, Seen
from crystaltool.evaluation.distances import jensen_shannon_distance, wasserstein_distance
from crystaltool.evaluation.profile import Profile
from crystaltool.evaluation.templates import Template, TemplateCount, count_templates

N_DISTANCE_SAMPLES = 1000
"""Valid structures drawn for the density and element-count distances (CDVAE's evaluation draws as many)."""

VALIDITY: dict[str, tuple[str, ...]] = {
    "structural": ("distance-cdvae",),
    "structural, SymmCD bounds": ("distance-cdvae", "cell-symmcd"),
    "compositional": ("charge",),
    "structural and compositional": ("distance-cdvae", "charge"),
    "LeMat-like": ("cell", "distance-lemat", "density", "charge"),
    "LeMat-like without charge": ("cell", "distance-lemat", "density"),
    "no coinciding atoms": ("duplicates",),
}
"""Kinds of validity and the checks that each asks for."""


@dataclass(frozen=True)
class Rate:
    """A share with its count."""

    n_passed: int
    n: int

    @property
    def share(self) -> float:
        """The share, NaN of nothing."""
        return self.n_passed / self.n if self.n else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share (E. B. Wilson, J. Am. Stat. Assoc. 22, 209 (1927)), NaN of nothing."""
        if not self.n:
            return float("nan"), float("nan")
        z, n, p = 1.959964, self.n, self.share
        middle, half = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
        return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)

    def __str__(self) -> str:
        return f"{100 * self.share:.2f} % ({self.n_passed} of {self.n})" if self.n else "none"


@dataclass(frozen=True)
class Sample:
    """A set of structures to judge.

    Args:
        profiles: those that could be read.
        n_bad: records that could not.
    """

    profiles: tuple[Profile, ...]
    n_bad: int = 0

    @property
    def n(self) -> int:
        """All records."""
        return len(self.profiles) + self.n_bad

    def passing(self, checks: Sequence[str]) -> list[Profile]:
        """The profiles that pass all of these checks."""
        return [profile for profile in self.profiles if all(profile.passed[check] for check in checks)]

    def rate(self, checks: Sequence[str]) -> Rate:
        """The share of all records that pass all of these checks."""
        return Rate(len(self.passing(checks)), self.n)

    @property
    def templates(self) -> list[Template]:
        """The templates of all structures whose group was found."""
        return [profile.template for profile in self.profiles if profile.template is not None]


@dataclass(frozen=True)
class Distances:
    """Distances to the test set: density (g/cm3), number of elements, space group."""

    density: float
    n_elements: float
    space_group: float
    n_valid: int
    n_groups: int


def validity(sample: Sample) -> dict[str, Rate]:
    """All rates of `VALIDITY`."""
    return {kind: sample.rate(checks) for kind, checks in VALIDITY.items()}


def distances(sample: Sample, test: Sample, seed: int = 0) -> Distances:
    """Distances of up to 1,000 valid structures, drawn with the seed, and of all space groups, to the test set."""
    valid = sample.passing(VALIDITY["structural and compositional"])
    if not valid or not test.profiles:
        return Distances(float("nan"), float("nan"), float("nan"), len(valid), 0)
    rng = np.random.default_rng(seed)
    drawn = [valid[i] for i in rng.permutation(len(valid))[:N_DISTANCE_SAMPLES]]

    def wasserstein(value: Callable[[Profile], float]) -> float:
        mine = np.array([value(profile) for profile in drawn], dtype=float)
        theirs = np.array([value(profile) for profile in test.profiles], dtype=float)
        return wasserstein_distance(mine, theirs)

    groups, test_groups = (np.array([group for group, _ in s.templates]) for s in (sample, test))
    return Distances(
        density=wasserstein(lambda profile: profile.density),
        n_elements=wasserstein(lambda profile: profile.n_elements),
        space_group=jensen_shannon_distance(groups, test_groups) if len(groups) else float("nan"),
        n_valid=len(drawn),
        n_groups=len(groups),
    )


def templates(sample: Sample, training: Sequence[Template]) -> dict[str, TemplateCount]:
    """Template counts, raw and with equivalent labellings merged."""
    return {
        "raw": count_templates(sample.templates, training),
        "merged": count_templates(sample.templates, training, "euclidean"),
    }


@dataclass(frozen=True)
class Novelty:
    """Among the valid: how many differ from all before them, from the training set, and from both."""

    n_valid: int
    unique: int
    novel: int
    novel_and_unique: int


def novelty(sample: Sample, reference: Reference, kind: str = "structural and compositional") -> Novelty:
    """Compare every valid structure with the training set and with the valid ones before it."""
    seen = Seen()
    valid = sample.passing(VALIDITY[kind])
    unique = np.array([seen.check_unique(p.crystal, p.name).passed for p in valid], dtype=bool)
    novel = np.array([reference.check_novel(p.crystal).passed for p in valid], dtype=bool)
    return Novelty(len(valid), int(unique.sum()), int(novel.sum()), int((unique & novel).sum()))
