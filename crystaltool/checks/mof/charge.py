"""The rule on charges: no atom carries more than EQeq should give it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.checks.mof.coordination import Coordination
from crystaltool.checks.mof.elements import CHARGE_CENTRE
from crystaltool.checks.mof.eqeq import eqeq_charges
from crystaltool.checks.verdict import Verdict
from crystaltool.errors import InputError

HIGH_CHARGE = 3.0
"""e; MOFChecker 0.9.6, which takes one-letter elements for hydrogen (2.0 asks for 4). With the right elements EQeq
gives zirconium in sound frameworks 3.2 e, molybdenum 4.8 e: an atom may carry its oxidation state if that is more."""

MAX_CHARGE_ATOMS = 3000
"""More atoms are not put into one dense system of equations: half a gigabyte and five seconds here."""


def charge_limits(numbers: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """The largest charge, plus or minus, of each atom in e."""
    return np.maximum(HIGH_CHARGE, np.abs(CHARGE_CENTRE[numbers]))


def check_high_charge(coordination: Coordination, label: Callable[[int], str]) -> Verdict:
    """The atom whose charge is highest for its limit decides; the value is its charge."""
    name, limit = "high-charge", f"EQeq charge within {HIGH_CHARGE:g} e or the oxidation state"
    crystal = coordination.crystal
    if crystal.n_atoms > MAX_CHARGE_ATOMS:
        message = f"not computed for {crystal.n_atoms} atoms, at most {MAX_CHARGE_ATOMS}"
        return Verdict(name, False, None, limit, message)
    try:
        charges = eqeq_charges(crystal)
    except InputError as error:
        return Verdict(name, False, None, limit, str(error))
    limits = charge_limits(crystal.numbers)
    worst = int(np.argmax(np.abs(charges) / limits))
    charge = float(charges[worst])
    message = f"{label(worst)} has {charge:+.2f} e of at most {limits[worst]:g}"
    return Verdict(name, bool(abs(charge) <= limits[worst]), charge, limit, message)
