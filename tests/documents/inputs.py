"""The files that the documents speak of, small: data sets, folders of CIFs, MOFs, runs."""

from __future__ import annotations

import csv
import gzip
import io
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import crystaltool as ct
from crystaltool.io.cif import format_crystal
from tests.forcefield.units import CORUNDUM, PERICLASE, ROCK_SALT, RUTILE, SILICON, cubic, unit_of
from tests.models.block_encoder.blocks import TOML as BLOCKS_TOML
from tests.models.mofdiff.tiny import TOML as MOFDIFF_TOML
from tests.models.tiny import TOML as SYMMCD_TOML
from tests.mof.structures import curated

FLUORIDE = unit_of(225, cubic(4.03), [("Li", "a", ()), ("F", "b", ())], "griceite")
PEROVSKITE = unit_of(221, cubic(3.905), [("Sr", "a", ()), ("Ti", "b", ()), ("O", "c", ())], "tausonite")
COPPER = unit_of(225, cubic(3.61), [("Cu", "a", ())], "copper")
CRYSTALS = (ROCK_SALT, PERICLASE, RUTILE, CORUNDUM, SILICON, FLUORIDE, PEROVSKITE)
MOFS = ("MIL-47", "MIL-53", "MOF-5", "Ni-MOF-74")

TEREPHTHALIC_ACID = "OC(=O)c1ccc(cc1)C(=O)O"

PREFACE = "[loop]\nlog_every = 1\nsave_every = 2\nwarmup = 2\n"
CONFIGURATIONS = {
    "tiny-symmcd.toml": SYMMCD_TOML + PREFACE + "[fit]\nepochs = 1\n",
    "tiny-blocks.toml": BLOCKS_TOML + PREFACE + "[fit]\nepochs = 1\n",
    "tiny-mofdiff.toml": MOFDIFF_TOML + PREFACE + "[fit]\nepochs = 1\nproperty_epochs = 1\n",
    "tiny-nets.toml": "[model]\nwidth = 16\nkey = 8\n[fit]\nepochs = 1\n",
    "short.toml": PREFACE + "[fit]\nepochs = 1\n",
}
COPIES = {
    "tiny-symmcd.toml": ("symmcd.toml",),
    "tiny-blocks.toml": ("blocks.toml", "configs/blocks.toml"),
    "tiny-mofdiff.toml": ("mofdiff.toml", "configs/mofdiff.toml"),
}
STABILITY = '[model]\nstability_width = 128\nstability_layers = 3\n[fit]\nparts = ["stability"]\nepochs = 1\n' + PREFACE


def prepare(folder: Path, run: Callable[[str, Path], subprocess.CompletedProcess[str]]) -> None:
    """Fill the folder; `run` runs a shell command there."""
    configurations(folder)
    crystals(folder)
    frameworks(folder)
    for command in (
        "crystaltool asym-unit train.csv.gz -o train.h5",
        "crystaltool asym-unit structures.cif -o more.h5",
        "crystaltool fragment qmof/ --names file --properties labels.csv -o blocks.h5",
        "crystaltool embed blocks blocks.h5 -o embeddings.h5 --library library.h5",
        "crystaltool sample mofdiff -n 2 -o samples.h5",
        "crystaltool train symmcd train.h5 -o runs/symmcd --config tiny-symmcd.toml",
        "crystaltool train blocks blocks.h5 -o runs/blocks --config tiny-blocks.toml",
        "crystaltool train mofdiff blocks.h5 --embeddings embeddings.h5 -o runs/mofdiff --config tiny-mofdiff.toml",
        "crystaltool train mofdiff blocks.h5 --part nets --library library.h5 -o runs/mofdiff --config tiny-nets.toml",
    ):
        done = run(command, folder)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    shutil.copy(folder / "train.h5", folder / "own.h5")
    shutil.copy(folder / "blocks.h5", folder / "mofs.h5")


def configurations(folder: Path) -> None:
    """Settings of training, those of the tests under the names of the documents."""
    (folder / "configs").mkdir()
    for name, text in CONFIGURATIONS.items():
        for place in (name, *COPIES.get(name, ())):
            (folder / place).write_text(text)
    for name in ("symmcd-stability.toml", "symmcd-stability-own.toml"):
        (folder / "configs" / name).write_text(STABILITY)


def crystals(folder: Path) -> None:
    """Inorganic ones, as files, folders, tables and archives."""
    structures = [ct.Structure(unit, name=unit.name) for unit in CRYSTALS]
    texts = {each.name: each.to_cif(provenance=False) for each in structures}
    for name in ("structures.cif", "known.cif", "new.cif", "drawn.cif", "samples.cif"):
        (folder / name).write_text("".join(texts.values()))
    for name in ("mine", "more", "structures"):
        (folder / name).mkdir()
        for crystal, text in texts.items():
            (folder / name / f"{crystal}.cif").write_text(text)
    with zipfile.ZipFile(folder / "structures.zip", "w") as archive:
        for crystal, text in texts.items():
            archive.writestr(f"{crystal}.cif", text)
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(("material_id", "formation_energy_per_atom", "e_above_hull", "cif"))
    rows.writerows((name, -1.5, 0.01, text) for name, text in texts.items())
    (folder / "mp20").mkdir()
    for name in ("mp20/train.csv.gz", "train.csv.gz"):
        (folder / name).write_bytes(gzip.compress(table.getvalue().encode()))
    for name in ("copper.cif", "metals.cif"):
        ct.write(ct.Structure(COPPER, name="copper"), folder / name)
    measured = [each.with_properties(e_above_hull=0.01 * i) for i, each in enumerate(reversed(structures))]
    ct.write(measured, folder / "measured.cif")
    ct.write(measured, folder / "best.cif")
    stated = {"energy_per_atom": "-4.8", "relax_forcefield": "mace-mp"}
    ct.write(ct.Structure(FLUORIDE, name="griceite", properties=stated), folder / "relaxed_with_mace.cif")
    (folder / "mace_hull.csv").write_text("formula,energy_per_atom\nLi,-1.9\nF2,-1.9\nLiF,-4.85\n")


def frameworks(folder: Path) -> None:
    """Well known MOFs, labels of theirs, and a linker."""
    texts = {name: format_crystal(curated()[name], name) for name in MOFS}
    for name in ("qmof", "frameworks"):
        (folder / name).mkdir()
        for mof, text in texts.items():
            (folder / name / f"{mof}.cif").write_text(text)
    (folder / "framework.cif").write_text(texts["MIL-47"])
    (folder / "relaxed.cif").write_text(texts["MIL-47"])
    for name in ("mofs.tar.xz", "qmof.tar.xz"):
        with tarfile.open(folder / name, "w:xz") as archive:
            archive.add(folder / "qmof", "qmof")
    labels = "name,co2_wc,density,split\n" + "".join(f"{mof},{1 + i},0.{6 + i},0\n" for i, mof in enumerate(MOFS))
    for name in ("labels.csv", "qmof.csv"):
        (folder / name).write_text(labels)
    write_linker(folder / "my_linker.mol2")


def write_linker(path: Path) -> None:
    """Terephthalic acid, with coordinates."""
    from openbabel import pybel

    molecule = pybel.readstring("smi", TEREPHTHALIC_ACID)
    molecule.make3D(steps=50)
    molecule.write("mol2", str(path), overwrite=True)
