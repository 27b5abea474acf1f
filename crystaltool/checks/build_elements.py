"""Writes `elements.csv`: what the checks must know of an element, taken from pymatgen and smact.

Run `python -m crystaltool.checks.build_elements` with both installed; a test compares the file with them.

Columns: atomic number; symbol; atomic radius in Angstrom (pymatgen `Element.atomic_radius`, that is Slater 1964,
doi 10.1063/1.1725697; empty where there is none); Pauling electronegativity as smact has it (empty where it has none);
1 for an element of `smact.metals`; the oxidation states of smact's 2014 set ("smact14"), blank-separated; 1 if smact
knows the element at all.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from crystaltool.units import SYMBOLS

COLUMNS = ("number", "symbol", "atomic_radius", "electronegativity", "metal", "smact14_states", "known_to_smact")


def rows() -> list[tuple[str, ...]]:
    """The table's rows as text, one an element."""
    import smact
    from pymatgen.core import Element

    found = []
    for number, symbol in enumerate(SYMBOLS):
        if not number:
            continue
        radius = Element(symbol).atomic_radius
        try:
            element = smact.Element(symbol)
        except KeyError:  # smact ends at Lr
            element = None
        electronegativity = element.pauling_eneg if element is not None else None
        states = (element.oxidation_states_smact14 or []) if element is not None else []
        found.append(
            (
                str(number),
                symbol,
                "" if radius is None else f"{float(radius):g}",
                "" if electronegativity is None else f"{electronegativity:g}",
                str(int(symbol in smact.metals)),
                " ".join(f"{state:+d}" for state in sorted(states)),
                str(int(element is not None)),
            )
        )
    return found


def write_table(module: str, columns: Sequence[str], found: Iterable[Sequence[str]]) -> None:
    """Write `elements.csv` beside a module, named by its `__file__`."""
    with Path(module).with_name("elements.csv").open("w", newline="", encoding="ascii") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(found)


if __name__ == "__main__":
    write_table(__file__, COLUMNS, rows())
