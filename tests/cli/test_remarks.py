"""What readers remark, on standard error of the commands: said once, at its place, and never with `--quiet`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.io.blocks import halite

TEXT = (
    "data_global\n_journal_name_full X\n"
    + halite("odd").replace("_cell_length_a", "_space_group_IT_number 225\n_cell_length_a").replace("Na1 Na", "D1 D")
    + halite("fine")
)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_remarks_reach_standard_error_from_every_process(crystaltool: Callable, tmp_path: Path, jobs: str) -> None:
    (tmp_path / "in.cif").write_text(TEXT)
    done = crystaltool("asym-unit", "--expand", "-j", jobs, "in.cif")
    head = "crystaltool asym-unit: in.cif"
    assert done.returncode == 0 and done.stdout.count("data_") == 2
    said = sorted(done.stderr.splitlines())
    assert said == [
        f"{head}(1) data_global: NOTE, no cell and no atoms, passed over",
        f"{head}(3) data_odd: NOTE, site D1: an isotope of hydrogen, read as H",
        f"{head}(3) data_odd: WARNING, the 1 symmetry operations make space group 1, declared is 225; "
        "the operations count",
    ]


def test_quiet_hides_them_and_verbose_adds_details(crystaltool: Callable) -> None:
    mirror = halite().replace("'x,y,z'", "'x,y,z'\n'x,y,-z'").replace("Na1 Na 0 0 0", "Na1 Na 0 0 0.0004")
    done = crystaltool("asym-unit", "-q", stdin=TEXT)
    assert done.returncode == 0 and done.stderr == ""
    assert crystaltool("asym-unit", stdin=mirror).stderr == ""
    done = crystaltool("asym-unit", "-v", stdin=mirror)
    assert "NOTE, 1 site moved onto special positions, by 0.002 A at most (Na1)" in done.stderr
