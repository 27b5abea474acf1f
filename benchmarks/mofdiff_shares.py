"""How much MOFs look like known ones: kinds of nodes and linkers, known nets; and which known ones they could equal.

    python benchmarks/mofdiff_shares.py --known CIF_FOLDER [-n 300] [--seed 0]

prints the shares of random known MOFs that `crystaltool fragment` can cut; `benchmarks/mofdiff.py` uses the rest.
"""

from __future__ import annotations

import argparse
import math
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

TOOL = [sys.executable, "-m", "crystaltool"]
LEFT_OUT = ("H", "D", "N", "O")
"""Elements that identities may be without: hydrogens, bound water and ammonia."""

Composition = tuple[tuple[str, int], ...]


def composition(formula: str) -> Composition:
    """Ratio of the elements of a formula such as `Cu2 H24 C14 N4 O6`, those of LEFT_OUT aside."""
    counts: Counter[str] = Counter()
    for symbol, count in re.findall(r"([A-Z][a-z]?)(\d*)", formula):
        counts[symbol] += int(count or 1)
    kept = {symbol: count for symbol, count in counts.items() if symbol not in LEFT_OUT}
    share = math.gcd(*kept.values()) or 1
    return tuple(sorted((symbol, count // share) for symbol, count in kept.items()))


def formulas(text: str) -> Iterator[str]:
    """Every chemical formula stated in CIF text."""
    for found in re.finditer(r"^_chemical_formula_sum\s+'?([^'\n]+)", text, re.MULTILINE):
        yield found[1]


def alike(folder: Path, samples: str) -> list[Path]:
    """CIFs of a folder that could be one of some samples: same metals, carbon and other elements in the same ratio.

    What hangs on a metal alone and holds carbon (dimethylformamide) is the exception: with it a known MOF is not found.
    """
    wanted = {composition(formula) for formula in formulas(samples)}
    return [
        path
        for path in sorted(folder.rglob("*.cif"))
        if any(composition(formula) in wanted for formula in formulas(path.read_text()[:4000]))
    ]


def fragments(paths: Iterable[Path], jobs: int = 1):
    """The MOFs of CIFs that `fragment` can cut, as a table; None if there is none."""
    from crystaltool.mof.table import read_mofs

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "blocks.h5"
        command = [*TOOL, "fragment", "--names", "file", "-j", str(jobs), "-q", "-o", str(target), *map(str, paths)]
        subprocess.run(command, capture_output=True, check=False)
        return read_mofs(target) if target.exists() else None


def likeness(table, nets: Mapping[str, int], itself: int = 0) -> dict[str, int]:
    """How many MOFs of a table have what most known MOFs have.

    Args:
        table: of `fragments`.
        nets: of each net's key the number of known MOFs.
        itself: 1 if the MOFs are among the known ones, which then need another one with their net.
    """
    from crystaltool.mof.blocks import NODE
    from crystaltool.mof.labelled_net import net_of_mof

    found = dict.fromkeys(("one kind of metal node", "two kinds of linkers or bridges at most", "a known net"), 0)
    for row in range(len(table)):
        mof = table[row]
        nodes = {block.identity for block in mof.blocks if block.kind == NODE}
        others = {block.identity for block in mof.blocks if block.kind != NODE}
        verdicts = (len(nodes) == 1, len(others) <= 2, nets.get(net_of_mof(mof).key(), 0) > itself)
        for name, passed in zip(found, verdicts, strict=True):
            found[name] += passed
    return found


def known_nets(checkpoint: str) -> Counter[str]:
    """Of each net of a checkpoint's catalogue the number of MOFs."""
    from crystaltool.models.weights import find_checkpoint
    from crystaltool.mof.catalogue import read_catalogue

    catalogue = read_catalogue(find_checkpoint(checkpoint) / "nets" / "nets.h5")
    counts: Counter[str] = Counter()
    for key, count in zip(catalogue.keys, catalogue.counts.tolist(), strict=True):
        counts[key] += count
    return counts


def main() -> None:
    """Shares of known MOFs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--known", type=Path, required=True, metavar="FOLDER", help="CIFs of known MOFs")
    parser.add_argument("-n", type=int, default=300, help="CIFs drawn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", default="mofdiff")
    options = parser.parse_args()
    paths = sorted(options.known.rglob("*.cif"))
    table = fragments(random.Random(options.seed).sample(paths, min(options.n, len(paths))))
    if table is None:
        raise SystemExit("none of them can be cut")
    for name, hits in likeness(table, known_nets(options.checkpoint), itself=1).items():
        print(f"{name}: {hits} of {len(table)} ({100 * hits / len(table):.1f} %)")
    print(f"blocks a cell: {np.mean([table[row].n_blocks for row in range(len(table))]):.1f}")


if __name__ == "__main__":
    main()
