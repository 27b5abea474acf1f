"""Options of `crystaltool sample symmcd` that say what every sample must be, and the request that they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

if TYPE_CHECKING:
    from crystaltool.cli.session import Session
    from crystaltool.models.symmcd.request import Request
    from crystaltool.models.symmcd.templates import Templates

TRAINING = "train"
"""The word for the templates of the training data, in place of a file."""

TARGET, NEW_TEMPLATE, NO_TARGET = "e_above_hull", "new_template", "none"
"""What a crystal's sites can aim at, and the word for aiming at nothing."""

NAMES = (
    "space_group",
    "elements",
    "require",
    "exclude",
    "formula",
    "n_atoms",
    "primitive",
    "n_elements",
    "template",
)
"""The conditions, as `Request` calls them."""

SpaceGroups = Annotated[
    Optional[list[str]],  # noqa: UP045 -- typer evaluates these at run time
    typer.Option(
        "--sg",
        metavar="GROUP",
        help="Space group, number or Hermann-Mauguin symbol; repeat it to take several in turn."
        " Without it groups are drawn as often as they occur in the training data.",
    ),
]
Elements = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--elements", metavar="Li,Fe,O", help="No other elements than these. symmcd only."),
]
Require = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--require", metavar="Li", help="All of these elements. symmcd only."),
]
Exclude = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--exclude", metavar="Pb,Cd,Hg", help="None of these elements. symmcd only."),
]
Formula = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--formula",
        metavar="LiFePO4",
        help="Exactly this composition, any number of formula units in the cell. symmcd only.",
    ),
]
Atoms = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--n-atoms",
        metavar="10:40",
        help="Atoms in the conventional cell, a number or a range; either end may be left out. symmcd only.",
    ),
]
Primitive = Annotated[bool, typer.Option("--primitive", help="--n-atoms counts the primitive cell. symmcd only.")]
Kinds = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--n-elements", metavar="3", help="Different elements, a number or a range. symmcd only."),
]
Template = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--template",
        metavar="FILE|train",
        help="Space group and occupied Wyckoff positions of a crystal of FILE, or of one of the training data, each"
        " taken as often as it occurs. symmcd only.",
    ),
]


def read_target(text: str) -> tuple[tuple[str, Any], ...]:
    """The sampler's settings that `e_above_hull=0.05`, `e_above_hull=0,new_template=0` or `none` asks for.

    Raises:
        UsageError: another property, or no number.
    """
    from crystaltool.errors import UsageError
    from crystaltool.verbs.sample_symmcd import aim_of

    if text.strip() == NO_TARGET:
        return (("above_hull", ()),)
    pairs = [part.partition("=") for part in text.split(",")]
    try:
        target = {name.strip(): float(value) for name, _, value in pairs}
        if len(target) < len(pairs):
            raise ValueError
        return aim_of(target)
    except (ValueError, UsageError):
        raise UsageError(
            f"--target is {text!r}, expected {TARGET}=NUMBER (eV/atom), {TARGET}=NUMBER,{NEW_TEMPLATE}=NUMBER or"
            f" {NO_TARGET} of a symmcd model"
        ) from None


def read_request(session: Session, checkpoint: Path, wishes: Mapping[str, Any]) -> Request:
    """The request that the options make.

    Args:
        session: reports what of a file of templates cannot be read.
        checkpoint: folder of the model, with the templates of its training data.
        wishes: options by the names of `Request`, None where not given; `template` is `train` or a file.

    Raises:
        UsageError, SymmetryError: options that are wrong or contradict each other.
        CheckpointError: the training data's templates are asked for, and the checkpoint has none.
        InputError: the file holds no structure.
    """
    from crystaltool.models.symmcd.request import Request
    from crystaltool.models.symmcd.templates import read_templates

    words = {name: value for name, value in wishes.items() if value is not None}
    template = words.pop("template", None)
    request = Request.parse(**words)
    if template is None:
        return request
    found = read_templates(checkpoint) if template == TRAINING else templates_of(session, template)
    return replace(request, template=found)


def templates_of(session: Session, path: str) -> Templates:
    """The templates of a file of structures, symmetry detected as in the training data.

    Raises:
        InputError: it holds none.
    """
    from crystaltool.asymunit import reduce
    from crystaltool.errors import CrystaltoolError, InputError
    from crystaltool.evaluation.templates import TEMPLATE_SYMPREC
    from crystaltool.io.hdf5 import read_asym_units
    from crystaltool.models.symmcd.templates import count_templates, table_templates

    if path.lower().endswith((".h5", ".hdf5")):
        found = table_templates(read_asym_units(path))
    else:
        units = []
        for block in session.blocks([path]):
            try:
                unit = reduce(block.crystal, TEMPLATE_SYMPREC)
            except CrystaltoolError as error:
                session.bad(str(error), block)
            else:
                units.append((unit.group, unit.positions.tolist()))
        found = count_templates(units)
    if not found:
        raise InputError(f"--template {path}: holds no structure")
    return found
