"""Wyckoff positions as International Tables for Crystallography A (2016, chapter 2.3) lists them.

Letter, multiplicity, oriented site symmetry and first coordinate triplet; origin choice 2, hexagonal axes, unique axis
b. The volume's DOI is 10.1107/97809553602060000114.
"""

from __future__ import annotations

import re

import numpy as np
import pytest

from crystaltool.symmetry import space_group
from crystaltool.symmetry.space_group import free_coordinate_maps, tables

# Group: "multiplicity letter | site symmetry | x, y, z", one a line.
QUOTED = {
    2: """1a|-1|0,0,0
          1b|-1|0,0,1/2
          1c|-1|0,1/2,0
          1d|-1|1/2,0,0
          1e|-1|1/2,1/2,0
          1f|-1|1/2,0,1/2
          1g|-1|0,1/2,1/2
          1h|-1|1/2,1/2,1/2
          2i|1|x,y,z""",
    12: """2a|2/m|0,0,0
           4e|-1|1/4,1/4,0
           4g|2|0,y,0
           4i|m|x,0,z
           8j|1|x,y,z""",
    14: """2a|-1|0,0,0
           2b|-1|1/2,0,0
           2c|-1|0,0,1/2
           2d|-1|1/2,0,1/2
           4e|1|x,y,z""",
    47: """1a|mmm|0,0,0
           1h|mmm|1/2,1/2,1/2
           2i|2mm|x,0,0
           4u|m..|0,y,z
           4z|..m|x,y,1/2
           8A|1|x,y,z""",
    62: """4a|-1|0,0,0
           4b|-1|0,0,1/2
           4c|.m.|x,1/4,z
           8d|1|x,y,z""",
    136: """2a|m.mm|0,0,0
            2b|m.mm|0,0,1/2
            4c|2/m..|0,1/2,0
            4d|-4..|0,1/2,1/4
            4e|2.mm|0,0,z
            4f|m.2m|x,x,0
            4g|m.2m|x,-x,0
            8h|2..|0,1/2,z
            8i|m..|x,y,0
            8j|..m|x,x,z""",
    139: """2a|4/mmm|0,0,0
            2b|4/mmm|0,0,1/2
            4c|mmm.|0,1/2,0
            4d|-4m2|0,1/2,1/4
            4e|4mm|0,0,z
            8f|..2/m|1/4,1/4,1/4""",
    141: """4a|-4m2|0,3/4,1/8
            4b|-4m2|0,1/4,3/8
            8c|.2/m.|0,0,0
            8d|.2/m.|0,0,1/2
            8e|2mm.|0,1/4,z
            16h|.m.|0,y,z""",
    152: """3a|.2.|x,0,1/3
            3b|.2.|x,0,5/6
            6c|1|x,y,z""",
    154: """3a|.2.|x,0,2/3
            3b|.2.|x,0,1/6""",
    166: """3a|-3m|0,0,0
            3b|-3m|0,0,1/2
            6c|3m|0,0,z
            9d|.2/m|1/2,0,1/2
            9e|.2/m|1/2,0,0
            18f|.2|x,0,0
            18g|.2|x,0,1/2
            18h|.m|x,-x,z
            36i|1|x,y,z""",
    167: """6a|32|0,0,1/4
            6b|-3.|0,0,0
            12c|3.|0,0,z
            18d|-1|1/2,0,0
            18e|.2|x,0,1/4
            36f|1|x,y,z""",
    186: """2a|3m.|0,0,z
            2b|3m.|1/3,2/3,z
            6c|.m.|x,-x,z""",
    191: """1a|6/mmm|0,0,0
            1b|6/mmm|0,0,1/2
            2c|-6m2|1/3,2/3,0
            2d|-6m2|1/3,2/3,1/2
            2e|6mm|0,0,z
            3f|mmm|1/2,0,0
            3g|mmm|1/2,0,1/2
            4h|3m.|1/3,2/3,z
            6l|mm2|x,2x,0""",
    194: """2a|-3m.|0,0,0
            2b|-6m2|0,0,1/4
            2c|-6m2|1/3,2/3,1/4
            2d|-6m2|1/3,2/3,3/4
            4e|3m.|0,0,z
            4f|3m.|1/3,2/3,z
            6g|.2/m.|1/2,0,0
            6h|mm2|x,2x,1/4
            12i|.2.|x,0,0
            12j|m..|x,y,1/4
            12k|.m.|x,2x,z
            24l|1|x,y,z""",
    205: """4a|.-3.|0,0,0
            4b|.-3.|1/2,1/2,1/2
            8c|.3.|x,x,x
            24d|1|x,y,z""",
    216: """4a|-43m|0,0,0
            4b|-43m|1/2,1/2,1/2
            4c|-43m|1/4,1/4,1/4
            4d|-43m|3/4,3/4,3/4
            16e|.3m|x,x,x""",
    221: """1a|m-3m|0,0,0
            1b|m-3m|1/2,1/2,1/2
            3c|4/mm.m|0,1/2,1/2
            3d|4/mm.m|1/2,0,0
            6e|4m.m|x,0,0
            8g|.3m|x,x,x
            12i|m.m2|0,y,y""",
    225: """4a|m-3m|0,0,0
            4b|m-3m|1/2,1/2,1/2
            8c|-43m|1/4,1/4,1/4
            24d|m.mm|0,1/4,1/4
            24e|4m.m|x,0,0
            32f|.3m|x,x,x
            48g|2.mm|x,1/4,1/4
            48h|m.m2|0,y,y
            48i|m.m2|1/2,y,y
            96j|m..|0,y,z
            96k|..m|x,x,z
            192l|1|x,y,z""",
    227: """8a|-43m|1/8,1/8,1/8
            8b|-43m|3/8,3/8,3/8
            16c|.-3m|0,0,0
            16d|.-3m|1/2,1/2,1/2
            32e|.3m|x,x,x
            48f|2.mm|x,1/8,1/8
            96g|..m|x,x,z
            96h|..2|0,y,-y
            192i|1|x,y,z""",
    229: """2a|m-3m|0,0,0
            6b|4/mm.m|0,1/2,1/2
            8c|.-3m|1/4,1/4,1/4
            12d|-4m.2|1/4,0,1/2""",
    230: """16a|.-3.|0,0,0
            16b|.32|1/8,1/8,1/8
            24c|2.22|1/8,0,1/4
            24d|-4..|3/8,0,1/4
            32e|.3.|x,x,x
            96h|1|x,y,z""",
}

LINES = [(number, *line.strip().split("|")) for number, text in QUOTED.items() for line in text.splitlines()]


def evaluate(triplet: str, values: dict[str, float]) -> np.ndarray:
    """A triplet such as `x,2x,1/4` at given x, y, z."""
    point = []
    for part in triplet.split(","):
        if match := re.fullmatch(r"(-?\d*)([xyz])", part):
            point.append(float({"": "1", "-": "-1"}.get(match[1], match[1])) * values[match[2]])
        else:
            numerator, _, denominator = part.partition("/")
            point.append(float(numerator) / float(denominator or 1))
    return np.array(point)


@pytest.mark.parametrize(("number", "position", "site_symmetry", "triplet"), LINES)
def test_quoted_position(number, position, site_symmetry, triplet):
    multiplicity, letter = int(position[:-1]), position[-1]
    group = space_group(number)
    ours = group.position(letter)
    assert (ours.multiplicity, ours.site_symmetry) == (multiplicity, site_symmetry)
    names = sorted(set(triplet) & set("xyz"))
    assert ours.degrees_of_freedom == len(names)
    values = dict(zip("xyz", (0.137, 0.219, 0.371), strict=True))
    # The quoted triplet is our first operation, its free coordinates the quoted letters in alphabetical order.
    index = tables()["first_position"][number - 1] + group.positions.index(ours)
    maps, origins = free_coordinate_maps()
    y = maps[index] @ (evaluate(triplet, values) - origins[index])
    difference = y - np.array([values[name] for name in names] + [0.0] * (3 - len(names)))
    np.testing.assert_allclose(difference - np.round(difference), 0.0, atol=1e-9)
