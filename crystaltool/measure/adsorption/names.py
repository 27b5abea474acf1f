"""Names of what `measure --adsorption` writes, apart from what measures, so that `relax` can drop it without that."""

from __future__ import annotations

import re

from crystaltool.measure.adsorption.gases import GASES

_KEY = re.compile(
    rf"({'|'.join(name.lower() for name in GASES)})_"
    r"(uptake_\w+|heat_\w+|(estimated_)?working_capacity(_\w+)?|henry(_error)?|temperature|charges|force_field|remark)"
)


ESTIMATED = "_estimated_"
"""In the names of what a formula gave in place of a simulation."""


def is_adsorption_key(key: str) -> bool:
    """Whether `Adsorption.properties` gives values of this name."""
    return _KEY.fullmatch(key) is not None
