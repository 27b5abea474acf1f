"""Writes `elements.csv`: van der Waals radii and what charge equilibration knows of an element, from pymatgen.

Run `python -m crystaltool.checks.mof.build_elements` with pymatgen installed; a test compares the file with it.

Columns: atomic number; symbol; van der Waals radius in Angstrom (pymatgen `Element.van_der_waals_radius`, from the CRC
Handbook; empty where there is none); charge centre, the oxidation state about which EQeq expands an atom's energy; the
ionisation energies in eV on either side of it, that is the one that takes the atom to the centre (the electron affinity
where the centre is 0) and the next one (pymatgen: NIST); empty where NIST has none.
"""

from __future__ import annotations

from crystaltool.checks.build_elements import write_table
from crystaltool.units import SYMBOLS

COLUMNS = (
    "number",
    "symbol",
    "vdw_radius",
    "charge_centre",
    "lower_energy",
    "upper_energy",
)

CHARGE_CENTRES = {
    1: "Li Na K Rb Cs Fr Ag Tl",
    2: "Be Mg Ca Sr Ba Ra Cr Mn Co Ni Cu Zn Pd Cd Hg Pb Po",
    3: "Al Ga In Sc Y La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Ti V Fe Ru Rh Au Sb Bi Ac Am Cm Bk Cf Es",
    4: "Ge Zr Hf Sn Os Ir Pt Th Pu",
    5: "Nb Ta Pa Np",
    6: "Mo W U",
    7: "Tc Re",
}
"""Common oxidation states of metals, as Wilmer, Kim and Snurr choose them (J. Phys. Chem. Lett. 2012, 3, 2506);
actinides are added. All other elements are expanded about the neutral atom."""

NITROGEN_AFFINITY = -0.07
"""eV; N- is not bound, NIST has no value (the paper's)."""


def rows() -> list[tuple[str, ...]]:
    """The table's rows as text, one an element."""
    import warnings

    from pymatgen.core import Element

    centres = {symbol: charge for charge, symbols in CHARGE_CENTRES.items() for symbol in symbols.split()}
    found = []
    for number, symbol in enumerate(SYMBOLS[1:], start=1):
        element = Element(symbol)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            energies = list(element.ionization_energies or [])
            radius = element.van_der_waals_radius
            centre = centres.get(symbol, 0)
            affinity = (
                NITROGEN_AFFINITY
                if symbol == "N"
                else 0.0
                if centre
                else max(element.data.get("Electron affinity", 0.0), 0.0)
            )
        steps = [affinity, *energies]
        known = len(steps) > centre + 1 and steps[centre] is not None and steps[centre + 1] is not None
        pair = (f"{steps[centre]:.4f}", f"{steps[centre + 1]:.4f}") if known else ("", "")
        found.append((str(number), symbol, "" if radius is None else f"{float(radius):g}", str(centre), *pair))
    return found


if __name__ == "__main__":
    write_table(__file__, COLUMNS, rows())
