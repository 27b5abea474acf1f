"""Sound files of every kind that commands read, made once: those of the documents' tests, cases of bug reports."""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from benchmarks.faults.server import ROOT
from tests.documents.inputs import TEREPHTHALIC_ACID, prepare

CASES = ROOT.parent / "shared" / "cases"
MOST_BYTES = 200_000
"""Larger files of structures are no seeds: what breaks on them breaks on smaller ones."""

FORMATS = ("mol2", "mol", "sdf", "pdb", "xyz", "smi")


def make_seeds(folder: Path) -> None:
    """Fill `folder/files`, if it is not there."""
    place = folder / "files"
    if (place / "done").exists():
        return
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    prepare(place, run)
    structures(place)
    molecules(place)
    checkpoints(place)
    (place / "done").touch()


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A shell command of the documents."""
    path = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True)


def structures(place: Path) -> None:
    """CIFs of cases and tests, what the tool writes of them, and other formats."""
    (place / "cifs").mkdir()
    for root in (CASES, ROOT / "tests"):
        for path in sorted(root.rglob("*.cif")):
            if path.stat().st_size < MOST_BYTES:
                shutil.copy(path, place / "cifs" / "-".join(path.relative_to(root).parts[-3:]))
    stated = "\\1\n_crystaltool_energy_per_atom -4.8\n_crystaltool_relax_forcefield mp2020"
    text = (place / "measured.cif").read_text()
    (place / "cifs" / "energies.cif").write_text(re.sub(r"(?m)^(data_\S+)", stated, text))
    for command in (
        "crystaltool asym-unit --expand structures.cif -o cifs/expanded.cif",
        "crystaltool check --annotate structures.cif -o cifs/checked.cif --exit-zero",
        "crystaltool assemble samples.h5 -o cifs/assembled.cif",
        "crystaltool view --format extxyz structures.cif -o structures.xyz",
        "crystaltool view --format poscar structures.cif -O poscars",
        "crystaltool fragment framework.cif -o one.h5",
    ):
        done = run(command, place)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    with tarfile.open(place / "structures.tar", "w") as archive:
        archive.add(place / "mine", "mine")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(place / "mine" / os.listdir(place / "mine")[0], "one.cif")
    (place / "structures.tar.gz").write_bytes(gzip.compress(packed.getvalue()))
    (place / "structures.cif.gz").write_bytes(gzip.compress((place / "structures.cif").read_bytes()))
    (place / "train.csv").write_bytes(gzip.decompress((place / "train.csv.gz").read_bytes()))


def molecules(place: Path) -> None:
    """A linker in the formats of molecules."""
    from openbabel import pybel

    molecule = pybel.readstring("smi", TEREPHTHALIC_ACID)
    (place / "molecules").mkdir()
    molecule.make3D(steps=50)
    for form in FORMATS:
        molecule.write(form, str(place / "molecules" / f"linker.{form}"), overwrite=True)


def checkpoints(place: Path) -> None:
    """Small ones of every model."""
    (place / "models").mkdir()
    for path in sorted((ROOT / "tests" / "old_checkpoints").glob("*.tar.gz")):
        target = place / "models" / path.name.removesuffix(".tar.gz")
        with tarfile.open(path) as archive:
            archive.extractall(target, filter="data")
    for name in ("symmcd", "blocks", "mofdiff"):
        shutil.copytree(place / "runs" / name, place / "models" / f"run-{name}")
    for name in ("run-mofdiff", "mofdiff-format-1"):
        shutil.copy(place / "library.h5", place / "models" / name)
