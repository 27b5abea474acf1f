"""Pores of a structure by Zeo++ (package pyzeo): diameters, accessible surface and volume.

Zeo++ may end the process on input that it dislikes, and writes to standard output: it runs in a child.
Willems, Rycroft, Kazi, Meza, Haranczyk, Microporous Mesoporous Mater. 149, 134 (2012).
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from crystaltool.crystal import Crystal
from crystaltool.errors import InputError, MissingExtraError
from crystaltool.units import SYMBOLS

TIME_LIMIT = 120.0
"""Seconds for the diameters of one structure, and for its surface and volume."""

PROBE_RADIUS = 1.82
"""A: half of the kinetic diameter of N2, the probe of the labels of QMOF and of BET surfaces."""

SURFACE_SAMPLES, VOLUME_SAMPLES = 500, 50_000
"""Random points on each atom, and in the cell."""

PORE_PROPERTIES = (
    "lcd",
    "pld",
    "accessible_surface_area",
    "accessible_surface_area_volumetric",
    "inaccessible_surface_area",
    "accessible_void_fraction",
    "n_channels",
    "pore_probe_radius",
)
"""Keys of what is measured; it belongs to one geometry, so a command that moves atoms must drop them."""

_CHILD = """
import sys
from pyzeo import AtomNetwork, surface_area, volume
network = AtomNetwork.read_from_V1(sys.argv[1], rad_flag=True)
probe = float(sys.argv[3])
if probe:
    open(sys.argv[2], "wb").write(
        surface_area(network, probe, probe, int(sys.argv[4])) + volume(network, probe, probe, int(sys.argv[5]))
    )
else:
    network.calculate_free_sphere_parameters(sys.argv[2])
"""


@dataclass(frozen=True)
class Pores:
    """Pores of a structure, atoms with Zeo++'s radii.

    Args:
        largest: diameter of the largest cavity (LCD) in A. limiting: of the largest sphere that passes (PLD).
        surface: accessible to the probe's centre, m2/g. surface_volumetric: m2/cm3. enclosed_surface: of pockets, m2/g.
        void_fraction: share of the cell that the probe's centre reaches. n_channels: that the probe passes.
        probe_radius: A.
    """

    largest: float
    limiting: float
    surface: float
    surface_volumetric: float
    enclosed_surface: float
    void_fraction: float
    n_channels: int
    probe_radius: float

    @property
    def properties(self) -> dict[str, str]:
        """The `_crystaltool_*` values."""
        values = (
            f"{self.largest:.3f}",
            f"{self.limiting:.3f}",
            f"{self.surface:.1f}",
            f"{self.surface_volumetric:.1f}",
            f"{self.enclosed_surface:.1f}",
            f"{self.void_fraction:.4f}",
            str(self.n_channels),
            f"{self.probe_radius:g}",
        )
        return dict(zip(PORE_PROPERTIES, values, strict=True))


def require_zeo() -> None:
    """Raise unless pyzeo is installed.

    Raises:
        MissingExtraError: it is not.
    """
    if importlib.util.find_spec("pyzeo") is None:
        raise MissingExtraError("the pore diameter needs pyzeo: pip install 'crystaltool[pore]'")


def measure_pores(crystal: Crystal, probe_radius: float = PROBE_RADIUS) -> Pores:
    """Diameters, accessible surface and volume.

    Args:
        crystal: every atom of the cell. probe_radius: A.

    Raises:
        MissingExtraError: pyzeo is not installed.
        InputError: Zeo++ fails or takes too long.
    """
    largest, limiting = pore_diameters(crystal)
    text = _zeo(crystal, probe_radius)

    def value(name: str) -> float:
        found = re.search(rf"(?:^|\s){re.escape(name)}: *(\S+)", text)
        try:
            return float(found[1]) if found else float("nan")
        except ValueError:
            return float("nan")

    numbers = [value(name) for name in ("ASA_m^2/g", "ASA_m^2/cm^3", "NASA_m^2/g", "AV_Volume_fraction")]
    channels = value("Number_of_channels")
    if not all(number >= 0 for number in (*numbers, channels)):
        raise InputError("Zeo++ found no surface and volume")
    return Pores(largest, limiting, *numbers, int(channels), probe_radius)


def pore_diameters(crystal: Crystal) -> tuple[float, float]:
    """Diameters in Angstrom of the largest cavity and of the largest sphere that passes, Zeo++'s own radii.

    Raises:
        MissingExtraError: pyzeo is not installed.
        InputError: Zeo++ fails or takes too long.
    """
    fields = _zeo(crystal, 0.0).split()
    try:
        return float(fields[1]), float(fields[2])
    except (IndexError, ValueError):
        raise InputError("Zeo++ found no diameters") from None


def _zeo(crystal: Crystal, probe_radius: float) -> str:
    """What Zeo++ writes: on diameters for a probe of radius 0, else on surface and volume; empty if it died."""
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
        numbers = [f"{probe_radius:g}", str(SURFACE_SAMPLES), str(VOLUME_SAMPLES)]
        command = [sys.executable, "-c", _CHILD, str(source), str(target), *numbers]
        try:
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIME_LIMIT, check=False)
        except subprocess.TimeoutExpired:
            raise InputError(f"Zeo++ took more than {TIME_LIMIT:g} s") from None
        return target.read_text(encoding="utf-8", errors="replace") if target.exists() else ""
