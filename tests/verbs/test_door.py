"""The front door: light to import, and what it gives is what the commands give, to the byte."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import crystaltool as ct
from crystaltool.errors import CheckpointError, InputError, UsageError
from crystaltool.io.cif import format_crystal
from crystaltool.mof.table import read_mofs
from tests.cli.one_process import Child, one_process
from tests.conftest import ROOT, tool_environment
from tests.forcefield.units import ROCK_SALT, RUTILE
from tests.mof.structures import curated

SEED = 3


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with one_process() as running:
        yield running


@pytest.fixture(scope="module")
def samples() -> list[ct.Structure]:
    return list(ct.load("symmcd", device="cpu").sample(4, seed=SEED, space_group=[225, "P6_3/mmc"], steps=12))


def test_importing_it_loads_nothing_heavy() -> None:
    code = (
        "import sys; import crystaltool as ct; names = dir(ct);"
        "print(sorted({'torch', 'numpy', 'pymatgen', 'gemmi', 'ase', 'typer'} & set(sys.modules)), len(names));"
        "missing = [name for name in ct.__all__ if getattr(ct, name) is None]; print(missing, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=tool_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("[] ") and second.startswith("[] ")


def test_every_verb_is_documented_and_typed() -> None:
    assert (ROOT / "crystaltool" / "py.typed").is_file()
    for name in set(ct.__all__) - {"__version__"}:
        assert "Args:" in (getattr(ct, name).__doc__ or ""), name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = ct.nonsense


def test_one_seed_gives_the_same_bytes_from_python_and_from_the_shell(child: Child, samples, tmp_path: Path) -> None:
    arguments = ["--sg", "225", "--sg", "P6_3/mmc", "-n", "4", "--seed", str(SEED), "--steps", "12"]
    ended = child.run(tmp_path, "sample", "symmcd", *arguments, "--device", "cpu", "--no-provenance", "-o", "shell.cif")
    assert ended.code == 0, ended.err
    assert ct.write(samples, tmp_path / "python.cif", provenance=False) == 4
    assert (tmp_path / "python.cif").read_bytes() == (tmp_path / "shell.cif").read_bytes()


def test_a_chain_is_a_pipe_to_the_byte(child: Child, samples, tmp_path: Path) -> None:
    pytest.importorskip("chgnet")
    ct.write(samples[:2], tmp_path / "in.cif", provenance=False)
    for number, words in enumerate((["relax", "--max-steps", "3"], ["asym-unit"], ["asym-unit", "--expand"])):
        source = "in.cif" if not number else f"{number}.cif"
        ended = child.run(tmp_path, *words, "--no-provenance", "-q", "-o", f"{number + 1}.cif", source)
        assert ended.code == 0, ended.err
    relaxed = list(ct.relax(samples[:2], max_steps=3))
    units = [ct.asym_unit(structure) for structure in relaxed]
    for number, chain in enumerate((relaxed, units, list(map(ct.expand, units))), start=1):
        ct.write(chain, tmp_path / f"python{number}.cif", provenance=False)
        assert (tmp_path / f"python{number}.cif").read_bytes() == (tmp_path / f"{number}.cif").read_bytes(), number
    assert [line.split(" | ")[1] for line in units[0].history] == [
        "sample symmcd n=4 seed=3 space_group=[225, 'P6_3/mmc'] steps=12",
        "relax max_steps=3",
        "asym-unit",
    ]


def test_verdicts_are_those_of_the_command(child: Child, samples, tmp_path: Path) -> None:
    ct.write(samples, tmp_path / "in.cif")
    ended = child.run(tmp_path, "check", "--exit-zero", "-q", "in.cif")
    table = [line.split("\t") for line in ended.out.splitlines()[1:]]
    judged = list(ct.check(samples))
    assert [row[:2] for row in table] == [[one.name, verdict.check] for one in judged for verdict in one.verdicts]
    assert [row[2] == "fail" for row in table] == [not v.passed for one in judged for v in one.verdicts]
    assert [row[5] for row in table] == [v.message for one in judged for v in one.verdicts]
    assert ct.check(samples[0]).verdicts == judged[0].verdicts
    known = ct.known_structures(str(tmp_path / "in.cif"))
    assert not any(v.passed for v in ct.check(samples[0], reference=known).verdicts if v.check == "novel")
    twice = list(ct.check([samples[0], samples[0]], reference=known, only=("unique",)))
    assert [one.passed for one in twice] == [True, False]
    with pytest.raises(UsageError, match="'unique'"):
        ct.check(samples[0], reference=known, only=("unique",))


def test_files_of_every_format_are_read_by_others(samples, tmp_path: Path) -> None:
    ase_io = pytest.importorskip("ase.io")
    from pymatgen.io.vasp import Poscar

    assert ct.write(samples, tmp_path / "all.xyz") == 4
    frames = ase_io.read(tmp_path / "all.xyz", index=":")
    assert [len(frame) for frame in frames] == [structure.n_atoms for structure in samples]
    assert frames[0].info["name"] == samples[0].name
    ct.write(samples[0], tmp_path / "one.vasp")
    assert Poscar.from_file(tmp_path / "one.vasp").structure.matches(samples[0].to_pymatgen())
    with pytest.raises(UsageError, match="holds one"):
        ct.write(samples, tmp_path / "many.vasp")
    assert not (tmp_path / "many.vasp").exists()
    with pytest.raises(UsageError, match="exists"):
        ct.write(samples, tmp_path / "all.xyz")
    with pytest.raises(UsageError, match="of no format"):
        ct.write(samples, tmp_path / "all.pdf")


def test_data_sets_and_archives_come_back(samples, tmp_path: Path) -> None:
    ct.write(samples, tmp_path / "units.h5")
    ct.write(samples, tmp_path / "units.cif.gz")
    for name in ("units.h5", "units.cif.gz"):
        again = list(ct.read(tmp_path / name))
        assert [one.to_cif(provenance=False) for one in again] == [one.to_cif(provenance=False) for one in samples]
    assert next(iter(ct.read(tmp_path / "units.h5"))).history[0].startswith("1 crystaltool 0.1.0 | sample symmcd n=4")
    with pytest.raises(InputError, match="no asymmetric unit"):
        ct.write(ct.expand(samples[0]), tmp_path / "all.h5")


def test_what_cannot_be_done_is_logged_and_left_out_or_raised(tmp_path: Path, caplog) -> None:
    (tmp_path / "in.cif").write_text("data_broken\n_cell_length_a 5\n\n" + ct.Structure(RUTILE, name="rutile").to_cif())
    logging.getLogger("crystaltool").propagate = True
    with caplog.at_level(logging.WARNING, "crystaltool"):
        assert [one.name for one in ct.read(tmp_path / "in.cif")] == ["rutile"]
    assert "no _cell_length_b" in caplog.text and "data_broken" in caplog.text
    with pytest.raises(InputError, match=r"in\.cif\(1\) data_broken: no _cell_length_b"):
        list(ct.read(tmp_path / "in.cif", fail_fast=True))
    (broken,) = [ct.Structure(ROCK_SALT, name="salt")]
    caplog.clear()
    with caplog.at_level(logging.WARNING, "crystaltool"):
        assert list(ct.fragment([broken])) == []
    assert "data_salt: refused (no-carbon)" in caplog.text
    with pytest.raises(InputError, match="no-carbon"):
        ct.fragment(broken)
    for wrong in (
        lambda: ct.relax("in.cif"),
        lambda: ct.asym_unit(None),
        ct.read,
        lambda: ct.relax(broken, "x"),
    ):
        with pytest.raises((UsageError, TypeError)):  # in tests the annotations are checked first
            wrong()
    with pytest.raises(CheckpointError, match="expected one of symmcd, mofdiff"):
        ct.load("blocks")


def test_a_path_that_does_not_exist_is_raised_at_once(tmp_path: Path) -> None:
    ct.write(ct.Structure(RUTILE, name="rutile"), tmp_path / "in.cif")
    for path in (tmp_path / "nix.cif", str(tmp_path / "nix")):
        with pytest.raises(FileNotFoundError) as error:
            ct.read(tmp_path / "in.cif", path)
        assert error.value.filename == str(path)


def test_the_log_names_a_block_only_where_there_is_one(tmp_path: Path, caplog) -> None:
    (tmp_path / "empty.cif").write_text("")
    logging.getLogger("crystaltool").propagate = True
    with caplog.at_level(logging.WARNING, "crystaltool"):
        assert list(ct.read(tmp_path / "empty.cif")) == []
    assert caplog.messages == [f"{tmp_path / 'empty.cif'}: empty, expected CIF text with a data_ block"]


def test_blocks_of_mofs_are_those_of_the_commands(child: Child, tmp_path: Path) -> None:
    names = ("MIL-53", "MIL-47")
    (tmp_path / "in.cif").write_text("".join(format_crystal(curated()[name], name) for name in names))
    assert child.run(tmp_path, "fragment", "-q", "-o", "shell.h5", "in.cif").code == 0
    assert child.run(tmp_path, "embed", "blocks", "shell.h5", "-q", "--device", "cpu", "-o", "emb.h5").code == 0
    mofs = list(ct.fragment(ct.read(tmp_path / "in.cif")))
    ct.write(mofs, tmp_path / "python.h5")
    shell, python = read_mofs(tmp_path / "shell.h5"), read_mofs(tmp_path / "python.h5")
    assert shell.names == python.names == names and shell.identities == python.identities
    for index in range(2):
        for one, other in zip(shell[index].blocks, python[index].blocks, strict=True):
            np.testing.assert_allclose(one.cart_coords, other.cart_coords, atol=1e-6)
            assert one.identity == other.identity
    from crystaltool.models.block_encoder.embedding_file import read_embeddings

    vectors = ct.embed(mofs, device="cpu")
    assert [len(part) for part in vectors] == [mof.n_blocks for mof in mofs]
    np.testing.assert_allclose(np.concatenate(vectors), read_embeddings(tmp_path / "emb.h5").embedding, atol=1e-5)
    np.testing.assert_allclose(ct.embed(mofs[1], device="cpu"), vectors[1], atol=1e-5)
    samples = list(ct.read(tmp_path / "python.h5"))
    assert [sample.name for sample in samples] == list(names) and samples[1].item == 1


def test_assembled_mofs_are_those_of_the_command(child: Child, tmp_path: Path) -> None:
    mofs = list(ct.load("mofdiff", device="cpu").sample(2, seed=1, net="free", steps=3, candidates=2))
    assert [mof.item for mof in mofs] == list(range(len(mofs))) and mofs  # one without decoding is not counted
    arguments = ["-n", "2", "--seed", "1", "--net", "free", "--steps", "3", "--candidates", "2", "--device", "cpu"]
    assert child.run(tmp_path, "sample", "mofdiff", *arguments, "-q", "-o", "shell.h5").code == 0
    ended = child.run(tmp_path, "assemble", "-q", "--device", "cpu", "--no-provenance", "shell.h5", "-o", "shell.cif")
    assert ended.code in (0, 1), ended.err
    n = ct.write(ct.assemble(ct.read(tmp_path / "shell.h5"), device="cpu"), tmp_path / "python.cif", provenance=False)
    assert (tmp_path / "python.cif").read_bytes() == (tmp_path / "shell.cif").read_bytes()
    ct.write(mofs, tmp_path / "python.h5")
    one, other = read_mofs(tmp_path / "shell.h5"), read_mofs(tmp_path / "python.h5")
    assert one.names == other.names and n <= 2
    for key in one.arrays:
        np.testing.assert_allclose(one.arrays[key], other.arrays[key], atol=1e-6, err_msg=key)
