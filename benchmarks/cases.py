"""Every case of public bug reports, read and judged: `python benchmarks/cases.py [--cases FOLDER]`.

A row a file of ../shared/cases: what happened, and whether it is right by the README there (values as in the tests,
`tests/io/test_cif_cases.py` and `tests/checks/mof/test_cases.py`). Exit code 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from crystaltool.checks.judge import judge_block
from crystaltool.checks.mof.identity import identify_mof
from crystaltool.checks.registry import MOF_RULES, Plan
from crystaltool.io.cif import CifBlock
from crystaltool.io.stream import BadRecord, iter_blocks
from crystaltool.mof.blocks import LINKER
from crystaltool.mof.perception import perceive_bonds
from crystaltool.symmetry.detection import detect_orbits
from crystaltool.units import SYMBOLS
from crystaltool.verbs.fragment import Cut, FragmentSettings, cut
from tests.checks.mof.test_cases import BROKEN
from tests.io.test_cif_cases import REFUSED, RIGHT, content

CASES = Path(__file__).resolve().parents[2] / "shared" / "cases"
NOT_ASKED = ("09-small-ligands/input-imido", "08-terminal-oxygen/input-titanyl")
"""Chains and layers: connected-3d is not judged."""

ALSO_BROKEN = {"21-missing-linker/input-missing": {"framework-charge"}}
"""A terephthalate less and nothing in its place: two anions are missing."""

Row = tuple[str, str, bool]
TOOL = [sys.executable, "-m", "crystaltool"]
FOLDER = "9 files: 6 with structures, 2 without, 1 of other kinds passed over; 6 structures: 5 read, 1 unreadable"
OXIDES = ["BaO", "CaO", "MgO", "NiO", "SrO"]
LENNARD_JONES = ("--forcefield", "ase:ase.calculators.lj:LennardJones", "--max-steps", "0", "-q")


def inorganic(cases: Path) -> Iterator[Row]:
    """The cases of single files: content of the cell and group, or the words of the refusal."""
    for pattern, (formula, group) in RIGHT.items():
        (path,) = cases.glob(f"inorganic/{pattern}")
        (block,) = iter_blocks([str(path)])
        if isinstance(block, BadRecord):
            yield name_of(path, cases), f"refused: {block.message}", False
            continue
        found = detect_orbits(block.crystal, 0.01).group
        yield name_of(path, cases), f"{content(block)}, {found}", content(block) == formula and group in (None, found)
    for pattern, words in REFUSED.items():
        (path,) = cases.glob(f"inorganic/{pattern}")
        (block,) = iter_blocks([str(path)])
        bad = isinstance(block, BadRecord)
        yield name_of(path, cases), f"refused: {block.message[:90]}" if bad else "read", bad and words in block.message


def a_folder(cases: Path) -> Iterator[Row]:
    """Case 21: every command reports the bad files, does the rest, names by block or by file, and sums up."""
    source = str(cases / "inorganic" / "21-folder-with-bad-files" / "folder")
    commands = {
        "asym-unit": ("--no-provenance",),
        "check": ("--json", "--only", "cell"),
        "relax": LENNARD_JONES[:-1],
        "fragment": ("-o", "x.h5", "--report", "x.tsv"),
    }
    for command, options in commands.items():
        for names in ("file", "block"):
            with tempfile.TemporaryDirectory() as place:
                done = subprocess.run(
                    [*TOOL, command, *options, "--names", names, source], cwd=place, capture_output=True, text=True
                )
                report = Path(place, "x.tsv")
                text = report.read_text() if report.exists() else done.stdout
            heads = {"fragment": r"(?m)^(\S+)\trefused", "check": '"structure": "(.*?)"'}
            wanted = OXIDES if names == "file" else [f"image0{end}" for end in ("", ".2", ".4", ".5", ".6")]
            named = re.findall(heads.get(command, r"(?m)^data_(\S+)"), text) == wanted  # the truncated file has .3
            bad = all(done.stderr.count(f"/{one}") >= 1 for one in ("FeO-truncated.cif", "empty.cif", "html.cif"))
            right = done.returncode == 2 and named and bad and FOLDER in done.stderr
            what = f"exit {done.returncode}, 5 named {wanted[0]} ... {wanted[-1]}: {named}, bad files reported: {bad}"
            yield f"inorganic/21 {command} --names {names}", what, right


def read_one(cases: Path, name: str) -> CifBlock:
    """The one block of a case."""
    (block,) = iter_blocks([str(cases / "mof" / f"{name}.cif")])
    if isinstance(block, BadRecord):
        raise SystemExit(f"{name}: {block.message}")
    return block


def verdicts(block: CifBlock) -> tuple[set[str], set[str]]:
    """Rules that a block breaks, and those that were not judged."""
    found = judge_block(block, Plan((), tuple(rule.name for rule in MOF_RULES))).verdicts
    return {v.check for v in found if not v.passed}, {v.check for v in found if not v.judged}


def mofs(cases: Path) -> Iterator[Row]:
    """Verdicts: those that the README names, and all others pass."""
    for path in sorted((cases / "mof").rglob("*.cif")):
        name = str(path.relative_to(cases / "mof").with_suffix(""))
        failed, open_ = verdicts(read_one(cases, name))
        right = set() if name in NOT_ASKED else ({**BROKEN, **ALSO_BROKEN}).get(name, set())
        said = f"fails {', '.join(sorted(failed))}" if failed else "passes"
        said += f" (not judged: {', '.join(sorted(open_))})" if open_ else ""
        yield f"mof/{name}", said, failed == right and (("connected-3d" in open_) == (name in NOT_ASKED))


def identities(cases: Path) -> Iterator[Row]:
    """Cases 06, 07, 12, 17, 20 and 23, from the bonds."""

    def text(name: str) -> str:
        return identify_mof(read_one(cases, name).crystal).text

    pair = text("06-same-mof-two-identities/input"), text("06-same-mof-two-identities/input-other-refinement")
    yield "mof/06 identities", "one" if pair[0] == pair[1] else "two", pair[0] == pair[1]
    nets = [pieces(cases, f"17-interpenetrated-identity/{name}").n_nets for name in ("input", "input-two-nets")]
    yield "mof/17 nets", str(nets), nets == [1, 2]
    for name in ("input", "input-small"):
        crystal = read_one(cases, f"07-lead-bonds/{name}").crystal
        counts = neighbours_of(crystal, 82)
        whole = cut(FragmentSettings(), crystal)
        connected = getattr(whole, "reason", "") != "dimension"
        yield f"mof/07 {name}: neighbours of Pb", f"{counts}, fragment {getattr(whole, 'reason', 'cuts it')}", connected
    for name, element, right in (("input-uio66", 40, {8}), ("input-mfm300", 13, {6})):
        counts = neighbours_of(read_one(cases, f"20-uff4mof-types/{name}").crystal, element)
        yield f"mof/20 {name}: neighbours of {SYMBOLS[element]}", str(counts), counts == right
    block = read_one(cases, "12-bonds-without-images/input")
    longest = float(np.linalg.norm(block.bonds.vectors(block.crystal), axis=1).max()) if block.bonds else np.inf
    yield "mof/12 longest stated bond as read", f"{longest:.2f} A", longest < 3.0
    holders = {piece.kind for piece in pieces(cases, "23-metal-inside-linker/input").mof.blocks if 26 in piece.numbers}
    inside = holders == {LINKER}
    yield "mof/23 iron of ferrocene", "in the linker" if inside else "a node", inside


def pieces(cases: Path, name: str) -> Cut:
    """A MOF in blocks."""
    found = cut(FragmentSettings(), read_one(cases, name).crystal)
    if not isinstance(found, Cut):
        raise SystemExit(f"{name}: {found.message}")
    return found


def neighbours_of(crystal, number: int) -> set[int]:
    """Numbers of neighbours that the atoms of an element have."""
    counts = np.bincount(perceive_bonds(crystal).pairs.ravel(), minlength=crystal.n_atoms)
    return set(counts[crystal.numbers == number].tolist())


def files(cases: Path) -> Iterator[Row]:
    """Cases 06, 13, 14 and 15 by the command line."""

    def tool(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*TOOL, *arguments], capture_output=True, text=True)

    six = cases / "mof" / "06-same-mof-two-identities"
    done = tool(
        "check", "-q", "--only", "novel", "--reference", str(six / "input.cif"), f"{six}/input-other-refinement.cif"
    )
    yield "mof/06 check --reference", done.stdout.splitlines()[-1][:90], done.returncode == 1
    done = tool(
        "asym-unit", "--expand", "--no-provenance", str(cases / "mof" / "13-lammps-interface-reads" / "input.cif")
    )
    naive = "_atom_type_symbol" not in done.stdout and not any(line[:1] == ";" for line in done.stdout.splitlines())
    yield "mof/13 asym-unit --expand", f"no _atom_type loop, no text fields: {naive}", naive and done.returncode == 0
    for command in (("asym-unit", "--expand"), ("relax", "--max-steps", "1")):
        done = tool(*command, "-q", str(cases / "mof" / "14-charges-lost" / "input.cif"))
        kept = "_atom_site_charge" in done.stdout
        yield f"mof/14 {command[0]}", f"charges kept: {kept}", kept
    done = tool(
        "check", "-q", "--json", "--only", "has-metal", "--names", "file", str(cases / "mof" / "15-block-names-image0")
    )
    named = all(f'"structure": "input-{one}"' in done.stdout for one in ("ceyput", "wodxeu", "xupsae"))
    yield "mof/15 check --names file", f"traced to the files: {named}", named


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=Path, default=CASES)
    cases = parser.parse_args().cases.resolve()
    wrong = n = 0
    print("| case | what happened | right |\n|---|---|---|")
    for part in (inorganic, a_folder, mofs, identities, files):
        for case, what, right in part(cases):
            n, wrong = n + 1, wrong + (not right)
            print(f"| {case} | {what} | {'yes' if right else 'NO'} |", flush=True)
    print(f"\n{n - wrong} of {n} right.")
    sys.exit(wrong > 0)


def name_of(path: Path, cases: Path) -> str:
    """The file's place in the folder of cases."""
    return str(path.relative_to(cases).with_suffix(""))


if __name__ == "__main__":
    main()
