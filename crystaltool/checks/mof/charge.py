"""The rule on charges: no atom carries more than EQeq should give it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.checks.mof.coordination import Coordination
from crystaltool.checks.mof.elements import CHARGE_CENTRE, HIGHEST_CHARGE
from crystaltool.checks.mof.eqeq import NoChargesError, eqeq_charges
from crystaltool.checks.verdict import Verdict, not_judged
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError

HIGH_CHARGE = 3.0
"""e; MOFChecker 0.9.6, which takes one-letter elements for hydrogen (2.0 asks for 4). With the right elements EQeq
gives zirconium in sound frameworks 3.2 e, molybdenum 4.8 e, silicon in SiF6 3.3 e: an atom may carry its oxidation
state if that is more."""

EQEQ_ERROR = 1.1
"""What EQeq gives too much: boron in carboranes has 3.1 to 3.2 e."""

HYDROGEN_LENGTHS = {5: 1.19, 6: 1.08, 7: 1.01, 8: 0.98}
"""A: B-H, C-H, N-H and O-H by neutrons (Allen and Bruno, Acta Cryst. 2010, B66, 380). X-rays see the electrons and put
hydrogens nearer; EQeq's energy has no minimum there."""

SHORTEST_HYDROGEN, MUCH_TOO_SHORT = 0.7, 0.05
"""A: hydrogens nearer than the first are wrong, those nearer than by neutrons by more than the second are moved."""

MAX_NAMED = 4

_HYDROGEN = 1


def charge_limits(numbers: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The largest charge, plus or minus, of each atom in e."""
    states = np.maximum(np.abs(CHARGE_CENTRE[numbers]), HIGHEST_CHARGE[numbers])
    return EQEQ_ERROR * np.maximum(HIGH_CHARGE, states)


def check_high_charge(coordination: Coordination, label: Callable[[int], str], limit: str = "") -> Verdict:
    """The atom whose charge is highest for its limit decides; the value is its charge."""
    name = "high-charge"
    crystal, n_moved = with_neutron_hydrogens(coordination)
    try:
        charges = eqeq_charges(crystal)
    except NoChargesError as error:
        return Verdict(name, False, None, limit, f"{error}{_named(coordination, error.atoms, label)}")
    except InputError as error:
        return not_judged(name, limit, str(error))
    limits = charge_limits(crystal.numbers)
    worst = int(np.argmax(np.abs(charges) / limits))
    charge = float(charges[worst])
    message = f"{label(worst)} has {charge:+.2f} e of at most {limits[worst]:g}"
    if n_moved:
        message += f"; {n_moved} hydrogens of X-ray distances moved to neutron distances"
    return Verdict(name, bool(abs(charge) <= limits[worst]), charge, limit, message)


def with_neutron_hydrogens(coordination: Coordination) -> tuple[Crystal, int]:
    """The crystal with hydrogens that X-rays have put too near moved outwards, and how many."""
    crystal = coordination.crystal
    cart = crystal.cart_coords
    n_moved = 0
    for atom in np.flatnonzero((crystal.numbers == _HYDROGEN) & (coordination.n_bonds == 1)).tolist():
        near = coordination.neighbours(atom)
        wanted = HYDROGEN_LENGTHS.get(int(crystal.numbers[near.atoms[0]]), 0.0)
        distance = float(near.distances[0])
        if SHORTEST_HYDROGEN <= distance < wanted - MUCH_TOO_SHORT:
            cart[atom] += near.vectors[0] * (1 - wanted / distance)
            n_moved += 1
    if not n_moved:
        return crystal, 0
    return Crystal(crystal.lattice, cart @ np.linalg.inv(crystal.lattice), crystal.numbers, crystal.name), n_moved


def _named(coordination: Coordination, atoms: tuple[int, ...], label: Callable[[int], str]) -> str:
    """` (H12 0.62 A from C5, ...)`: atoms and what each is nearest to."""
    first, second, distances = coordination.contacts
    texts = []
    for atom in atoms[:MAX_NAMED]:
        mine = np.flatnonzero((first == atom) | (second == atom))
        text = label(atom)
        if len(mine):
            nearest = mine[int(np.argmin(distances[mine]))]
            other = int(second[nearest] if first[nearest] == atom else first[nearest])
            text += f" {distances[nearest]:.2f} A from {label(other)}"
        texts.append(text)
    more = len(atoms) - MAX_NAMED
    return f" ({', '.join(texts)}{f', {more} more' if more > 0 else ''})" if texts else ""
