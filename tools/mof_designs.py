"""Searches filled nets of high CO2 working capacity: the parents of `sample mofdiff --target co2_wc=...`.

    python tools/mof_designs.py search CHECKPOINT FOUND.h5 [--seconds 3600] [--seed 0]
    python tools/mof_designs.py best DESIGNS.h5 FOUND.h5... [-n 200]

`search` is a steady-state evolution: a child changes the blocks of one or two classes of vertices of one of the
`PARENTS` best designs, of which a net has at most `A_NET`; one in ten takes any net. Of some draws the filling of the
best estimate is assembled, relaxed and checked, and it is worth the capacity that is estimated from its relaxed
structure (0 if it fails): estimates of filled nets alone are 0.6 correlated with that, and an evolution by them runs
into their errors. It goes on where it was stopped. `best` makes the file that ships.
"""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

import numpy as np

import crystaltool as ct
from crystaltool.errors import CrystaltoolError
from crystaltool.models.mofdiff.aimed import Design, relatives
from crystaltool.models.mofdiff.designs import DESIGNS, read_designs, write_designs
from crystaltool.models.mofdiff.merit import ESTIMATED, capacity
from crystaltool.models.mofdiff.nets_first import Ranked
from crystaltool.verbs.nets import NETS_FOLDER, NO_WISHES, Planned, plan

PROPERTY = "co2_wc"
PARENTS, A_NET = 150, 12
DRAWS = 8
ANY_NET, ANY_NET_LESS = 0.1, 0.5
"""How often any net is drawn, and by how much (mmol/g) its fillings must beat relatives: nothing bears them out."""
TOWARDS_BEST = 2.2
"""Power of the rank by which parents are drawn: half of them are among the best 22 %."""
SAVE_EVERY = 60.0

Found = dict[tuple[int, tuple[int, ...]], float]


def fittest(found: Found, most: int, a_net: int) -> list[Design]:
    """The best that came through, of each net at most so many."""
    counts: dict[int, int] = {}
    chosen = []
    for (net, rows), value in sorted(found.items(), key=lambda item: -item[1]):
        counts[net] = counts.get(net, 0) + 1
        if counts[net] <= a_net and value > 0:
            chosen.append(Design(net, rows, value))
    return chosen[:most]


def proposed(planned: Planned, parents: list[Design], found: Found, rng: np.random.Generator) -> Ranked | None:
    """The child to relax: of some draws the best by the estimate, none if nothing new closes."""
    filler, choices = planned.filler, planned.choices
    parent = parents[int(len(parents) * rng.random() ** TOWARDS_BEST)]
    best, most = None, -np.inf
    for _ in range(DRAWS):
        known = rng.random() > ANY_NET
        drawn = (
            relatives(filler, parent, choices, rng)
            if known
            else filler.fillings(filler.any_net(choices, rng), choices, rng, 2)
        )
        for one in drawn:
            if one.cost <= filler.config.cost and (one.net, one.rows) not in found:
                value = capacity(one.filling.crystal(), ESTIMATED[PROPERTY]) - (0 if known else ANY_NET_LESS)
                if value > most:
                    best, most = one, value
    return best


def worth(one: Ranked) -> float:
    """Capacity of the relaxed structure, mmol/g; 0 if it cannot be assembled or fails a check."""
    try:
        structure = ct.relax(ct.assemble(one.filling.mof))
        value = capacity(structure.crystal, ESTIMATED[PROPERTY]) if ct.check(structure).passed else 0.0
    except CrystaltoolError:
        return 0.0
    return value if np.isfinite(value) else 0.0


def search(planned: Planned, path: Path, known: Path, seconds: float, seed: int) -> None:
    """Draw, relax, keep."""
    found: Found = {}
    for file in (known, path):
        found |= {(one.net, one.rows): one.value for one in (read_designs(file)[1] if file.exists() else ())}
    rng = np.random.default_rng([seed, len(found)])
    end, saved = time.monotonic() + seconds, time.monotonic()
    while time.monotonic() < end:
        one = proposed(planned, fittest(found, PARENTS, A_NET), found, rng)
        if one is not None:
            found[one.net, one.rows] = worth(one)
        if time.monotonic() - saved > SAVE_EVERY:
            saved = time.monotonic()
            write_designs(path, [Design(*key, value) for key, value in found.items()], PROPERTY)
            values = np.array([design.value for design in fittest(found, PARENTS, A_NET)])
            print(len(found), np.quantile(values, [0, 0.5, 0.9, 1]).round(2), flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    searching = steps.add_parser("search")
    searching.add_argument("checkpoint", type=Path)
    searching.add_argument("found", type=Path)
    searching.add_argument("--seconds", type=float, default=3600)
    searching.add_argument("--seed", type=int, default=0)
    keeping = steps.add_parser("best")
    keeping.add_argument("designs", type=Path)
    keeping.add_argument("found", type=Path, nargs="+")
    keeping.add_argument("-n", type=int, default=200)
    options = parser.parse_args()
    if options.step == "search":
        logging.disable(logging.WARNING)
        planned = plan(str(options.checkpoint), None, NO_WISHES, None)
        known = options.checkpoint / NETS_FOLDER / DESIGNS
        search(planned, options.found, known, options.seconds, options.seed)
        return
    found = {(one.net, one.rows): one.value for path in options.found for one in read_designs(path)[1]}
    write_designs(options.designs, fittest(found, options.n, A_NET), PROPERTY)


if __name__ == "__main__":
    main()
