"""Every subcommand with every kind of input that it reads: a command line with `{}` where the bad file goes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

LENNARD_JONES = "--forcefield ase:ase.calculators.lj:LennardJones --max-steps 2"
COLUMNS = "--columns name,formula,space_group,n_atoms,density,crystal_system,elements"


class Line(NamedTuple):
    """A row: how often it is drawn, what it reads, its arguments; `SEEDS/` is the folder of sound files."""

    weight: float
    kind: str
    arguments: str

    @property
    def command(self) -> str:
        """The subcommand."""
        return self.arguments.split()[0]


LINES = (
    Line(8, "structure", "asym-unit --no-provenance {}"),
    Line(4, "structure", "asym-unit {} -o out.h5"),
    Line(4, "structure", "asym-unit --expand {} -o out.cif"),
    Line(2, "structure", "asym-unit --symprec 0.1 --names file {} -O out"),
    Line(4, "structure", "check {}"),
    Line(3, "structure", "check --json --kind mof {}"),
    Line(2, "structure", "check --annotate {} -o out.cif"),
    Line(2, "structure", "check --only novel,unique --reference {} SEEDS/structures.cif"),
    Line(4, "structure", "view {} -o out.cif"),
    Line(4, "structure", f"view {COLUMNS} {{}}"),
    Line(3, "structure", "view --format extxyz {} -o out.xyz"),
    Line(3, "structure", "view --format json {}"),
    Line(2, "structure", "view --format poscar {} -O out"),
    Line(2, "structure", "view --info {}"),
    Line(4, "structure", "stats {}"),
    Line(3, "structure", "stats --html out.html {}"),
    Line(2, "structure", "stats --declared --format json --against {} SEEDS/structures.cif"),
    Line(2, "structure", "fragment {} -o out.h5 --report out.tsv"),
    Line(4, "framework", "fragment {} -o out.h5 --report out.tsv"),
    Line(2, "framework", "check {}"),
    Line(5, "structure", f"relax {LENNARD_JONES} {{}} -o out.cif"),
    Line(4, "structure", "relax --forcefield uff --max-steps 3 {} -o out.cif"),
    Line(3, "structure", "measure --hull --potential mp2020 {} -o out.cif"),
    Line(2, "structure", "measure --pores {}"),
    Line(2, "structure", "measure --adsorption co2 --cycles 20 --pressure 0.1 {}"),
    Line(1, "framework", "measure --predict {}"),
    Line(4, "structure", "sample SEEDS/models/run-symmcd -n 1 --template {} -o out.cif"),
    Line(3, "partial", "asym-unit SEEDS/structures.cif --resume -o out.cif"),
    Line(2, "partial", "check SEEDS/structures.cif --resume -o out.tsv"),
    Line(2, "partial", "sample SEEDS/models/run-symmcd -n 4 --resume -o out.cif"),
    Line(3, "blocks", "embed SEEDS/models/run-blocks {} -o out.h5"),
    Line(2, "blocks", "embed SEEDS/models/run-blocks {} -o out.h5 --library lib.h5"),
    Line(2, "library", "embed blocks SEEDS/one.h5 --nearest 2 --by embedding --among {}"),
    Line(4, "blocks", "assemble --starts 2 {} -o out.cif"),
    Line(3, "blocks", "fragment {} SEEDS/one.h5 -o out.h5"),
    Line(2, "blocks", "view {}"),
    Line(1, "blocks", "view --info {}"),
    Line(2, "blocks", "train blocks {} -o run --config SEEDS/tiny-blocks.toml"),
    Line(1, "blocks", "train mofdiff {} --embeddings SEEDS/embeddings.h5 -o run --config SEEDS/tiny-mofdiff.toml"),
    Line(1, "library", "train mofdiff SEEDS/blocks.h5 --part nets --library {} -o run --config SEEDS/tiny-nets.toml"),
    Line(1, "blocks", "train blocks {} --part order -o run"),
    Line(2, "library", "sample SEEDS/models/run-mofdiff -n 1 --library {} -o out.h5"),
    Line(1, "blocks", "sample SEEDS/models/run-mofdiff -n 1 --net {} -o out.h5"),
    Line(1, "blocks", "sample SEEDS/models/run-mofdiff -n 1 --linker {} -o out.h5"),
    Line(1, "blocks", "sample SEEDS/models/run-mofdiff -n 1 --node {} -o out.h5"),
    Line(2, "embeddings", "view {}"),
    Line(2, "embeddings", "train mofdiff SEEDS/blocks.h5 --embeddings {} -o run --config SEEDS/tiny-mofdiff.toml"),
    Line(4, "dataset", "train symmcd {} -o run --config SEEDS/tiny-symmcd.toml"),
    Line(2, "dataset", "asym-unit {} SEEDS/train.h5 -o out.h5"),
    Line(2, "dataset", "check --only novel --reference {} SEEDS/structures.cif"),
    Line(5, "symmcd", "sample {} -n 1 -o out.cif"),
    Line(3, "symmcd", "train symmcd SEEDS/train.h5 --init {} -o run --config SEEDS/short.toml"),
    Line(4, "blocks model", "embed {} SEEDS/one.h5 -o out.h5"),
    Line(4, "mofdiff", "sample {} -n 1 -o out.h5"),
    Line(1, "mofdiff", "measure --predict --model {} SEEDS/framework.cif"),
    Line(3, "state", "train symmcd SEEDS/train.h5 -o {} --resume --epochs 2"),
    Line(4, "hull", "measure --hull --potential mace-mp --hull-file {} SEEDS/relaxed_with_mace.cif"),
    Line(3, "labels", "fragment SEEDS/framework.cif --properties {} -o out.h5"),
    Line(6, "molecule", "sample SEEDS/models/run-mofdiff -n 1 --linker {} -o out.h5"),
    Line(4, "settings", "train symmcd SEEDS/train.h5 -o run --config {}"),
)

SYMMCD = ("symmcd-format-1", "symmcd-atoms-format-1", "run-symmcd")

KINDS: dict[str, Callable[[Path], list[Path]]] = {
    "structure": lambda files: [
        *_several(sorted((files / "cifs").glob("*.cif")), 3),
        *_several([files / name for name in ("train.csv", "structures.zip", "structures.tar", "train.h5")], 20),
        *_several([files / name for name in ("structures.tar.gz", "structures.cif.gz", "structures.xyz")], 10),
        *_several(sorted((files / "poscars").glob("*")), 2),
    ],
    "partial": lambda files: [files / "structures.cif", files / "cifs" / "energies.cif", files / "train.h5"],
    "framework": lambda files: [
        files / "cifs" / "assembled.cif", files / "framework.cif", *sorted((files / "cifs").glob("mof-*.cif")),
    ],
    "blocks": lambda files: [files / name for name in ("blocks.h5", "samples.h5", "one.h5")],
    "library": lambda files: [files / "library.h5"],
    "embeddings": lambda files: [files / "embeddings.h5"],
    "dataset": lambda files: [files / "train.h5", files / "more.h5"],
    "symmcd": lambda files: [files / "models" / name for name in SYMMCD],
    "blocks model": lambda files: [files / "models" / name for name in ("blocks-format-1", "run-blocks")],
    "mofdiff": lambda files: [files / "models" / "run-mofdiff", files / "models" / "mofdiff-format-1"],
    "state": lambda files: [files / "models" / "run-symmcd"],
    "hull": lambda files: [files / "mace_hull.csv"],
    "labels": lambda files: [files / "labels.csv"],
    "molecule": lambda files: sorted((files / "molecules").glob("*")),
    "settings": lambda files: [files / "tiny-symmcd.toml"],
}  # fmt: skip


def _several(paths: list[Path], times: int) -> list[Path]:
    return [path for path in paths for _ in range(times)]
