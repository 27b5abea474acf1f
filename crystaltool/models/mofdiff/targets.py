"""Properties to aim at: what the user asks for, and the latent that the heads promise it of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from crystaltool.errors import UsageError
from crystaltool.models.mofdiff.model import MOFDiff
from crystaltool.numerals import finite_number

MAX = "max"


@dataclass(frozen=True)
class Target:
    """A property to aim at: a value, or as large as can be (`value` is None)."""

    name: str
    value: float | None


def parse_target(text: str, names: Sequence[str]) -> Target:
    """`co2_wc=3.0` or `co2_wc=max`.

    Raises:
        UsageError: another form, a property that the model does not know, a value that is no finite number.
    """
    if not names:
        raise UsageError(f"--target {text!r}: the model predicts no property")
    name, sign, value = text.partition("=")
    if not sign or name not in names:
        raise UsageError(f"--target {text!r}, expected PROPERTY=VALUE with a property among {', '.join(names)}")
    if value == MAX:
        return Target(name, None)
    number = finite_number(value)
    if number is None:
        raise UsageError(f"--target {text!r}, expected a number or {MAX!r}")
    return Target(name, number)


def choose_latent(model: MOFDiff, z: Tensor, target: Target | None) -> Tensor:
    """Of several latents of each item the one whose property is best; (n, draws, Z) -> (n, Z)."""
    if target is None:
        return z[:, 0]
    column = model.config.properties.index(target.name)
    values = model.properties_of_latent(z.flatten(0, 1))[:, column].view(z.shape[:2])
    merit = values if target.value is None else -(values - target.value).abs()
    return z[torch.arange(len(z), device=z.device), merit.argmax(1)]
