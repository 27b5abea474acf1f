"""The pore limiting diameter: the largest sphere that passes through the structure, by Zeo++ (package pyzeo).

Zeo++ may end the process on input that it dislikes: it runs in a child, a second or less a structure.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from crystaltool.checks.mof.coordination import Coordination
from crystaltool.checks.mof_rules import PORE_DIAMETER
from crystaltool.checks.verdict import Verdict, not_judged
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError, MissingExtraError
from crystaltool.units import SYMBOLS

MIN_DIAMETER = 2.4
"""A; MOFDiff (ICLR 2024) asks for a pore that water can enter."""

TIME_LIMIT = 120.0
"""Seconds for one structure."""

_CHILD = """
import sys
from pyzeo import AtomNetwork
AtomNetwork.read_from_V1(sys.argv[1], rad_flag=True).calculate_free_sphere_parameters(sys.argv[2])
"""


def require_zeo() -> None:
    """Raise unless pyzeo is installed.

    Raises:
        MissingExtraError: it is not.
    """
    if importlib.util.find_spec("pyzeo") is None:
        raise MissingExtraError("the pore diameter needs pyzeo: pip install 'crystaltool[pore]'")


def pore_diameters(crystal: Crystal) -> tuple[float, float]:
    """Diameters in Angstrom of the largest cavity and of the largest sphere that passes, Zeo++'s own radii.

    Raises:
        MissingExtraError: pyzeo is not installed.
        InputError: Zeo++ fails or takes too long.
    """
    require_zeo()
    rows = ["Unit cell vectors:"]
    rows += [
        f"{name}= {x:.10f} {y:.10f} {z:.10f}"
        for name, (x, y, z) in zip(("va", "vb", "vc"), crystal.lattice, strict=True)
    ]
    rows.append(str(crystal.n_atoms))
    coords = (crystal.frac_coords % 1.0) @ crystal.lattice
    rows += [
        f"{SYMBOLS[number]} {x:.8f} {y:.8f} {z:.8f}"
        for number, (x, y, z) in zip(crystal.numbers.tolist(), coords.tolist(), strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "structure.v1", Path(folder) / "structure.res"
        source.write_text("\n".join(rows) + "\n", encoding="ascii")
        command = [sys.executable, "-c", _CHILD, str(source), str(target)]
        try:
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIME_LIMIT, check=False)
        except subprocess.TimeoutExpired:
            raise InputError(f"Zeo++ took more than {TIME_LIMIT:g} s") from None
        fields = target.read_text(encoding="utf-8", errors="replace").split() if target.exists() else []
    try:
        largest, limiting = float(fields[1]), float(fields[2])
    except (IndexError, ValueError):
        raise InputError("Zeo++ found no diameters") from None
    return largest, limiting


def check_pore_diameter(coordination: Coordination, label: Callable[[int], str]) -> Verdict:
    """The largest sphere that passes has at least 2.4 A."""
    limit = f"pore limiting diameter at least {MIN_DIAMETER:g} A (Zeo++)"
    try:
        largest, limiting = pore_diameters(coordination.crystal)
    except InputError as error:
        return not_judged(PORE_DIAMETER, limit, str(error))
    message = f"largest cavity {largest:.2f} A"
    return Verdict(PORE_DIAMETER, limiting >= MIN_DIAMETER, limiting, limit, message)
