"""Title, notes and the few figures at the top of the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from crystaltool.checks.kind import MOF
from crystaltool.measure.stability import DOUBTFUL
from crystaltool.statistics.compare import Comparison
from crystaltool.statistics.page.collect import MOST_ROWS, Gallery
from crystaltool.statistics.summary import Summary, share_passed
from crystaltool.statistics.words import percent, short

Tile = tuple[str, str, str]
"""A figure, what it is, and the other set's."""

ON_HULL, NEAR_HULL = 0.0, 0.1
"""eV/atom above the hull."""


def page_heading(
    sets: Sequence[Summary], comparison: Comparison | None, gallery: Gallery, detected: bool, made: str
) -> dict[str, Any]:
    """What stands at the top of the page, and notes.

    Args:
        sets, comparison, gallery: as for `content.page_content`.
        detected: whether space groups were found anew.
        made: who made the page, when.
    """
    first = sets[0]
    beside = f", beside {sets[1].label}" if len(sets) > 1 else ""
    refused = f"; {first.n_refused} could not be read" if first.n_refused else ""
    kinds = " and ".join(f"{count} {'MOF' if kind == MOF else kind}" for kind, count in first.kinds.items())
    order = f"those at the front by {gallery.sort}" if gallery.n_with_value else "the first"
    rows = f"The table holds {MOST_ROWS} of {gallery.n} structures, {order}; all other figures are of all. "
    return {
        "title": first.label,
        "subtitle": f"{first.n} structures ({kinds or 'none'}){refused}{beside}",
        "tiles": [list(tile) for tile in tiles(sets, comparison)],
        "table_note": (rows if gallery.n > MOST_ROWS else "")
        + "A click on a heading sorts, on a row with a picture leads to it. Filters of numbers: < 0.1, >= 2, 1..5.",
        "doubt": _doubt(gallery),
        "symmetry_note": "Found anew at 0.1 Å." if detected else "As the blocks declare it.",
        "made": made,
    }


def _doubt(gallery: Gallery) -> str:
    """What to say of distances from the hull that nobody should believe; empty if there are none."""
    if not gallery.n_doubtful:
        return ""
    return (
        f"{gallery.n_doubtful} structures lie more than {-DOUBTFUL:g} eV/atom below the hull: a phase is missing"
        " from it, or the potential fails there. They stand behind the others, as those that fail a check do."
    )


def tiles(sets: Sequence[Summary], comparison: Comparison | None) -> list[Tile]:
    """The figures at the top."""
    found = [_tile(sets, "structures", lambda each: str(each.n))]
    for check, label in (("all", "pass all checks"), ("novel", "novel"), ("unique", "unique"), ("stable", "stable")):
        if any(check in each.verdicts for each in sets[:1]):
            found.append(_tile(sets, label, lambda each, check=check: _passed(each, check)))
    if "e_above_hull" in sets[0].numbers:
        for limit in (ON_HULL, NEAR_HULL):
            label = f"E_hull ≤ {limit:g} eV/atom"
            found.append(_tile(sets, label, lambda each, limit=limit: _at_most(each, "e_above_hull", limit)))
    if sets[0].templates.n_structures:
        found.append(_tile(sets, "templates", lambda each: str(each.templates.n_different)))
    if sets[0].nets.n_structures:
        found.append(_tile(sets, "nets", lambda each: str(each.nets.n_different)))
        found.append(_tile(sets, "linkers", lambda each: str(each.linkers.n_different)))
    if comparison is not None and comparison.n_valid:
        found += [
            (short(comparison.density), f"d_rho, g/cm3, of {comparison.n_valid} valid", ""),
            (short(comparison.n_elements), "d_elem, of the same", ""),
            (short(comparison.space_group), "d_sg, 0 alike to 0.833", ""),
        ]
    return found


def _tile(sets: Sequence[Summary], label: str, figure: Callable[[Summary], str]) -> Tile:
    other = figure(sets[1]) if len(sets) > 1 else ""
    return figure(sets[0]), label, f"{other} in {sets[1].label}" if other and other != "0" else ""


def _passed(summary: Summary, check: str) -> str:
    return percent(share_passed(summary.verdicts[check])) if check in summary.verdicts else ""


def _at_most(summary: Summary, name: str, limit: float) -> str:
    if name not in summary.numbers:
        return ""
    points = summary.numbers[name].points
    return percent(float(np.sum(points.weights[points.values <= limit]) / points.n))
