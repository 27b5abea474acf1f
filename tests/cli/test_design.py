"""The loop of docs/design.md runs as it is printed, on few samples."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, TOOL, tool_environment

SMALLER = {"-n 100": "-n 4 --draws 8", "1 2 3": "1 2", "pld > 3.3": "pld >= 0"}
"""Numbers of the printed loop, and those of the test: pores of a few MOFs may be narrow."""


@pytest.mark.slow
def test_the_loop_ends_with_simulated_valid_mofs(tmp_path: Path) -> None:
    pytest.importorskip("pyzeo", reason="the pore extra is not installed")
    found = re.search(r"```sh\n(.*?)```", (ROOT / "docs" / "design.md").read_text(), re.DOTALL)
    assert found
    text = found[1]
    for printed, smaller in SMALLER.items():
        assert printed in text
        text = text.replace(printed, smaller)
    command = f'crystaltool() {{ {" ".join(map(str, TOOL))} "$@"; }}\nset -e\n{text}'
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=tool_environment(), capture_output=True, text=True, timeout=3000
    )
    assert done.returncode == 0, done.stderr
    header, *rows = done.stdout.strip().splitlines()
    assert header.split(",")[:2] == ["name", "co2_working_capacity"] and rows
    amounts = [float(row.split(",")[1]) for row in rows]
    assert amounts == sorted(amounts, reverse=True) and amounts[0] > 0
    simulated = (tmp_path / "simulated.cif").read_text()
    assert "data_mofdiff-s1-" in simulated and "data_mofdiff-s2-" in simulated
