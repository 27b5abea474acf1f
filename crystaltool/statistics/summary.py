"""The statistics of a set of structures, added up one by one in flat memory."""

from __future__ import annotations

from collections import Counter
from typing import Any

from crystaltool.checks.kind import INORGANIC
from crystaltool.statistics.distribution import Distribution
from crystaltool.statistics.facts import FAIL, NOT_JUDGED, PASS, Facts, crystal_system
from crystaltool.statistics.tally import Tally

MOST_FIELDS = 300
"""Different names of values that are kept; a table with columns without end has no more."""

MOST_TEXTS = 1_000
"""Different values of a text field that are told apart."""

OWN_TEXTS = ("net", "nodes")
"""Texts that get a section; the others are `_crystaltool_*` ones."""


class Summary:
    """A set of structures.

    Args:
        label: what it is called beside another.
    """

    def __init__(self, label: str = "structures") -> None:
        self.label = label
        self.n = 0
        self.n_refused = 0
        self.kinds: Counter[str] = Counter()
        self.numbers: dict[str, Distribution] = {}
        self.texts: dict[str, Tally] = {}
        self.elements, self.linkers = Tally(), Tally()
        self.nets, self.nodes = Tally(), Tally()
        self.groups: Counter[int] = Counter()
        self.templates = Tally()
        self.formulas = Tally()
        self.verdicts: dict[str, Counter[str]] = {}
        self.n_left_out = 0
        self.valid_density, self.valid_elements = Distribution(), Distribution()
        self.crystal_density, self.crystal_elements = Distribution(), Distribution()
        self.crystal_groups: Counter[int] = Counter()

    def add(self, facts: Facts) -> None:
        """One more structure."""
        self.n += 1
        self.kinds[facts.kind] += 1
        self.formulas.add([facts.formula])
        self.elements.add(facts.sets["elements"])
        if "linkers" in facts.sets:
            self.linkers.add(facts.sets["linkers"])
        if facts.group is not None:
            self.groups[facts.group] += 1
        if facts.template:
            self.templates.add([facts.template])
        for name, value in facts.numbers.items():
            if (found := self._field(self.numbers, name, Distribution)) is not None:
                found.add(value)
        for name, text in facts.texts.items():
            if name in OWN_TEXTS:
                (self.nets if name == "net" else self.nodes).add([text])
            elif (tally := self._field(self.texts, name, _texts)) is not None:
                tally.add([text])
        for check, word in facts.verdicts.items():
            if (counts := self._field(self.verdicts, check, Counter)) is not None:
                counts[word] += 1
        self._add_crystal(facts)

    def _field(self, fields: dict[str, Any], name: str, make) -> Any:
        if name not in fields:
            if len(fields) >= MOST_FIELDS:
                self.n_left_out += 1
                return None
            fields[name] = make()
        return fields[name]

    def _add_crystal(self, facts: Facts) -> None:
        """What the field's distances go by: crystals alone."""
        if facts.kind != INORGANIC:
            return
        density, n_elements = facts.numbers["density"], facts.numbers["n_elements"]
        self.crystal_density.add(density)
        self.crystal_elements.add(n_elements)
        if facts.group is not None:
            self.crystal_groups[facts.group] += 1
        if facts.valid:
            self.valid_density.add(density)
            self.valid_elements.add(n_elements)

    @property
    def systems(self) -> Counter[str]:
        """Structures of each crystal system, in the order of the space groups."""
        found: Counter[str] = Counter()
        for group, count in sorted(self.groups.items()):
            found[crystal_system(group)] += count
        return found

    @property
    def approximate(self) -> list[str]:
        """Fields whose quartiles are near, not exact, for want of memory."""
        return [name for name, found in self.numbers.items() if not found.exact]


def _texts() -> Tally:
    return Tally(MOST_TEXTS)


def share_passed(counts: Counter[str]) -> float:
    """Share that passes of those that were judged; NaN where none was."""
    judged = counts[PASS] + counts[FAIL]
    return counts[PASS] / judged if judged else float("nan")


def summary_as_json(summary: Summary) -> dict[str, Any]:
    """All figures as JSON has them."""
    return {
        "label": summary.label,
        "structures": summary.n,
        "refused": summary.n_refused,
        "kinds": dict(summary.kinds),
        "checks": {
            name: {word: counts[word] for word in (PASS, FAIL, NOT_JUDGED)} for name, counts in summary.verdicts.items()
        },
        "crystal_systems": dict(summary.systems),
        "space_groups": {str(group): count for group, count in sorted(summary.groups.items())},
        "elements": dict(summary.elements.most_common()),
        "fields": {name: _distribution(found) for name, found in summary.numbers.items()},
        "texts": {name: _tally(tally) for name, tally in summary.texts.items()},
        **{
            name: _tally(tally)
            for name, tally in (
                ("formulas", summary.formulas),
                ("templates", summary.templates),
                ("nets", summary.nets),
                ("nodes", summary.nodes),
                ("linkers", summary.linkers),
            )
            if tally.n_structures
        },
    }


def _distribution(found: Distribution) -> dict[str, Any]:
    names = ("min", "q1", "median", "q3", "max")
    values = dict(zip(names, found.quartiles(), strict=True))
    return {"n": found.n, **values, "mean": found.mean, "exact": found.exact}


MOST_LISTED = 100
"""Texts of one kind in JSON."""


def _tally(tally: Tally) -> dict[str, Any]:
    return {
        "structures": tally.n_structures,
        "different": tally.n_different,
        "complete": tally.n_others == 0,
        "most_common": dict(tally.most_common(MOST_LISTED)),
    }
