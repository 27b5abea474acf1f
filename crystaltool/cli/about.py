"""What `--version` and `--citation` print."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from crystaltool import __version__

LIBRARIES = ("torch", "numpy", "gemmi", "moyopy", "spglib", "pymatgen")

CITATION = f"""\
@software{{crystaltool,
  title   = {{crystaltool: generate inorganic crystals and metal-organic frameworks}},
  version = {{{__version__}}},
  license = {{MIT}},
}}
@inproceedings{{levy2025symmcd,
  title     = {{{{SymmCD}}: Symmetry-Preserving Crystal Generation with Diffusion Models}},
  author    = {{Levy, Daniel and Panigrahi, Siba Smarak and Kaba, S{{\\'e}}kou-Oumar and Zhu, Qiang and Lee, Kin Long
               Kelvin and Galkin, Mikhail and Miret, Santiago and Ravanbakhsh, Siamak}},
  booktitle = {{International Conference on Learning Representations}},
  year      = {{2025}},
}}"""


def library_version(name: str) -> str:
    """Installed version of a distribution, `not installed` when it is absent; nothing is imported."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def version_text() -> str:
    """Versions of the tool, Python and the libraries that decide results, a line each."""
    lines = [f"crystaltool {__version__}", f"python {platform.python_version()}"]
    return "\n".join(lines + [f"{name} {library_version(name)}" for name in LIBRARIES])
