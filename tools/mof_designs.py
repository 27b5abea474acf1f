"""Searches filled nets of high CO2 working capacity: the parents of `sample mofdiff --target co2_wc=...`.

    python tools/mof_designs.py search CHECKPOINT DESIGNS.h5 --seconds 1800 [--seed 0]      by the estimate
    python tools/mof_designs.py draw CHECKPOINT DESIGNS.h5 FILLED.h5 [-n 300]                the best, to assemble
    python tools/mof_designs.py judge CHECKPOINT DESIGNS.h5 RELAXED.cif                       keep what held

`search` is a steady-state evolution: half of the draws take any net, half change the blocks of one or two classes of
vertices of one of the `PARENTS` best fillings, of which a net has at most `A_NET`. It goes on where it was stopped.
`draw` writes the best as samples, for `assemble | relax | check --pass`; `judge` keeps those that came through, with
the capacities estimated from their relaxed structures, which is what they are worth.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

import crystaltool as ct
from crystaltool.models.mofdiff.aimed import A_DRAW, Design, relatives
from crystaltool.models.mofdiff.designs import read_designs, write_designs
from crystaltool.models.mofdiff.merit import ESTIMATED, capacity
from crystaltool.models.mofdiff.nets_first import Ranked
from crystaltool.mof.table import tabulate, write_mofs
from crystaltool.verbs.nets import NO_WISHES, Planned, plan

PROPERTY = "co2_wc"
PARENTS, A_NET, KEPT = 120, 4, 3000
SAVE_EVERY = 60.0


def fittest(found: dict, most: int) -> list[Design]:
    """The best, of each net at most `A_NET`."""
    counts: dict[int, int] = {}
    chosen = []
    for design in sorted(found.values(), key=lambda design: -design.value):
        counts[design.net] = counts.get(design.net, 0) + 1
        if counts[design.net] <= A_NET:
            chosen.append(design)
    return chosen[:most]


def search(planned: Planned, path: Path, seconds: float, seed: int) -> None:
    """Draw, estimate, keep."""
    filler, choices = planned.filler, planned.choices
    found = {(one.net, one.rows): one for one in (read_designs(path)[1] if path.exists() else ())}
    rng = np.random.default_rng([seed, len(found)])
    end, saved, drawn = time.monotonic() + seconds, time.monotonic(), 0
    parents = fittest(found, PARENTS)
    while time.monotonic() < end:
        if len(parents) >= PARENTS // 4 and rng.random() < 0.5:
            ranked = relatives(filler, parents[rng.integers(len(parents))], choices, rng)
        else:
            ranked = filler.fillings(filler.any_net(choices, rng), choices, rng, A_DRAW)
        drawn += 1
        for one in ranked:
            if one.cost <= filler.config.cost and (one.net, one.rows) not in found:
                value = capacity(one.filling.crystal(), ESTIMATED[PROPERTY])
                found[one.net, one.rows] = Design(one.net, one.rows, value if np.isfinite(value) else 0.0)
        if time.monotonic() - saved > SAVE_EVERY:
            parents, saved = fittest(found, PARENTS), time.monotonic()
            best = sorted(found.values(), key=lambda design: -design.value)[:KEPT]
            write_designs(path, best, PROPERTY)
            values = np.array([design.value for design in parents])
            print(drawn, len(found), np.quantile(values, [0, 0.5, 0.9, 1]).round(2), flush=True)


def draw(planned: Planned, path: Path, output: Path, n: int) -> None:
    """The best, filled again, as samples."""
    mofs = []
    for number, design in enumerate(fittest({(d.net, d.rows): d for d in read_designs(path)[1]}, n)):
        (one, *_) = planned.filler.fillings(
            design.net, planned.choices, np.random.default_rng(0), 1, dict(enumerate(design.rows))
        ) or (None,)
        if isinstance(one, Ranked):
            mofs.append(replace(one.filling.mof, name=f"design-{number:06d}", properties={"candidate": 0.0}))
    write_mofs(output, tabulate(mofs))


def judge(path: Path, relaxed: Path) -> None:
    """Designs that came through, with the capacities of their relaxed structures."""
    designs = fittest({(d.net, d.rows): d for d in read_designs(path)[1]}, KEPT)
    kept = []
    for structure in ct.read(str(relaxed)):
        value = capacity(structure.crystal, ESTIMATED[PROPERTY])
        kept.append(replace(designs[int(structure.name.split("-")[1])], value=value))
    write_designs(path, sorted(kept, key=lambda design: -design.value), PROPERTY)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("search", "draw", "judge"))
    parser.add_argument("checkpoint")
    parser.add_argument("designs", type=Path)
    parser.add_argument("other", type=Path, nargs="?")
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-n", type=int, default=300)
    options = parser.parse_args()
    if options.step == "judge":
        judge(options.designs, options.other)
        return
    planned = plan(options.checkpoint, None, NO_WISHES, None)
    if options.step == "search":
        search(planned, options.designs, options.seconds, options.seed)
    else:
        draw(planned, options.designs, options.other, options.n)


if __name__ == "__main__":
    main()
