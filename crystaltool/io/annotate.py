"""Adding values to a block as it came: its tags, loops and their order stay, only what is added or replaced changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import gemmi
import numpy as np

from crystaltool.arrays import Float
from crystaltool.errors import InputError
from crystaltool.io.cif import PROPERTY_PREFIX, CifBlock, read_document
from crystaltool.io.cif_format import formula_sum, property_items, quote, record_items

CHARGE_TAG = "_atom_site_charge"


def annotate(
    block: CifBlock,
    properties: Mapping[str, str],
    history: Sequence[str] = (),
    created: str | None = None,
    drop: Callable[[str], bool] | None = None,
    charges: Float[np.ndarray, " n_atoms"] | None = None,
) -> str:
    """The block's text with `_crystaltool_<key>` values set; formula and Z are added where it states none.

    Args:
        block: as read; its name is written, comments are not.
        properties: values by key in lower case; one that stands there already is replaced.
        history: lines for `_audit_update_record`, left as it is if there are none.
        created: date for `_audit_creation_date`, left as it is if `None`.
        drop: tells by its key which of the block's properties is taken out if it is not set anew.
        charges: of the block's atoms in e, equal for those of one site, written as `_atom_site_charge`.

    Raises:
        InputError: if a property has no legal name, a tag stands in a loop, or listed sites repeat each other, so that
            charges have no place.
    """
    document = read_document(block.text)[0]
    found = document.sole_block()
    found.name = block.name
    for key in block.properties:
        if drop is not None and drop(key) and key not in properties:
            _erase(found, f"{PROPERTY_PREFIX}{key}")
    if charges is not None:
        _set_charges(found, block, charges)
    pairs = [*record_items(history, created), *property_items(properties)]
    formula, units = formula_sum(block.crystal.numbers)
    if block.formula_sum is None:
        pairs.append(("_chemical_formula_sum", quote(formula)))
    if block.formula_sum is None or block.formula_units_z is None:
        pairs.append(("_cell_formula_units_Z", str(units)))
    for tag, value in pairs:
        _set(found, tag, value)
    return _text(document)


def without_record(block: CifBlock) -> str:
    """The block's text without dates and history."""
    document = read_document(block.text)[0]
    found = document.sole_block()
    for tag in ("_audit_creation_date", "_audit_creation_method", "_audit_update_record"):
        if found.find_pair(tag) is not None:
            found.find([tag]).erase()
    return _text(document)


def _text(document: gemmi.cif.Document) -> str:
    style = gemmi.cif.WriteOptions()
    style.compact = True  # no blank lines: one ends the block, and says that it is whole
    return document.as_string(style).rstrip("\n") + "\n\n"


def _set(block: gemmi.cif.Block, tag: str, value: str) -> None:
    """Set a value in its place, or before the first loop: a block is whole when its last site is there."""
    known = block.find_pair(tag) is not None
    if not known and len(block.find_loop(tag)):
        raise InputError(f"{tag} is a column of a loop, expected a single value")
    block.set_pair(tag, value.removeprefix("\n"))
    loops = [index for index, item in enumerate(block) if item.loop is not None]
    if not known and loops:
        block.move_item(block.get_index(tag), loops[0])


def _erase(block: gemmi.cif.Block, tag: str) -> None:
    """Take out a single value, whatever the case of its tag."""
    for item in block:
        pair = item.pair
        if pair is not None and str(pair[0]).lower() == tag:  # ty: ignore[not-subscriptable]
            item.erase()


def _set_charges(found: gemmi.cif.Block, block: CifBlock, charges: Float[np.ndarray, " n_atoms"]) -> None:
    """A column of charges in the loop of atom sites."""
    loop = found.find_loop("_atom_site_fract_x").get_loop()
    first = np.array([int(np.argmax(block.atom_to_site == site)) for site in range(len(block.site_labels))])
    if loop is None or loop.length() != len(first):
        raise InputError("listed sites repeat each other: charges have no place in their loop")
    if CHARGE_TAG not in loop.tags:
        loop.add_columns([CHARGE_TAG], "?")
    column = found.find_loop(CHARGE_TAG)
    for row, charge in enumerate(charges[first].tolist()):
        column[row] = f"{charge:.6f}"
