"""Partial charges through `relax` and `asym-unit --expand`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crystaltool.asymunit import expand
from crystaltool.checks.mof.eqeq import eqeq_charges
from crystaltool.cli import asym_unit
from crystaltool.cli.relax import relax_block
from crystaltool.cli.session import Record
from crystaltool.crystal import Crystal
from crystaltool.io.cif import format_crystal, parse_block
from crystaltool.io.stream import RawBlock
from crystaltool.mof.perception import perceive_bonds
from crystaltool.verbs.relax import RelaxSettings
from tests.forcefield.units import RUTILE
from tests.mof.structures import curated

NOTHING = Record(None, None)
CASE = Path(__file__).parents[1] / "data" / "cases" / "mof" / "14-charges-lost" / "input.cif"


def relaxed(text: str, charges: bool):
    settings = RelaxSettings("uff", max_steps=0, charges=charges)
    return parse_block(relax_block(settings, NOTHING, RawBlock("in.cif", 1, "x", text)).text)


def test_charges_of_the_input_survive() -> None:
    given = parse_block(CASE.read_text(encoding="utf-8"))
    block = relaxed(given.text, False)
    assert block.atom_charges is not None and np.abs(block.atom_charges - given.atom_charges).max() < 1e-6
    expanded = parse_block(asym_unit.rewrite(None, NOTHING, RawBlock("in.cif", 1, "x", given.text)).text)
    assert expanded.atom_charges is not None and np.abs(expanded.atom_charges - given.atom_charges).max() < 1e-6


def test_charges_of_eqeq_are_written_where_asked_for() -> None:
    text = format_crystal(curated()["MIL-53"], "x")
    assert relaxed(text, False).atom_charges is None
    block = relaxed(text, True)
    assert block.atom_charges is not None
    assert np.abs(block.atom_charges - eqeq_charges(block.crystal)).max() < 1e-4
    assert abs(block.atom_charges.sum()) < 1e-3


def test_without_provenance_no_history_is_left() -> None:
    text = format_crystal(curated()["MIL-53"], "x", history=("2026-01-01 crystaltool assemble",), created="2026-01-01")
    assert parse_block(text).history
    block = relaxed(text, False)
    assert block.history == () and ";" not in block.text


def reduced(text: str) -> str:
    return asym_unit.rewrite(0.01, NOTHING, RawBlock("in.cif", 1, "x", text)).text


def test_charges_go_along_where_equivalent_atoms_have_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """Rutile, every atom listed in an order of its own: two charges are left, one a site."""
    crystal = expand(RUTILE)
    order = np.random.default_rng(3).permutation(crystal.n_atoms)
    listed = Crystal(crystal.lattice, crystal.frac_coords[order] + 0.1, crystal.numbers[order])
    charges = np.where(listed.numbers == 22, 2.2, -1.1)
    block = parse_block(reduced(format_crystal(listed, "x", charges=charges)))
    assert block.declared_group == 136 and block.site_charges is not None
    assert dict(zip(block.site_numbers.tolist(), block.site_charges.tolist(), strict=True)) == {22: 2.2, 8: -1.1}
    assert not caplog.records
    charges[0] += 0.2
    block = parse_block(reduced(format_crystal(listed, "x", charges=charges)))
    assert block.site_charges is None
    assert "charges are left out: equivalent atoms differ by 0." in caplog.text


def test_stated_bonds_that_are_lost_are_said_and_expand_keeps_them(caplog: pytest.LogCaptureFixture) -> None:
    crystal = curated()["MIL-47"]
    bonds = perceive_bonds(crystal)
    text = format_crystal(crystal, "x", bonds=bonds)
    assert parse_block(reduced(text)).bonds is None
    assert f"{len(bonds)} stated bonds are left out" in caplog.text
    kept = parse_block(asym_unit.rewrite(None, NOTHING, RawBlock("-", 1, "x", text)).text).bonds
    assert kept is not None and len(kept) == len(bonds)
    caplog.clear()
    charged = format_crystal(crystal, "x", bonds=bonds, charges=np.zeros(crystal.n_atoms))
    asym_unit.reduce_chunk(0.01, (RawBlock("-", 1, "x", charged),))
    assert "stated bonds are left out" in caplog.text and "charges are left out" in caplog.text


def test_charges_that_an_asymmetric_unit_loses_are_said() -> None:
    pytest.importorskip("chgnet")
    crystal = expand(RUTILE)
    text = format_crystal(crystal, "x", charges=np.where(crystal.numbers == 22, 2.2, -1.1))
    done = relax_block(RelaxSettings("chgnet", max_steps=0), NOTHING, RawBlock("in.cif", 1, "x", text))
    assert "charges of the input are left out" in done.warning and parse_block(done.text).site_charges is None
