"""Partial charges through `relax` and `asym-unit --expand`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crystaltool.checks.mof.eqeq import eqeq_charges
from crystaltool.cli import asym_unit
from crystaltool.cli.relax import relax_block
from crystaltool.cli.session import Record
from crystaltool.io.cif import format_crystal, parse_block
from crystaltool.io.stream import RawBlock
from crystaltool.verbs.relax import RelaxSettings
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
