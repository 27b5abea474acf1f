"""What the page shows, as JSON for its script: figures of one set or two, rows of the table, pictures, drawings."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from crystaltool.checks.kind import MOF
from crystaltool.errors import CrystaltoolError
from crystaltool.io.cif import parse_block
from crystaltool.io.records import RawBlock
from crystaltool.statistics.compare import Comparison, comparison_as_json
from crystaltool.statistics.distribution import histogram
from crystaltool.statistics.facts import FAIL, NOT_JUDGED, PASS, Facts, crystal_system
from crystaltool.statistics.page.collect import Gallery
from crystaltool.statistics.page.linkers import draw_linker
from crystaltool.statistics.page.picture import draw, drawing_as_json
from crystaltool.statistics.summary import Summary, share_passed
from crystaltool.statistics.tally import Tally
from crystaltool.statistics.text import named
from crystaltool.statistics.words import STABILITY, grouped, unit_of
from crystaltool.symmetry import space_group
from crystaltool.units import SYMBOLS

MOST_CHARTS = 40
MOST_LISTED = 15
MOST_LINKERS = 24
MOST_COLUMNS = 24
"""Histograms, rows of a list, drawings, columns of numbers in the table."""

CAPTION = ("co2_working_capacity", "predicted_co2_wc", "pld", "predicted_pld", "n_atoms", "density", "volume_per_atom")
"""Values that stand below a picture, after those of stability; five are seen at once."""

MOST_TEXT = 200_000
"""Characters of a CIF that is shown; a longer one is not copied into the page."""


def page_content(
    sets: Sequence[Summary], comparison: Comparison | None, gallery: Gallery, heading: dict[str, Any]
) -> dict[str, Any]:
    """Everything on the page.

    Args:
        sets: the structures, and what they are set against if anything.
        comparison: how far they are apart.
        gallery: the structures that are named.
        heading: title, version, date, command and the like.
    """
    first = sets[0]
    return {
        **heading,
        "sets": [{"label": each.label, "n": each.n, "refused": each.n_refused, "kinds": each.kinds} for each in sets],
        "comparison": None if comparison is None else comparison_as_json(comparison),
        "checks": _checks(sets),
        "systems": [[name, *(each.systems[name] for each in sets)] for name in _systems(sets)],
        "groups": [
            [group, _symbol(group), crystal_system(group), *(each.groups[group] for each in sets)]
            for group in range(1, 231)
        ],
        "n_groups": [sum(each.groups.values()) for each in sets],
        "symbols": list(SYMBOLS[1:]),
        "elements": [[each.elements.counts[symbol] for symbol in SYMBOLS[1:]] for each in sets],
        "charts": _charts(sets),
        "numbers": _numbers(sets, comparison),
        "lists": _lists(sets, comparison),
        "linkers": _linkers(first.linkers),
        "table": _table(gallery),
        "pictures": [_picture(facts, raw, gallery.sort) for facts, raw in gallery.pictures],
        "sort": gallery.sort if gallery.n_with_value else "",
        "reverse": gallery.reverse,
    }


def _number(value: float) -> float | None:
    """A number of six digits, None for what JSON does not have."""
    return float(f"{value:.6g}") if value == value and abs(value) != float("inf") else None


def _symbol(group: int) -> str:
    """Hermann-Mauguin symbol without blanks and setting, `Fm-3m`."""
    return space_group(group).symbol.partition(":")[0].replace(" ", "")


def _systems(sets: Sequence[Summary]) -> list[str]:
    return list(dict.fromkeys(crystal_system(group) for group in range(1, 231) if any(each.groups for each in sets)))


def _checks(sets: Sequence[Summary]) -> list[dict[str, Any]]:
    names = dict.fromkeys(name for each in sets for name in each.verdicts)
    return [
        {
            "name": name,
            "counts": [sets[0].verdicts.get(name, {}).get(word, 0) for word in (PASS, FAIL, NOT_JUDGED)],
            "shares": [_number(share_passed(each.verdicts[name])) if name in each.verdicts else None for each in sets],
        }
        for name in sorted(names, key=lambda name: name == "all")
    ]


def _charts(sets: Sequence[Summary]) -> list[dict[str, Any]]:
    """Histograms of the numbers that differ."""
    found = []
    for heading, names in grouped(sets[0].numbers).items():
        for name in names:
            present = [each.numbers[name] for each in sets if name in each.numbers]
            low, *_, high = sets[0].numbers[name].quartiles()
            if low == high:
                continue
            bins = histogram(present)
            counts = iter(bins.counts)
            found.append(
                {
                    "heading": heading,
                    "name": name,
                    "unit": unit_of(name),
                    "edges": [_number(edge) for edge in bins.edges],
                    "counts": [next(counts) if name in each.numbers else None for each in sets],
                }
            )
    return found[:MOST_CHARTS]


def _numbers(sets: Sequence[Summary], comparison: Comparison | None) -> list[dict[str, Any]]:
    fields = comparison.fields if comparison else {}
    return [
        {
            "heading": heading,
            "name": name,
            "unit": unit_of(name),
            "distance": _number(fields[name]) if name in fields else None,
            "values": [
                [found.n, *map(_number, (*found.quartiles(), found.mean))]
                if (found := each.numbers.get(name)) is not None
                else None
                for each in sets
            ],
        }
        for heading, names in grouped(sets[0].numbers).items()
        for name in names
    ]


def _lists(sets: Sequence[Summary], comparison: Comparison | None) -> list[dict[str, Any]]:
    shared = comparison.shared if comparison else {}
    headings = {"templates": "Templates", "nets": "Nets", "nodes": "Nodes"}
    found = []
    for key, heading in headings.items():
        tallies: list[Tally] = [getattr(each, key) for each in sets]
        if not tallies[0].counts:
            continue
        rows = [
            [named(text), *(tally.counts[text] for tally in tallies)] for text, _ in tallies[0].most_common(MOST_LISTED)
        ]
        totals = [tally.n_structures for tally in tallies]
        different = tallies[0].n_different
        found.append(
            {"heading": heading, "rows": rows, "totals": totals, "different": different, "shared": shared.get(key)}
        )
    return found


def _linkers(tally: Tally) -> dict[str, Any]:
    drawn = [
        {"smiles": smiles, "count": count, "svg": draw_linker(smiles)}
        for smiles, count in tally.most_common(MOST_LINKERS)
    ]
    return {"different": tally.n_different, "total": tally.n_structures, "drawn": drawn}


def _table(gallery: Gallery) -> dict[str, Any]:
    """Rows and columns; a cell that is missing is null."""
    rows = gallery.rows
    present = dict.fromkeys(name for facts in rows for name in facts.numbers)
    favourite = [name for name in dict.fromkeys((gallery.sort, *STABILITY[:2])) if name in present]
    others = [name for names in grouped(present).values() for name in names if name not in favourite]
    numbers = [*favourite, *others][:MOST_COLUMNS]
    words = ["name", "formula"]
    words += ["checks"] if any("all" in facts.verdicts for facts in rows) else []
    words += ["kind"] if len({facts.kind for facts in rows}) > 1 else []
    texts = ["space_group"]
    if any(facts.kind == MOF for facts in rows):
        texts += ["nodes", "net", "linkers"]
    return {
        "words": words,
        "texts": texts,
        "numbers": [[name, unit_of(name)] for name in numbers],
        "rows": [_row(facts, numbers, [*words, *texts]) for facts in rows],
        "n": gallery.n,
    }


def _row(facts: Facts, numbers: list[str], words: list[str]) -> dict[str, Any]:
    cells: dict[str, Any] = {
        "name": facts.name,
        "formula": facts.formula,
        "checks": facts.verdicts.get("all"),
        "kind": facts.kind,
        "space_group": None if facts.group is None else f"{facts.group} {_symbol(facts.group)}",
        "nodes": facts.texts.get("nodes"),
        "net": named(facts.texts["net"]) if "net" in facts.texts else None,
        "linkers": "  ".join(facts.sets.get("linkers", ())),
    }
    return {
        "w": [cells[name] for name in words],
        "x": [_number(facts.numbers[name]) if name in facts.numbers else None for name in numbers],
        "e": list(facts.sets["elements"]),
    }


def _picture(facts: Facts, raw: RawBlock, sort: str) -> dict[str, Any]:
    """A structure with its drawing, its values, where it came from, and its CIF."""
    drawing, history = None, []
    try:
        logging.disable(logging.WARNING)  # what there is to remark was said when it was counted
        block = parse_block(raw.text, raw.source, raw.line, raw.name)
        drawn = draw(block, facts.kind == MOF)
        drawing = None if drawn is None else drawing_as_json(drawn)
        history = list(block.history)
    except CrystaltoolError:  # it could be counted, so this is a drawing's failure alone
        pass
    finally:
        logging.disable(logging.NOTSET)
    names = dict.fromkeys((sort, *STABILITY[:2], *CAPTION, *facts.numbers))
    values = [[name, _number(facts.numbers[name]), unit_of(name)] for name in names if name in facts.numbers]
    group = None if facts.group is None else f"{_symbol(facts.group)} ({facts.group})"
    return {
        "name": facts.name,
        "formula": facts.formula,
        "group": group,
        "checks": [[name, word] for name, word in facts.verdicts.items() if word == FAIL],
        "passed": facts.verdicts.get("all") == PASS,
        "values": values,
        "source": f"{facts.source}({facts.line})" if facts.line else facts.source,
        "history": history,
        "cif": raw.text if len(raw.text) <= MOST_TEXT else None,
        "drawing": drawing,
    }
