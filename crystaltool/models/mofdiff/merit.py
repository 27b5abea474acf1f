"""What a filled net is worth to a target: by the atoms where they stand, else by what the heads foretell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.measure.adsorption.estimate import SCALE, estimated_uptakes
from crystaltool.measure.adsorption.gases import GASES
from crystaltool.models.mofdiff.aimed import Merit
from crystaltool.models.mofdiff.model import MOFDiff
from crystaltool.models.mofdiff.nets_first import Ranked
from crystaltool.models.mofdiff.properties import predict_mofs
from crystaltool.models.mofdiff.targets import Target

ESTIMATED = {"co2_wc": (1.0, 0.1), "co2_015": (0.15,)}
"""Properties that are estimated from the atoms: pressures in bar of the uptake of CO2, and of one to take off it."""


def capacity(crystal: Crystal, pressures: Sequence[float]) -> float:
    """Uptake at the first pressure less that at the second, mmol/g at 298 K; minus infinity if it cannot be told."""
    try:
        uptakes = estimated_uptakes(crystal, GASES["CO2"], pressures)
    except InputError:
        return -np.inf
    return SCALE * (uptakes[0] - sum(uptakes[1:]))


def merit_of(target: Target, model: MOFDiff) -> Merit:
    """The larger the better: the property itself, or how near it is to the value that is asked for."""

    def merit(fillings: Sequence[Ranked]) -> list[float]:
        if target.name in ESTIMATED:
            values = [capacity(one.filling.crystal(), ESTIMATED[target.name]) for one in fillings]
        else:
            values = [row[target.name] for row in predict_mofs(model, [one.filling.mof for one in fillings])]
        return values if target.value is None else [-abs(value - target.value) for value in values]

    return merit
