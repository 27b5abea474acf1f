"""`crystaltool relax`: the stream, the symmetry, the marks, and every way it can go wrong."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from crystaltool.asymunit import expand
from crystaltool.cli import relax
from crystaltool.cli.session import Record
from crystaltool.errors import CrystaltoolError
from crystaltool.io.cif import CifBlock, format_asym_unit, format_crystal, parse_block
from crystaltool.io.stream import iter_blocks
from crystaltool.verbs.relax import RelaxSettings
from tests.cli.one_process import Child, one_process
from tests.conftest import TOOL, tool_environment
from tests.forcefield.units import PERICLASE, ROCK_SALT, RUTILE, cubic, unit_of

AMERICIUM = format_asym_unit(unit_of(225, cubic(4.9), [("Am", "a", ())]), "americium")
HALITE = format_asym_unit(ROCK_SALT, "halite", ("1 elsewhere 1.0 | made",), {"target": "7", "energy_per_atom": "99"})
LISTED_RUTILE = format_crystal(expand(RUTILE), "rutile")
COINCIDING = format_asym_unit(
    unit_of(1, cubic(5.0), [("Na", "a", (0.1, 0.1, 0.1)), ("Cl", "a", (0.1, 0.1, 0.12))]), "coinciding"
)
TRUNCATED = "data_truncated\n_cell_length_a 5\n\n"
STREAM = HALITE + AMERICIUM + TRUNCATED + LISTED_RUTILE + COINCIDING


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    """One process for the whole module: it loads the weights once."""
    with one_process() as running:
        yield running


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--forcefield", "lammps"], "no force field 'lammps', expected one of: chgnet"),
        (["--fmax", "0"], "--fmax is 0 eV/A, expected a positive number"),
        (["--max-steps", "-1"], "--max-steps"),
    ],
)
def test_wrong_options_are_one_line_and_exit_2(
    child: Child, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "in.cif").write_text(HALITE)
    ended = child.run(tmp_path, "relax", *arguments, "in.cif")
    assert ended.code == 2 and ended.out == ""
    assert message in ended.err and ended.err.count("\n") == 1


def test_missing_extra_is_one_line_and_exit_2(tmp_path: Path) -> None:
    (tmp_path / "in.cif").write_text(HALITE)
    with one_process("import importlib.util; importlib.util.find_spec = lambda name, package=None: None") as bare:
        ended = bare.run(tmp_path, "relax", "in.cif")
    assert ended.code == 2 and ended.out == "" and ended.err.count("\n") == 1
    assert "install it with: pip install 'crystaltool[mlip]'" in ended.err


pytest.importorskip("chgnet", reason="the mlip extra is not installed")


def read(path: Path) -> dict[str, CifBlock]:
    blocks = list(iter_blocks([str(path)]))
    assert all(isinstance(block, CifBlock) for block in blocks)
    return {block.name: block for block in blocks}


def operations_miss(block: CifBlock) -> float:
    """Farthest that a written operation carries an atom from the nearest like atom, in Angstrom."""
    crystal, worst = block.crystal, 0.0
    for rotation, translation in zip(block.rotations, block.translations, strict=True):
        apart = (crystal.frac_coords @ rotation.T + translation)[:, None] - crystal.frac_coords
        distance = np.linalg.norm((apart - np.round(apart)) @ crystal.lattice, axis=2)
        distance[crystal.numbers[:, None] != crystal.numbers] = np.inf
        worst = max(worst, float(distance.min(axis=1).max()))
    return worst


@pytest.fixture(scope="module")
def relaxed(child: Child, tmp_path_factory) -> tuple[int, Path, str]:
    """Exit code, output file and messages of the whole stream, one process."""
    folder = tmp_path_factory.mktemp("relaxed")
    (folder / "in.cif").write_text(STREAM)
    ended = child.run(folder, "relax", "--no-provenance", "-o", "out.cif", "in.cif")
    return ended.code, folder / "out.cif", ended.err


def test_good_blocks_are_relaxed_and_bad_ones_reported(relaxed: tuple[int, Path, str]) -> None:
    code, path, messages = relaxed
    blocks = read(path)
    assert code == 2 and list(blocks) == ["halite", "rutile"]
    assert [line.split(": ERROR, ")[1] for line in messages.splitlines() if ": WARNING, " not in line] == [
        "CHGNet has no parameters for Am (Z = 95), it ends at Pu (Z = 94)",
        "no _cell_length_b, the cell is missing",
        "two atoms are closer than 0.5 A, not a structure to relax",
    ]
    assert "data_americium" in messages and "in.cif(" in messages
    for block, steps in zip(blocks.values(), (3, 8), strict=True):
        found = block.properties
        assert found["relax_converged"] == "yes" and int(found["relax_steps"]) <= steps
        assert float(found["max_force"]) < 0.05 and float(found["max_stress"]) < 0.1
        assert operations_miss(block) < 1e-6
    assert blocks["halite"].crystal.lattice[0, 0] == pytest.approx(5.69, abs=0.04)
    assert float(blocks["halite"].properties["energy_per_atom"]) == pytest.approx(-3.668, abs=0.005)
    assert blocks["halite"].properties["target"] == "7"
    assert blocks["halite"].history == ()  # --no-provenance: also not what others did
    assert [blocks[name].declared_group for name in ("halite", "rutile")] == [225, 136]


def test_two_workers_write_the_same_bytes(relaxed: tuple[int, Path, str], child: Child, tmp_path: Path) -> None:
    code, path, _ = relaxed
    (tmp_path / "in.cif").write_text(STREAM)
    assert child.run(tmp_path, "relax", "--jobs", "2", "--no-provenance", "-q", "-o", "out.cif", "in.cif").code == code
    assert (tmp_path / "out.cif").read_bytes() == path.read_bytes()


def test_what_does_not_converge_is_written_marked_and_warned_about(child: Child, tmp_path: Path) -> None:
    (tmp_path / "in.cif").write_text(HALITE)
    ended = child.run(tmp_path, "relax", "--max-steps", "1", "-o", "out.cif", "in.cif")
    assert ended.code == 0
    block = read(tmp_path / "out.cif")["halite"]
    assert block.properties["relax_converged"] == "no" and block.properties["relax_steps"] == "1"
    assert "data_halite: WARNING, not converged in 1 steps" in ended.err and ended.err.count("\n") == 1
    assert len(block.history) == 2
    assert block.history[1].startswith("2 crystaltool ") and block.history[1].endswith("| chgnet 0.4.2 model 0.3.0")
    assert " | relax --max-steps 1 -o " in block.history[1]


def test_fixed_cell_and_freedom_from_symmetry(child: Child, tmp_path: Path) -> None:
    (tmp_path / "in.cif").write_text(LISTED_RUTILE)
    assert child.run(tmp_path, "relax", "--fixed-cell", "--no-keep-symmetry", "-o", "out.cif", "in.cif").code == 0
    before, after = parse_block(LISTED_RUTILE), read(tmp_path / "out.cif")["rutile"]
    np.testing.assert_allclose(after.crystal.lattice, before.crystal.lattice, atol=1e-7)
    assert after.declared_group == 1 and len(after.site_numbers) == 6
    assert np.abs(after.crystal.frac_coords - before.crystal.frac_coords).max() > 1e-4


def test_declared_group_is_kept_where_a_detector_finds_a_higher_one(child: Child, tmp_path: Path) -> None:
    lower = format_asym_unit(unit_of(216, cubic(4.21), [("Mg", "a", ()), ("O", "b", ())]), "zinc-blende-like")
    assert parse_block(lower).crystal.n_atoms == parse_block(format_asym_unit(PERICLASE, "x")).crystal.n_atoms
    (tmp_path / "in.cif").write_text(lower)
    assert child.run(tmp_path, "relax", "-o", "out.cif", "in.cif").code == 0
    assert read(tmp_path / "out.cif")["zinc-blende-like"].declared_group == 216


def test_killed_in_the_middle_leaves_whole_blocks_that_a_resumed_run_keeps(child: Child, tmp_path: Path) -> None:
    arguments = ["--no-provenance", "-o", str(tmp_path / "out.cif")]
    process = subprocess.Popen(
        [*TOOL, "relax", *arguments],
        cwd=tmp_path,
        env=tool_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    periclase = format_asym_unit(PERICLASE, "periclase")
    process.stdin.write((HALITE + LISTED_RUTILE[:200]).encode())  # the stream stops within the second block
    process.stdin.flush()
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not any(p.stat().st_size > 3000 for p in tmp_path.glob(".out.cif*")):
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    assert not (tmp_path / "out.cif").exists()
    (partial,) = tmp_path.glob(".out.cif*")
    first = partial.read_text()
    assert list(read(partial)) == ["halite"] and first.endswith("\n\n")
    (tmp_path / "in.cif").write_text(HALITE + periclase)
    assert child.run(tmp_path, "relax", *arguments, "--resume", tmp_path / "in.cif").code == 0
    assert (tmp_path / "out.cif").read_text().startswith(first)
    assert list(read(tmp_path / "out.cif")) == ["halite", "periclase"]


def test_a_worker_raises_only_expected_errors_for_broken_text() -> None:
    from crystaltool.io.stream import RawBlock

    settings = RelaxSettings("chgnet", max_steps=5)
    for text in (TRUNCATED, "data_x\n", "nonsense", AMERICIUM[:400]):
        with pytest.raises(CrystaltoolError):
            relax.relax_block(settings, Record(None, None), RawBlock("-", 1, "x", text))
