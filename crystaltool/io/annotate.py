"""Adding values to a block as it came: its tags, loops and their order stay, only what is added or replaced changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import gemmi

from crystaltool.errors import InputError
from crystaltool.io.cif import PROPERTY_PREFIX, CifBlock
from crystaltool.io.cif_format import formula_sum, property_items, quote, record_items
from crystaltool.io.cif_tolerant import mend


def annotate(
    block: CifBlock,
    properties: Mapping[str, str],
    history: Sequence[str] = (),
    created: str | None = None,
    without: str | None = None,
) -> str:
    """The block's text with `_crystaltool_<key>` values set; formula and Z are added where it states none.

    Args:
        block: as read; its name is written, comments are not.
        properties: values by key in lower case; one that stands there already is replaced.
        history: lines for `_audit_update_record`, left as it is if there are none.
        created: date for `_audit_creation_date`, left as it is if `None`.
        without: values whose keys begin so are taken out first, `None` for none.

    Raises:
        InputError: if a property has no legal name, or a tag stands in a loop.
    """
    document = _document(block.text)
    found = document.sole_block()
    found.name = block.name
    if without is not None:
        _remove(found, PROPERTY_PREFIX + without)
    pairs = [*record_items(history, created), *property_items(properties)]
    formula, units = formula_sum(block.crystal.numbers)
    if block.formula_sum is None:
        pairs.append(("_chemical_formula_sum", quote(formula)))
    if block.formula_sum is None or block.formula_units_z is None:
        pairs.append(("_cell_formula_units_Z", str(units)))
    for tag, value in pairs:
        _set(found, tag, value)
    style = gemmi.cif.WriteOptions()
    style.compact = True  # no blank lines: one ends the block, and says that it is whole
    return document.as_string(style).rstrip("\n") + "\n\n"


def _document(text: str) -> gemmi.cif.Document:
    """The block as gemmi reads it, its syntax mended where the reader had to."""
    try:
        return gemmi.cif.read_string(text)
    except (ValueError, RuntimeError):
        return gemmi.cif.read_string(mend(text)[0])


def _remove(block: gemmi.cif.Block, beginning: str) -> None:
    for item in block:
        if item.pair is not None and item.pair[0].lower().startswith(beginning):  # ty: ignore[not-subscriptable]
            item.erase()


def _set(block: gemmi.cif.Block, tag: str, value: str) -> None:
    """Set a value in its place, or before the first loop: a block is whole when its last site is there."""
    known = block.find_pair(tag) is not None
    if not known and len(block.find_loop(tag)):
        raise InputError(f"{tag} is a column of a loop, expected a single value")
    block.set_pair(tag, value.removeprefix("\n"))
    loops = [index for index, item in enumerate(block) if item.loop is not None]
    if not known and loops:
        block.move_item(block.get_index(tag), loops[0])
