"""Judging a set of structures: profiles from any input, and the rows of the table that `benchmarks/table.py` prints."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

from crystaltool.checks.charge import OPTIONS
from crystaltool.checks.matching import MATCHER, Reference
from crystaltool.evaluation import metrics
from crystaltool.evaluation.metrics import Rate, Sample
from crystaltool.evaluation.profile import GEOMETRY, SYMMETRY, Profile, make_profile
from crystaltool.evaluation.readers import disagreement
from crystaltool.evaluation.templates import Template, TemplateCount
from crystaltool.executor import map_ordered
from crystaltool.io.stream import RawBlock, iter_raw


@dataclass(frozen=True)
class Row:
    """A line of the table: what was measured, what the issue asks, the figure, and the same figure of the test set."""

    what: str
    asked: str
    figure: str
    test: str = ""


def read_sample(
    paths: Sequence[str], limit: int | None = None, declared_symmetry: bool = True, jobs: int = 1
) -> Sample:
    """Profiles of the structures in any input that `crystaltool` reads.

    Args:
        paths: files or folders.
        limit: at most so many records.
        declared_symmetry: whether the declared operations are checked, the slow part.
        jobs: worker processes.
    """
    checks = GEOMETRY + (SYMMETRY if declared_symmetry else ())
    profiles: list[Profile] = []
    n_bad = 0
    records = islice(iter_raw(paths), limit)
    with contextlib.closing(map_ordered(partial(make_profile, checks=checks), records, jobs)) as results:
        for result in results:
            if isinstance(result, Profile):
                profiles.append(result)
            else:
                n_bad += 1
    return Sample(tuple(profiles), n_bad)


def validity_rows(sample: Sample, test: Sample) -> list[Row]:
    """The rates of every kind of validity."""
    mine, theirs = metrics.validity(sample), metrics.validity(test)
    asked = {
        "structural": "95 % (SymmCD 90.3)",
        "compositional": "86 % (SymmCD 85.8)",
        "LeMat-like": "80 % (SymmCD 73.4 under the board's own oxidation statistics)",
        "no coinciding atoms": "100 %",
    }
    rules = {
        "structural": "structural validity (CDVAE: distances >= 0.5 A, volume >= 0.1 A^3)",
        "structural, SymmCD bounds": "structural validity with SymmCD's bounds (lengths 1-40 A, Z <= 94)",
        "compositional": f"compositional validity ({OPTIONS})",
        "structural and compositional": "structural and compositional validity",
        "LeMat-like": "LeMat-like validity (distance, density and cell rules, SMACT smact14 neutrality)",
        "LeMat-like without charge": "LeMat-like validity without charge",
        "no coinciding atoms": "no two atoms within 0.1 A",
    }
    return [Row(rules[kind], asked.get(kind, ""), str(rate), str(theirs[kind])) for kind, rate in mine.items()]


def distance_rows(sample: Sample, test: Sample, seed: int) -> list[Row]:
    """Distances to the test set; beside them those of the test set's odd from its even structures, the noise floor."""
    mine = metrics.distances(sample, test, seed)
    halves = [Sample(test.profiles[start::2]) for start in (0, 1)]
    floor = metrics.distances(halves[0], halves[1], seed)
    drawn = f"{mine.n_valid} valid against {len(test.profiles)}"
    groups = f"{mine.n_groups} against {len(test.templates)}, moyopy at 0.1 A"
    return [
        Row(f"d_rho, Wasserstein-1, g/cm3 ({drawn})", "SymmCD .23", f"{mine.density:.3f}", f"{floor.density:.3f}"),
        Row(f"d_elem, Wasserstein-1 ({drawn})", "SymmCD .40", f"{mine.n_elements:.3f}", f"{floor.n_elements:.3f}"),
        Row(f"d_sg, Jensen-Shannon ({groups})", "SymmCD .164", f"{mine.space_group:.3f}", f"{floor.space_group:.3f}"),
    ]


def template_rows(sample: Sample, test: Sample, training: Sequence[Template]) -> list[Row]:
    """Template counts, raw and merged."""
    mine, theirs = metrics.templates(sample, training), metrics.templates(test, training)
    asked = {"raw": "reported (SymmCD 2794 unique, 1654 new of 10,000)", "merged": "reported (SymmCD 1870, 750)"}
    return [
        Row(
            f"templates, {kind}: unique / in training / new (training has {mine[kind].training})",
            asked[kind],
            _counts(mine[kind]),
            _counts(theirs[kind]),
        )
        for kind in mine
    ]


def _counts(count: TemplateCount) -> str:
    return f"{count.unique} / {count.in_training} / {count.new} (n = {count.n_structures})"


def novelty_rows(sample: Sample, test: Sample | None, reference: Reference) -> list[Row]:
    """Novel and unique among the valid; the test set's own figures where it is given."""
    mine = metrics.novelty(sample, reference)
    theirs = metrics.novelty(test, reference) if test is not None else None

    def pair(value: str) -> tuple[str, str]:
        figures = [
            str(Rate(getattr(found, value), found.n_valid)) if found is not None else "" for found in (mine, theirs)
        ]
        return figures[0], figures[1]

    what = f"among the structurally and compositionally valid ({MATCHER}, {len(reference)} references)"
    return [
        Row(f"unique {what}", "reported", *pair("unique")),
        Row(f"novel {what}", "reported", *pair("novel")),
        Row(f"novel and unique {what}", "reported", *pair("novel_and_unique")),
    ]


def symmetry_rows(sample: Sample) -> list[Row]:
    """Whether the declared symmetry is there: by the operations themselves, and as spglib finds it."""
    groups = len({profile.declared_group for profile in sample.profiles})
    n = f"{sample.n} structures, {groups} groups declared"
    return [
        Row(
            f"every declared operation maps the written crystal onto itself within 0.01 A ({n})",
            "100 %",
            str(sample.rate(("operations",))),
        ),
        Row(f"spglib finds the declared operations at 1e-3 and 1e-2 A ({n})", "100 %", str(sample.rate(("symmetry",)))),
        Row(
            f"spglib finds the declared group at 1e-2 A, not a supergroup ({n})",
            "97 %",
            str(sample.rate(("exact-group",))),
        ),
        Row(f"no coinciding atoms ({n})", "100 %", str(sample.rate(("duplicates",)))),
    ]


def reader_rows(paths: Sequence[str], limit: int) -> tuple[list[Row], list[str]]:
    """How many blocks gemmi, ase and pymatgen read alike, and what the others disagree about."""
    blocks = [raw for raw in islice(iter_raw(paths), limit) if isinstance(raw, RawBlock)]
    reasons = [f"{raw.name}: {reason}" for raw in blocks if (reason := disagreement(raw.text))]
    rate = Rate(len(blocks) - len(reasons), len(blocks))
    return [Row("blocks read alike by gemmi, ase and pymatgen", "1000 of 1000", str(rate))], reasons


def markdown(rows: Sequence[Row], label: str, test_label: str) -> Iterator[str]:
    """The lines of a Markdown table."""
    yield f"| what | asked | {label} | {test_label} |"
    yield "|---|---|---|---|"
    for row in rows:
        yield f"| {row.what} | {row.asked} | {row.figure} | {row.test} |"
