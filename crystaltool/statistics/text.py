"""The statistics for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from crystaltool.checks.kind import MOF
from crystaltool.checks.verdict import OF_ALL_CHECKS, VERDICT_KEY
from crystaltool.statistics.compare import Comparison
from crystaltool.statistics.distribution import Distribution
from crystaltool.statistics.facts import FAIL, NOT_JUDGED, PASS
from crystaltool.statistics.summary import Summary, share_passed
from crystaltool.statistics.tally import Tally
from crystaltool.statistics.words import grouped, percent, short, with_unit

WIDTH = 80
MOST_ROWS = 12
"""Rows of a list; the rest is counted."""

LABEL = 20
"""Characters of the name of a set beside another."""

_NAME, _COUNT, _VALUE = 22, 9, 8
_ALL = OF_ALL_CHECKS.removeprefix(VERDICT_KEY)


def report(sets: Sequence[Summary], comparison: Comparison | None = None) -> str:
    """The whole report; every line has at most 80 characters.

    Args:
        sets: the structures, and what they are set against if anything.
        comparison: how far they are from it.
    """
    lines = [*_counts(sets)]
    if comparison is not None:
        lines += _distances(sets[1], comparison)
    lines += [*_checks(sets), *_symmetry(sets), *_sizes(sets), *_elements(sets)]
    shared = comparison.shared if comparison is not None else {}
    for heading, name in (("Templates", "templates"), ("Nets", "nets"), ("Nodes", "nodes"), ("Linkers", "linkers")):
        lines += _list(heading, [getattr(each, name) for each in sets], sets, shared.get(name))
    lines += [*_numbers(sets, comparison), *_texts(sets[0])]
    return "".join(_cut(" ".join(line.splitlines()), WIDTH) + "\n" for line in lines)


def _cut(text: str, width: int) -> str:
    text = text.rstrip()
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _heading(text: str) -> list[str]:
    return ["", text, "-" * len(text)]


def _counts(sets: Sequence[Summary]) -> Iterator[str]:
    for summary in sets:
        kinds = ", ".join(f"{count} {'MOF' if kind == MOF else kind}" for kind, count in summary.kinds.items())
        refused = f"; {summary.n_refused} could not be read" if summary.n_refused else ""
        formulas = summary.formulas
        different = f"{formulas.n_different}{'+' if formulas.n_others else ''} formulas"
        yield f"{summary.label}: {summary.n} structures ({kinds or 'none'}), {different}{refused}"


def _distances(second: Summary, comparison: Comparison) -> list[str]:
    if comparison.n_valid == 0 or comparison.space_group != comparison.space_group:
        return []
    return [
        *_heading(f"Distances of the crystals from {_cut(second.label, 40)}"),
        f"d_rho  {short(comparison.density):>8}  Wasserstein, density in g/cm3 of {comparison.n_valid} valid ones",
        f"d_elem {short(comparison.n_elements):>8}  Wasserstein, number of elements of the same",
        f"d_sg   {short(comparison.space_group):>8}  Jensen-Shannon, space groups of {comparison.n_groups}"
        " (0 to 0.833)",
    ]


def _checks(sets: Sequence[Summary]) -> Iterator[str]:
    names = dict.fromkeys(name for each in sets for name in each.verdicts)
    if not names:
        return
    yield from _heading("Checks")
    judged = [sets[0], *(each for each in sets[1:] if each.verdicts)]
    others = "".join(f"{_cut(each.label, 14):>16}" for each in judged[1:])
    yield f"{'':<24}{'pass':>9}{'fail':>8}{'not judged':>12}{'share':>9}{others}"
    for name in sorted(names, key=lambda name: name == _ALL):
        counts = sets[0].verdicts.get(name, {})
        numbers = [counts.get(word, 0) for word in (PASS, FAIL, NOT_JUDGED)]
        shares = [percent(share_passed(each.verdicts[name])) if name in each.verdicts else "" for each in judged]
        row = f"{_cut(name, 23):<24}{numbers[0]:>9}{numbers[1]:>8}{numbers[2]:>12}{shares[0]:>9}"
        yield row + "".join(f"{share:>16}" for share in shares[1:])


def _symmetry(sets: Sequence[Summary]) -> Iterator[str]:
    from crystaltool.symmetry import space_group

    first = sets[0]
    if not any(each.groups for each in sets):
        return
    systems = dict.fromkeys(name for each in sets for name in each.systems)
    yield from _heading("Crystal systems")
    yield from _rows(
        [(name, [each.systems[name] for each in sets]) for name in systems],
        sets,
        [sum(each.groups.values()) for each in sets],
    )
    yield from _heading(f"Space groups, {len(first.groups)} different")
    common = sorted(first.groups, key=lambda group: (-first.groups[group], group))
    rows = [(f"{group:>3} {space_group(group).symbol}", [each.groups[group] for each in sets]) for group in common]
    yield from _rows(rows, sets, [sum(each.groups.values()) for each in sets])


def _rows(
    rows: list[tuple[str, list[int]]], sets: Sequence[Summary], totals: list[int], n_rows: int | None = None
) -> Iterator[str]:
    """A name a line, its number and share in each set; of many, of which there are `n_rows`, those at the front."""
    room = WIDTH - 19 - 18 * (len(sets) - 1)
    wide = min(room, max([LABEL, *(len(name) + 1 for name, _ in rows[:MOST_ROWS])]))
    if len(sets) > 1:
        yield " " * wide + f"{_cut(sets[0].label, 17):>18}" + f"{_cut(sets[1].label, 17):>18}"
    for name, counts in rows[:MOST_ROWS]:
        cells = (
            f"{count:>9}{percent(count / total if total else float('nan')):>9}"
            for count, total in zip(counts, totals, strict=True)
        )
        yield f"{_cut(name, wide - 1):<{wide}}" + "".join(cells)
    more = (n_rows or len(rows)) - MOST_ROWS
    if more > 0:
        yield f"{more} more"


def _sizes(sets: Sequence[Summary]) -> Iterator[str]:
    """How many structures have one element, two, and so on."""
    counts = [each.numbers["n_elements"].points.counts if "n_elements" in each.numbers else {} for each in sets]
    sizes = sorted(set().union(*counts))
    if not sizes:
        return
    yield from _heading("Elements in a structure")
    rows = [(f"{size:g}", [int(each.get(size, 0)) for each in counts]) for size in sizes]
    yield from _rows(rows, sets, [each.n for each in sets])


def _elements(sets: Sequence[Summary]) -> Iterator[str]:
    first = sets[0].elements
    if not first.counts:
        return
    note = ", of each set" if len(sets) > 1 else ""
    yield from _heading(f"Elements, {first.n_different} different: per cent of the structures that have one{note}")
    cells = [
        f"{symbol:<3}" + "".join(f"{100 * each.elements.share(symbol):>6.1f}" for each in sets if each.n)
        for symbol, _ in first.most_common(24 if len(sets) == 1 else 20)
    ]
    a_row = 6 if len(sets) == 1 else 4
    for start in range(0, len(cells), a_row):
        yield "    ".join(cells[start : start + a_row])
    if first.n_different > len(cells):
        yield f"{first.n_different - len(cells)} more"


def _list(heading: str, tallies: list[Tally], sets: Sequence[Summary], shared: int | None) -> Iterator[str]:
    first = tallies[0]
    if not first.counts:
        return
    known = "" if shared is None else f", {shared} of them in {_cut(sets[1].label, 30)}"
    yield from _heading(f"{heading}, {first.n_different}{'+' if first.n_others else ''} different{known}")
    shown = first.most_common(MOST_ROWS + 1)
    rows = [(named(text), [tally.counts[text] for tally in tallies]) for text, _ in shown]
    yield from _rows(rows, sets, [tally.n_structures for tally in tallies], first.n_different)


def named(text: str) -> str:
    """A net with its RCSR symbol where that is known, `3d-1-cf1e7f5782 (rtl)`; any other text as it is."""
    from crystaltool.mof.net_names import symbol_of

    symbol = symbol_of(text)
    return f"{text} ({symbol})" if symbol else text


def _numbers(sets: Sequence[Summary], comparison: Comparison | None) -> Iterator[str]:
    for heading, names in grouped(sets[0].numbers).items():
        yield from _heading(heading)
        titles = ("min", "25 %", "median", "75 %", "max", "mean")
        yield f"{'':<{_NAME}}{'n':>{_COUNT}}" + "".join(f"{title:>{_VALUE}}" for title in titles)
        for name in names:
            yield from _number(name, sets, comparison)
    if sets[0].approximate:
        yield "Quartiles of fields with more than 40,000 different values are right to 0.01 % of the ranks."


def _number(name: str, sets: Sequence[Summary], comparison: Comparison | None) -> Iterator[str]:
    title = with_unit(name)
    if len(sets) == 1:
        if len(title) >= _NAME:
            yield title
            title = ""
        yield _values(title, sets[0].numbers[name])
        return
    distance = comparison.fields.get(name) if comparison else None
    yield title + ("" if distance is None else f"; Wasserstein {short(distance)}")
    for each in sets:
        if name in each.numbers:
            yield _values("  " + _cut(each.label, _NAME - 3), each.numbers[name])


def _values(title: str, found: Distribution) -> str:
    cells = (f"{short(value):>{_VALUE}}" for value in (*found.quartiles(), found.mean))
    return f"{title:<{_NAME}}{found.n:>{_COUNT}}" + "".join(cells)


def _texts(first: Summary) -> Iterator[str]:
    """Values that are words, where structures share them."""
    common = {
        name: tally for name, tally in first.texts.items() if tally.n_different <= max(1, tally.n_structures // 5)
    }
    if not common:
        return
    yield from _heading("Texts")
    for name, tally in common.items():
        shown = [f"{text} {percent(count / tally.n_structures)}" for text, count in tally.most_common(4)]
        more = tally.n_different - len(shown)
        yield f"{name}: {', '.join(shown)}" + (f", {more} more" if more > 0 else "")
