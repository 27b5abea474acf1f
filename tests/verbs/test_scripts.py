"""The scripts of README and docs/python.md run as they are printed, on small inputs and small models."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from crystaltool.io.cif import format_crystal
from tests.conftest import ROOT, tool_environment
from tests.forcefield.units import PERICLASE, ROCK_SALT, RUTILE
from tests.models.tiny import TOML
from tests.mof.structures import curated

SMALLER = {
    r"sample\(20, space_group=225, seed=1\)": "sample(2, space_group=225, seed=1)",
    r"sample\(20, target": "sample(2, draws=2, target",
    r"sample\(10, elements": "sample(1, steps=10, elements",
    r"sample\(10, seed=0\)": "sample(2, seed=0, steps=3, attempts=1)",
    r"epochs=100": 'epochs=1, config="tiny.toml", device="cpu"',
}
"""Numbers of the printed scripts, and those of the tests."""


def scripts() -> dict[str, str]:
    found = {}
    text = (ROOT / "docs" / "python.md").read_text()
    for title, code in re.findall(r"(?m)^## (.*)\n+```python\n((?:.*\n)*?)```", text):
        found[title] = code
    readme = (ROOT / "README.md").read_text().split("## From Python")[1].split("\n## ")[0]
    found["README"] = "".join(line[4:] + "\n" for line in readme.splitlines() if line.startswith("    ") or not line)
    return found


def test_there_is_a_script_for_each_use_of_ten_lines_or_so() -> None:
    found = scripts()
    assert set(found) >= {
        "My folder of CIFs to asymmetric units",
        "Sample, relax, check, to ASE",
        "Fragment and embed MOFs",
        "Train on a small set",
        "README",
    }
    assert all(len(code.strip().splitlines()) <= 12 for title, code in found.items() if title != "README")


@pytest.mark.slow
@pytest.mark.parametrize("title", scripts())
def test_the_script_runs(title: str, tmp_path: Path) -> None:
    pytest.importorskip("chgnet", reason="the mlip extra is not installed")
    import crystaltool as ct

    (tmp_path / "folder").mkdir()
    for name, unit in (("salt", ROCK_SALT), ("rutile", RUTILE), ("periclase", PERICLASE)):
        ct.write(ct.Structure(unit, name=name), tmp_path / "folder" / f"{name}.cif")
    ct.write(ct.Structure(RUTILE, name="more"), tmp_path / "more.cif.gz")
    names = ("MIL-53", "MIL-47")
    (tmp_path / "mofs.cif").write_text("".join(format_crystal(curated()[name], name) for name in names))
    (tmp_path / "tiny.toml").write_text(TOML)
    code = scripts()[title]
    for pattern, smaller in SMALLER.items():
        code = re.sub(pattern, smaller, code)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=tool_environment(), capture_output=True, text=True, timeout=1200
    )
    assert done.returncode == 0, done.stderr
    expected = {
        "My folder of CIFs to asymmetric units": "rutile O2 Ti space group 136",
        "Sample, relax, check, to ASE": "[",
        "Fragment and embed MOFs": "MIL-53",
        "Train on a small set": "<Structure symmcd-sg",
        "README": "more O2 Ti 136",
    }
    assert expected.get(title, "") in done.stdout
