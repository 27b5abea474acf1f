"""The table of `stability.py`: one column a set, shares in per cent of the structures asked for, 95 % intervals."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist
from stability_rows import read_rows

from crystaltool.errors import InputError
from crystaltool.evaluation.distances import jensen_shannon_distance, wasserstein_distance
from crystaltool.evaluation.metrics import N_DISTANCE_SAMPLES, Rate
from crystaltool.measure.hull import FILLED_NAME, load_hull

THRESHOLDS = (0.0, 0.025, 0.1)
"""eV/atom above the hull."""

ORBITS = ((1, 3), (4, 4), (5, 6), (7, 999))
COVERAGE_CUTS = {"structure": 0.4, "composition": 10.0}
"""CDVAE's for MP-20."""

LIBRARIES = ("crystaltool", "chgnet", "pymatgen", "smact", "torch")


@dataclass(frozen=True)
class Judged:
    """One structure: whether it passes each check as it came and relaxed, and its rows of figures."""

    raw: Mapping[str, bool]
    relaxed: Mapping[str, bool]
    raw_row: Mapping[str, Any]
    row: Mapping[str, Any]
    second: Mapping[str, Any] = field(default_factory=dict)

    @property
    def above_hull(self) -> float:
        """eV/atom, infinite where it is not known."""
        return float(self.row.get("e_above_hull", np.inf))

    @property
    def several(self) -> bool:
        """Two elements or more."""
        return self.raw_row.get("n_elements", 0) > 1

    @property
    def new_and_unique(self) -> bool:
        """Unique and novel as it came, of two elements or more."""
        return self.several and self.raw.get("novel", False) and self.raw.get("unique", False)

    @property
    def new_and_unique_relaxed(self) -> bool:
        """The same, compared as relaxed: what falls onto a known crystal is none."""
        return self.several and self.relaxed.get("novel", False) and self.relaxed.get("unique", False)


@dataclass(frozen=True)
class Set:
    """A judged set: `n` structures asked for, of which `unreadable` could not be read, and processor seconds."""

    n: int
    unreadable: int
    structures: tuple[Judged, ...]
    seconds: Mapping[str, float]

    def share(self, chosen: Callable[[Judged], bool]) -> Rate:
        """Share of all structures asked for."""
        return Rate(sum(chosen(structure) for structure in self.structures), self.n)


def read_set(folder: Path, seconds: Mapping[str, float]) -> Set:
    """What the stages left in a folder."""
    about = json.loads((folder / "set.json").read_text())
    raw, relaxed = (_verdicts(folder / name) for name in ("raw.jsonl", "relaxed.jsonl"))
    raw_rows, rows, second = (
        {row["name"]: row for row in read_rows(folder / name)}
        for name in ("raw_rows.jsonl", "relaxed_rows.jsonl", "second.jsonl")
    )
    second = _distances_by_second(list(raw_rows), second)
    structures = tuple(
        Judged(raw.get(name, {}), relaxed.get(name, {}), raw_rows[name], rows.get(name, {}), second.get(name, {}))
        for name in raw_rows
    )
    return Set(about["records"], about["records"] - len(raw), structures, seconds)


def _distances_by_second(names: list[str], rows: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Distance to the hull of the structures up to the last that the second judge has seen, infinite if not known."""
    last = max((i for i, name in enumerate(names) if name in rows), default=-1)
    found: dict[str, dict[str, Any]] = {name: {"e_above_hull": np.inf} for name in names[: last + 1]}
    for name, row in rows.items():
        if name in found and "energy_per_atom" in row:
            numbers = np.array(row["numbers"], dtype=np.int64)
            with contextlib.suppress(InputError):  # an element without reference
                stability = load_hull().stability(numbers, float(row["energy_per_atom"]))
                found[name] = {"e_above_hull": stability.above_hull}
    return found


def _verdicts(path: Path) -> dict[str, dict[str, bool]]:
    rows = read_rows(path)
    return {row["structure"]: {name: check["passed"] for name, check in row["checks"].items()} for row in rows}


def percent(rate: Rate) -> str:
    """`11.5 (8.7-15.0)`: per cent and its 95 % interval."""
    if not rate.n:
        return ""
    low, high = rate.interval
    return f"{100 * rate.share:.1f} ({100 * low:.1f}-{100 * high:.1f})"


def figures(judged: Set, test: Mapping[str, np.ndarray], seed: int) -> dict[str, str]:
    """The column of a set, by the name of the row."""
    rows = {"n (unreadable)": f"{judged.n} ({judged.unreadable})"}

    def row(name: str, chosen: Callable[[Judged], bool]) -> None:
        rows[name] = percent(judged.share(chosen))

    row("structural validity, CDVAE", lambda s: s.raw.get("distance-cdvae", False))
    row("LeMat distance rule", lambda s: s.raw.get("distance-lemat", False))
    row("SMACT smact14", lambda s: s.raw.get("charge", False))
    row("unique", lambda s: s.raw.get("unique", False))
    row("novel", lambda s: s.raw.get("novel", False))
    row("relaxed and converged", lambda s: bool(s.row.get("converged")))
    for limit in THRESHOLDS:
        row(f"E_hull <= {limit:g}", lambda s, limit=limit: s.above_hull <= limit)
    known = [s.above_hull for s in judged.structures if np.isfinite(s.above_hull)]
    rows["median E_hull, eV/atom"] = f"{np.median(known):.3f}" if known else ""
    for limit in THRESHOLDS:
        row(f"**S.U.N. <= {limit:g}**", lambda s, limit=limit: s.new_and_unique and s.above_hull <= limit)
    for limit in THRESHOLDS[::2]:
        row(
            f"S.U.N. <= {limit:g}, hull of the published energies alone",
            lambda s, limit=limit: s.new_and_unique and s.row.get("e_above_published", np.inf) <= limit,
        )
    for limit in THRESHOLDS:
        row(
            f"S.U.N. <= {limit:g}, compared relaxed",
            lambda s, limit=limit: s.new_and_unique_relaxed and s.above_hull <= limit,
        )
    for limit in THRESHOLDS:
        row(
            f"S.U.N. <= {limit:g} on a new template",
            lambda s, limit=limit: s.new_and_unique and bool(s.row.get("new_template")) and s.above_hull <= limit,
        )
    rows |= _kinds(judged) | _by_orbits(judged) | _second(judged) | _distances(judged, test, seed) | _cost(judged)
    return rows


def _kinds(judged: Set) -> dict[str, str]:
    """Templates, and what a substitution of a training crystal gives."""
    found = [tuple(map(str, s.row["template"])) for s in judged.structures if s.row.get("template")]
    new = {tuple(map(str, s.row["template"])) for s in judged.structures if s.row.get("new_template")}
    known = [s for s in judged.structures if s.row]
    metastable = [s for s in known if s.new_and_unique and s.above_hull <= THRESHOLDS[-1]]
    substituted = sum(s.row.get("substitution_of") is not None for s in metastable)
    return {
        "templates: different / new": f"{len(set(found))} / {len(new)} of {len(found)}",
        "a substitution of a training crystal": percent(
            judged.share(lambda s: s.row.get("substitution_of") is not None)
        ),
        "the same of S.U.N. <= 0.1": percent(Rate(substituted, len(metastable))),
    }


def _by_orbits(judged: Set) -> dict[str, str]:
    rows = {}
    for least, most in ORBITS:
        chosen = [s for s in judged.structures if least <= s.raw_row.get("n_orbits", 0) <= most]
        stable = Rate(sum(s.above_hull <= THRESHOLDS[-1] for s in chosen), len(chosen))
        name = f"{least} and more" if most > 99 else f"{least}-{most}" if most > least else str(least)
        rows[f"E_hull <= 0.1 of {name} orbits (n)"] = f"{percent(stable)} ({len(chosen)})" if chosen else ""
    return rows


def _second(judged: Set) -> dict[str, str]:
    """Both judges on the structures that the second has seen."""
    seen = [s for s in judged.structures if s.second]
    if not seen:
        return {}
    rows = {"judged by SevenNet-0 too, n": str(len(seen))}
    for limit in THRESHOLDS:
        theirs = [s for s in seen if s.second.get("e_above_hull", np.inf) <= limit]
        ours = sum(s.new_and_unique and s.above_hull <= limit for s in seen)
        both = Rate(sum(s.new_and_unique for s in theirs), len(seen))
        rows[f"S.U.N. <= {limit:g} by SevenNet / CHGNet on these"] = f"{percent(both)} / {100 * ours / len(seen):.1f}"
    return rows


def _distances(judged: Set, test: Mapping[str, np.ndarray], seed: int) -> dict[str, str]:
    """d_rho and d_elem of up to 1,000 valid structures, d_sg of all."""
    valid = [s for s in judged.structures if s.raw.get("distance-cdvae") and s.raw.get("charge") and s.raw_row]
    groups = np.array([s.raw_row["group"] for s in judged.structures if s.raw_row.get("group")], dtype=np.int64)
    if not valid or not len(groups):
        return {}
    drawn = [valid[i] for i in np.random.default_rng(seed).permutation(len(valid))[:N_DISTANCE_SAMPLES]]

    def distance(key: str) -> str:
        mine = np.array([s.raw_row[key] for s in drawn], dtype=float)
        return f"{wasserstein_distance(mine, test[key].astype(float)):.3f}"

    return {
        "d_rho, g/cm3": distance("density"),
        "d_elem": distance("n_elements"),
        "d_sg": f"{jensen_shannon_distance(groups, test['group'].astype(np.int64)):.3f}",
    }


def _cost(judged: Set) -> dict[str, str]:
    """Processor seconds; a structure is made, relaxed and measured."""
    if not judged.n:
        return {}
    made = judged.seconds.get("generate")
    relaxed = judged.seconds.get("relax", 0.0) + judged.seconds.get("measure", 0.0)
    rows = {
        "cpu s a structure, to make it": "" if made is None else f"{made / judged.n:.3f}",
        "cpu s a structure, relax and measure": f"{relaxed / judged.n:.2f}",
    }
    hits = judged.share(lambda s: s.new_and_unique and s.above_hull <= 0.0).n_passed
    total = (made or 0.0) + relaxed
    rows["cpu s a S.U.N. (<= 0) structure, everything"] = f"{total / hits:.1f}" if hits else ""
    return rows


def coverage(folder: Path, n: int, covered: Path) -> dict[str, str]:
    """COV-R and COV-P (Xie et al., arXiv 2110.06197): nearest structure and composition fingerprints under their cuts.

    Args:
        folder: of the set. n: structures asked for. covered: folder of the test crystals.
    """
    mine, theirs = (
        [row for row in read_rows(f / "fingerprints.jsonl") if "structure" in row] for f in (folder, covered)
    )
    if not mine or not theirs:
        return {}
    recall, precision = np.ones(len(theirs), dtype=bool), np.ones(len(mine), dtype=bool)
    for kind, cut in COVERAGE_CUTS.items():
        a, b = (np.array([row[kind] for row in rows]) for rows in (theirs, mine))
        if kind == "composition":
            mean, scale = a.mean(axis=0), np.where(a.std(axis=0) > 0, a.std(axis=0), 1.0)
            a, b = (a - mean) / scale, (b - mean) / scale
        near = cdist(a, b) <= cut
        recall, precision = recall & near.any(axis=1), precision & near.any(axis=0)
    found = len(read_rows(covered / "fingerprints.jsonl"))
    return {
        f"COV-R (of {found} of MP-20 test)": percent(Rate(int(recall.sum()), found)),
        "COV-P": percent(Rate(int(precision.sum()), n)),
    }


def table(
    sets: Mapping[str, tuple[Path, Mapping[str, float]]], test: Mapping[str, np.ndarray], seed: int, covered: Path
) -> str:
    """The Markdown of all sets."""
    columns = {}
    for label, (folder, seconds) in sets.items():
        judged = read_set(folder, seconds)
        columns[label] = figures(judged, test, seed) | coverage(folder, judged.n, covered)
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    lines = [
        f"Per cent of the structures asked for, 95 % intervals (Wilson); seed {seed}. Energies by CHGNet, relaxed to",
        f"0.05 eV/A and 0.1 GPa; hull {FILLED_NAME} (Materials Project, PBE and PBE+U with the corrections of 2020;",
        "phases whose energies are not among them by CHGNet).",
        f"{versions()}.",
        "",
        f"| | {' | '.join(columns)} |",
        f"|---|{'---|' * len(columns)}",
    ]
    lines += [f"| {name} | {' | '.join(column.get(name, '') for column in columns.values())} |" for name in names]
    return "\n".join(lines) + "\n"


def versions() -> str:
    """Versions of what decides the figures."""
    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)
