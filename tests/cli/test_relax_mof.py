"""`crystaltool relax` on metal-organic frameworks: which force field, which bonds, and what is written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from crystaltool.bonds import BondGraph
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.forcefield import registry
from crystaltool.io.cif import CifBlock, format_crystal, parse_block
from crystaltool.io.stream import iter_blocks
from crystaltool.lattice import matrix_to_parameters
from crystaltool.mof.perception import perceive_bonds
from crystaltool.structure import Structure
from crystaltool.verbs.relax import RelaxSettings, relaxed
from tests.cli.one_process import Child, one_process
from tests.mof.structures import curated

CASES = Path(__file__).resolve().parents[1] / "data" / "cases" / "mof"


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with one_process() as running:
        yield running


def read(path: Path) -> dict[str, CifBlock]:
    blocks = list(iter_blocks([str(path)]))
    assert all(isinstance(block, CifBlock) for block in blocks)
    return {block.name: block for block in blocks}


def bonds_of(block: CifBlock) -> BondGraph:
    assert block.bonds is not None
    return block.bonds


def test_the_table_of_force_fields() -> None:
    assert set(registry.FORCE_FIELDS) == {"uff", "chgnet"}


def goes_to_uff(block: CifBlock) -> bool:
    """Whether relax and check take a block for a framework; they ask one function."""
    asked: list[str] = []

    def by_bonds(*_: object) -> NoReturn:
        asked.append("uff")
        raise InputError("asked")

    def by_potential(name: str) -> NoReturn:
        asked.append(name)
        raise InputError("asked")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("crystaltool.verbs.relax._relaxed_on_bonds", by_bonds)
        patch.setattr("crystaltool.forcefield.registry.load_force_field", by_potential)
        with pytest.raises(InputError, match="asked"):
            relaxed(RelaxSettings(), None, Structure.from_block(block))
    return asked == ["uff"]


def test_what_is_a_mof() -> None:
    crystal = curated()["MIL-47"]
    assert goes_to_uff(parse_block(format_crystal(crystal, "mof")))
    no_hydrogen = Crystal(crystal.lattice, crystal.frac_coords, np.where(crystal.numbers == 1, 9, crystal.numbers))
    assert goes_to_uff(parse_block(format_crystal(no_hydrogen, "fluorinated")))
    salt = Crystal(np.eye(3) * 4.0, np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.array([55, 17]))
    assert not goes_to_uff(parse_block(format_crystal(salt, "salt")))
    assert goes_to_uff(parse_block(format_crystal(salt, "bonds", bonds=perceive_bonds(salt))))


def test_stated_bonds_are_kept_and_missing_ones_perceived(child: Child, tmp_path: Path) -> None:
    crystal = curated()["MIL-47"]
    graph = perceive_bonds(crystal)
    kept = np.ones(len(graph), dtype=bool)
    kept[[int(np.argmax(graph.lengths(crystal)))]] = False  # a graph that perception would not find
    stated = BondGraph(graph.pairs[kept], graph.images[kept], graph.orders[kept])
    shifted = Crystal(crystal.lattice, crystal.frac_coords + np.array([0.4, -0.3, 2.2]), crystal.numbers)
    own = {"target": "7", "closure_max": "0.1"}  # as of assemble, whose bonds are believed
    text = format_crystal(shifted, "stated", properties=own, bonds=stated) + format_crystal(crystal, "bare")
    (tmp_path / "in.cif").write_text(text)
    ended = child.run(tmp_path, "relax", "-o", "out.cif", "in.cif")
    assert ended.code == 0
    blocks = read(tmp_path / "out.cif")
    assert list(blocks) == ["stated", "bare"]
    for block in blocks.values():
        found = block.properties
        assert found["relax_forcefield"] == "uff" and found["relax_converged"] == "yes"
        assert float(found["max_force"]) < 0.05 and float(found["max_stress"]) < 0.1
        assert block.declared_group == 1 and block.history[-1].endswith("| uff4mof 1")
        assert bonds_of(block).lengths(block.crystal).max() < 2.6
    assert blocks["stated"].properties["target"] == "7"
    assert len(bonds_of(blocks["stated"])) == len(graph) - 1
    assert len(bonds_of(blocks["bare"])) == len(graph)
    orders = bonds_of(blocks["bare"]).orders
    assert set(orders.tolist()) == {0.0, 1.0, 1.5}


def test_stated_bonds_that_cannot_be_all_are_not_taken(child: Child, tmp_path: Path) -> None:
    """Without one bond of a linker, with one across a ring, and whole; a refusal where one asks for the stated ones."""
    crystal = curated()["MIL-47"]
    graph = perceive_bonds(crystal)
    lengths, carbon = graph.lengths(crystal), (crystal.numbers[graph.pairs] == 6).all(axis=1)
    lacking = np.flatnonzero(np.arange(len(graph)) != np.flatnonzero(carbon)[0])
    fewer = BondGraph(graph.pairs[lacking], graph.images[lacking], graph.orders[lacking])
    far = next([i, j] for i, j in combinations(np.flatnonzero(crystal.numbers == 6).tolist(), 2)
               if 2.4 < np.linalg.norm(crystal.cart_coords[i] - crystal.cart_coords[j]) < 3.0)  # fmt: skip
    more = BondGraph(
        np.concatenate([graph.pairs, [far]]), np.concatenate([graph.images, [[0, 0, 0]]]), np.append(graph.orders, 1.0)
    )
    made = {"lacking": fewer, "false": more, "whole": graph}
    text = "".join(format_crystal(crystal, name, bonds=bonds) for name, bonds in made.items())
    (tmp_path / "in.cif").write_text(text)
    ended = child.run(tmp_path, "relax", "--max-steps", "1", "-o", "out.cif", "in.cif")
    assert ended.code == 0
    assert f"1 of {len(graph)} bonds that the geometry shows are not stated (C" in ended.err
    assert f"1 of {len(graph) + 1} stated bonds are none (C" in ended.err
    assert ended.err.count("bonds are perceived instead") == 2
    for block in read(tmp_path / "out.cif").values():
        assert len(bonds_of(block)) == len(graph)
    refused = child.run(tmp_path, "relax", "--max-steps", "1", "--bonds", "stated", "-o", "two.cif", "in.cif")
    assert refused.code == 2 and refused.err.count("ERROR") == 2
    assert list(read(tmp_path / "two.cif")) == ["whole"]
    assert lengths.max() < 2.6


def test_a_great_change_of_volume_is_warned_of_and_every_change_written(child: Child, tmp_path: Path) -> None:
    crystal = curated()["MIL-47"]
    wide = Crystal(crystal.lattice * 1.06, crystal.frac_coords, crystal.numbers)  # 19 % more
    text = format_crystal(crystal, "near") + format_crystal(wide, "wide", bonds=perceive_bonds(crystal))
    (tmp_path / "in.cif").write_text(text)
    ended = child.run(tmp_path, "relax", "-o", "out.cif", "in.cif")
    assert ended.code == 0 and ended.err.count("WARNING") == 1
    assert re.search(r"data_wide: WARNING, the cell's volume changed by -1\d %, from \d+ to \d+ A\^3", ended.err)
    for name, start in (("near", crystal), ("wide", wide)):
        block = read(tmp_path / "out.cif")[name]
        cell = [float(value) for value in block.properties["relax_start_cell"].split()]
        np.testing.assert_allclose(cell, matrix_to_parameters(start.lattice), atol=1e-3)
        change = float(block.properties["relax_volume_change"])
        assert change == pytest.approx(100 * (block.crystal.volume / start.volume - 1), abs=0.02)


def test_lead_is_not_torn(child: Child, tmp_path: Path) -> None:
    """MOF-70, whose lead has a lone pair: with two of its six bonds its volume fell from 1462 to 995 A^3."""
    (tmp_path / "in.cif").write_text((CASES / "07-lead-bonds" / "input.cif").read_text())
    assert child.run(tmp_path, "relax", "-o", "out.cif", "in.cif").code == 0
    (block,) = read(tmp_path / "out.cif").values()
    assert len(bonds_of(block)) == len(perceive_bonds(parse_block((tmp_path / "in.cif").read_text()).crystal))
    assert abs(float(block.properties["relax_volume_change"])) < 15


def test_overlapping_atoms_without_bonds_are_one_line(child: Child, tmp_path: Path) -> None:
    crystal = curated()["MIL-47"]
    frac = crystal.frac_coords.copy()
    frac[1] = frac[0] + 0.01
    text = format_crystal(Crystal(crystal.lattice, frac, crystal.numbers), "clash") + format_crystal(crystal, "good")
    (tmp_path / "in.cif").write_text(text)
    ended = child.run(tmp_path, "relax", "-o", "out.cif", "in.cif")
    assert ended.code == 2 and list(read(tmp_path / "out.cif")) == ["good"]
    assert "data_clash: ERROR, atoms 1 and 2 overlap" in ended.err and ended.err.count("ERROR") == 1


def test_no_step_is_a_warning_and_the_structure_is_written(child: Child, tmp_path: Path) -> None:
    crystal = curated()["MIL-47"]
    (tmp_path / "in.cif").write_text(format_crystal(crystal, "mof"))
    ended = child.run(tmp_path, "relax", "--max-steps", "0", "-o", "out.cif", "in.cif")
    assert ended.code == 0 and "data_mof: WARNING, not converged in 0 steps" in ended.err
    block = read(tmp_path / "out.cif")["mof"]
    assert block.properties["relax_converged"] == "no"
    np.testing.assert_allclose(np.linalg.norm(block.crystal.lattice, axis=1), np.linalg.norm(crystal.lattice, axis=1))


def test_chgnet_takes_a_mof_with_bonds(child: Child, tmp_path: Path) -> None:
    pytest.importorskip("chgnet", reason="the mlip extra is not installed")
    crystal = curated()["MIL-47"]
    bonds = perceive_bonds(crystal)
    (tmp_path / "in.cif").write_text(format_crystal(crystal, "mof", bonds=bonds))
    ended = child.run(tmp_path, "relax", "--forcefield", "chgnet", "--max-steps", "1", "-o", "out.cif", "in.cif")
    assert ended.code == 0
    block = read(tmp_path / "out.cif")["mof"]
    assert block.properties["relax_forcefield"] == "chgnet" and block.declared_group == 1
    np.testing.assert_allclose(
        np.sort(bonds_of(block).lengths(block.crystal)), np.sort(bonds.lengths(crystal)), atol=0.3
    )


def test_what_lacks_its_extra_is_skipped_and_the_rest_done(tmp_path: Path) -> None:
    text = format_crystal(curated()["MIL-47"], "mof")
    halite = format_crystal(
        Crystal(np.eye(3) * 5.6, np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]]), np.array([55, 17])), "salt"
    )
    (tmp_path / "in.cif").write_text(halite + text + halite.replace("data_salt", "data_other"))
    with one_process(
        "import importlib.util; find = importlib.util.find_spec;"
        "importlib.util.find_spec = lambda name, package=None: None if name == 'chgnet' else find(name, package)"
    ) as bare:
        ended = bare.run(tmp_path, "relax", "--max-steps", "1", "-q", "-o", "out.cif", "in.cif")
    assert ended.code == 2 and list(read(tmp_path / "out.cif")) == ["mof"]
    for line, name in zip(ended.err.splitlines(), ("salt", "other"), strict=True):
        assert f"data_{name}: ERROR, force field chgnet is not installed" in line


def test_blocks_are_to_be_assembled_first(child: Child, tmp_path: Path) -> None:
    (tmp_path / "in.cif").write_text(format_crystal(curated()["MIL-53"], "mof"))
    assert child.run(tmp_path, "fragment", "-o", "blocks.h5", "in.cif").code == 0
    for command in ("relax", "check", "asym-unit"):
        ended = child.run(tmp_path, command, "blocks.h5")
        assert ended.code == 2 and "assemble it first (crystaltool assemble)" in ended.err
        assert ended.err.count("\n") == 1
