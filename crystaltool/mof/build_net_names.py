"""Build the table of `crystaltool.mof.net_names`: well-known nets from their vertices in their highest symmetry.

    python -m crystaltool.mof.build_net_names

Symbols and vertices as in the Reticular Chemistry Structure Resource (O'Keeffe et al., Acc. Chem. Res. 2008, 41, 1782),
from the textbook structure of each; edges are the shortest distances that give each vertex its number of neighbours.
It fails where a vertex has other numbers of neighbours than stated. A test compares coordination sequences with those
of the literature.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from crystaltool.mof.net import Net, net_of_graph

Vertex = tuple[tuple[float, float, float], int]
"""Fractional coordinates and number of neighbours."""

_H = 3**0.5 / 2
_CUBE, _PLANE = (1.0, 1.0, 1.0, 90.0), (1.0, 1.0, 9.0, 90.0)

STRUCTURES: dict[str, tuple[str, tuple[float, float, float, float], tuple[Vertex, ...]]] = {
    "pcu": ("P m -3 m", _CUBE, (((0, 0, 0), 6),)),
    "bcu": ("I m -3 m", _CUBE, (((0, 0, 0), 8),)),
    "fcu": ("F m -3 m", _CUBE, (((0, 0, 0), 12),)),
    "dia": ("F d -3 m:2", _CUBE, (((1 / 8, 1 / 8, 1 / 8), 4),)),
    "nbo": ("I m -3 m", _CUBE, (((0, 1 / 2, 1 / 2), 4),)),
    "sod": ("I m -3 m", _CUBE, (((1 / 4, 0, 1 / 2), 4),)),
    "srs": ("I 41 3 2", _CUBE, (((1 / 8, 1 / 8, 1 / 8), 3),)),
    "reo": ("P m -3 m", _CUBE, (((1 / 2, 0, 0), 8),)),
    "crs": ("F d -3 m:2", _CUBE, (((1 / 2, 1 / 2, 1 / 2), 6),)),
    "qtz": ("P 62 2 2", (1.0, 1.0, 1.0986, 120.0), (((1 / 2, 0, 0), 4),)),
    "lon": ("P 63/m m c", (1.0, 1.0, 1.633, 120.0), (((1 / 3, 2 / 3, 1 / 16), 4),)),
    "acs": ("P 63/m m c", (1.0, 1.0, 0.8, 120.0), (((1 / 3, 2 / 3, 1 / 4), 6),)),
    "hex": ("P 6/m m m", (1.0, 1.0, 1.0, 120.0), (((0, 0, 0), 8),)),
    "bnn": ("P 6/m m m", (1.0, 1.0, 3**-0.5, 120.0), (((1 / 3, 2 / 3, 0), 5),)),
    "ths": ("I 41/a m d:2", (1.0, 1.0, 3.4641, 90.0), (((0, 1 / 4, 11 / 24), 3),)),
    "pts": ("P 42/m m c", (1.0, 1.0, 1.4142, 90.0), (((0, 1 / 2, 0), 4), ((0, 0, 1 / 4), 4))),
    "flu": ("F m -3 m", _CUBE, (((0, 0, 0), 8), ((1 / 4, 1 / 4, 1 / 4), 4))),
    "ftw": ("P m -3 m", _CUBE, (((0, 0, 0), 12), ((0, 1 / 2, 1 / 2), 4))),
    "scu": ("P 4/m m m", _CUBE, (((0, 0, 0), 8), ((0, 1 / 2, 1 / 2), 4))),
    "csq": ("P 6/m m m", (1.0, 1.0, 0.5, 120.0), (((1 / 2, 0, 0), 8), ((1 / 4, 1 / 2, 1 / 2), 4))),
    "tbo": ("F m -3 m", _CUBE, (((0, 1 / 4, 1 / 4), 4), ((1 / 6, 1 / 6, 1 / 6), 3))),
    "bor": ("P -4 3 m", _CUBE, (((1 / 2, 0, 0), 4), ((1 / 6, 1 / 6, 1 / 6), 3))),
    "pto": ("P m -3 n", _CUBE, (((1 / 4, 0, 1 / 2), 4), ((1 / 4, 1 / 4, 1 / 4), 3))),
    "ctn": ("I -4 3 d", _CUBE, (((3 / 8, 0, 1 / 4), 4), ((0.2083, 0.2083, 0.2083), 3))),
    "rtl": ("P 42/m n m", (1.0, 1.0, 0.644, 90.0), (((0, 0, 0), 6), ((0.305, 0.305, 0), 3))),
    "pyr": ("P a -3", _CUBE, (((0, 0, 0), 6), ((0.3851, 0.3851, 0.3851), 3))),
    "spn": ("F d -3 m:2", _CUBE, (((1 / 2, 1 / 2, 1 / 2), 6), ((1 / 3, 1 / 3, 1 / 3), 3))),
    "nia": ("P 63/m m c", (1.0, 1.0, 1.39, 120.0), (((0, 0, 0), 6), ((1 / 3, 2 / 3, 1 / 4), 6))),
    "soc": ("I m -3 m", _CUBE, (((1 / 4, 1 / 4, 1 / 4), 6), ((1 / 4, 0, 1 / 2), 4))),
    "sql": ("P 4/m m m", _PLANE, (((0, 0, 0), 4),)),
    "hxl": ("P 6/m m m", (1.0, 1.0, 9.0, 120.0), (((0, 0, 0), 6),)),
    "hcb": ("P 6/m m m", (1.0, 1.0, 9.0, 120.0), (((1 / 3, 2 / 3, 0), 3),)),
    "kgm": ("P 6/m m m", (1.0, 1.0, 9.0, 120.0), (((1 / 2, 0, 0), 4),)),
}  # fmt: skip
"""Of each net: group, cell (a, b, c in any unit, gamma in degrees) and vertices."""

QUOTIENT_GRAPHS = {
    "cds": (2, ((0, 1, (0, 0, 0)), (0, 1, (0, 0, -1)), (0, 0, (1, 0, 0)), (1, 1, (0, 1, 0)))),
}
"""Nets given by vertices and edges: chains along c whose vertices are joined along a and along b in turn."""


def positions(group: str, place: np.ndarray) -> np.ndarray:
    """Fractional coordinates of all copies of a vertex in the cell; shapes (3,) and (n, 3)."""
    import gemmi

    found = gemmi.find_spacegroup_by_name(group)
    if found is None:
        raise SystemExit(f"no group {group}")
    copies = np.array([operation.apply_to_xyz(place.tolist()) for operation in found.operations()]) % 1.0
    kept: list[np.ndarray] = []
    for copy in copies:
        apart = [copy - other for other in kept]
        if not any(np.abs(one - np.round(one)).max() < 1e-4 for one in apart):
            kept.append(copy)
    return np.array(kept)


def net_of_structure(name: str) -> Net:
    """The net of a structure of the table.

    Raises:
        SystemExit: a vertex has another number of neighbours than stated.
    """
    if name in QUOTIENT_GRAPHS:
        n, edges = QUOTIENT_GRAPHS[name]
        return net_of_graph(n, np.array([edge[:2] for edge in edges]), np.array([edge[2] for edge in edges]))
    group, (a, b, c, gamma), vertices = STRUCTURES[name]
    angle = np.radians(gamma)
    lattice = np.array([[a, 0, 0], [b * np.cos(angle), b * np.sin(angle), 0], [0, 0, c]])
    parts = [positions(group, np.array(place, dtype=float)) for place, _ in vertices]
    owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    wanted = np.array([vertices[k][1] for k in owner])
    centres = np.concatenate(parts)
    cells = np.array(list(product(range(-3, 4), repeat=3)))
    vectors = (centres[None, :, None] + cells[None, None] - centres[:, None, None]) @ lattice
    distances = np.linalg.norm(vectors, axis=-1)
    distances[distances < 1e-6] = np.inf
    if len(vertices) > 1:  # vertices of two and more kinds are joined to those of the first kind, and these to them
        distances[(owner[:, None] == 0) == (owner[None] == 0)] = np.inf
    edges = []
    for i in range(len(centres)):
        reach = np.sort(distances[i].ravel())[wanted[i] - 1] * 1.001
        near = np.argwhere(distances[i] <= reach)
        if len(near) != wanted[i]:
            raise SystemExit(f"{name}: vertex {i} has {len(near)} neighbours, {wanted[i]} stated")
        edges += [(i, int(j), *cells[k].tolist()) for j, k in near]
    table = np.array(edges)
    both = {tuple(edge) for edge in edges}
    for i, j, *cell in edges:
        if (j, i, *(-x for x in cell)) not in both:
            raise SystemExit(f"{name}: an edge {i}-{j} that only one of its ends has")
    return net_of_graph(len(centres), table[:, :2], table[:, 2:])


def main() -> None:
    """Print the table, without nets whose coordination sequences are those of another (bcu and hex)."""
    found: dict[str, list[str]] = {}
    for name in sorted((*STRUCTURES, *QUOTIENT_GRAPHS)):
        net = net_of_structure(name)
        found.setdefault(f"{net.dimension}d-{net.text.split('-')[2]}", []).append(name)
    for digest, names in found.items():
        if len(names) == 1:
            print(f'    "{names[0]}": "{digest}",')


if __name__ == "__main__":
    main()
