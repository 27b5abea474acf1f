"""`benchmarks/scale.py`: inputs under names of their own, runs that go on, and the powers of n that it states."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import scale
from crystaltool.io.stream import iter_blocks
from tests.checks.blocks import halite_text
from tests.forcefield.units import ROCK_SALT, RUTILE


def row(n: int, cpu: float) -> dict[str, float]:
    return {"n": n, "cpu": cpu}


def test_the_power_is_that_of_the_work_without_the_start() -> None:
    linear = [row(n, 3.0 + 0.002 * n) for n in scale.SIZES]
    assert scale.power(linear) == "n^1.00" and scale.slope(linear) == "2.00"
    square = [row(n, 1e-6 * n**2) for n in scale.SIZES]
    assert float(scale.power(square)[2:]) > 1.9
    assert scale.power(linear[:2]) == "" and scale.slope(linear[:1]) == ""


def test_blocks_repeat_under_names_of_their_own(tmp_path: Path) -> None:
    from crystaltool.asymunit import tabulate
    from crystaltool.io.hdf5 import write_asym_units

    units = tabulate([ROCK_SALT, RUTILE])
    write_asym_units(tmp_path / "units.h5", units, properties={"e_above_hull": np.array([0.0, 0.1])})
    inputs = scale.Inputs(tmp_path, tmp_path / "units.h5")
    for kind in ("units", "atoms"):
        blocks = list(iter_blocks([str(inputs.file(kind, 5))]))
        assert len({block.name for block in blocks}) == 5
        assert [block.crystal.n_atoms for block in blocks] == [8, 6, 8, 6, 8]
        assert (blocks[0].declared_group == 225) == (kind == "units")
    assert blocks[1].properties["e_above_hull"] == "0.10000"


def test_what_was_measured_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def run(words: tuple[str, ...], source: Path, folder: Path) -> dict[str, float]:
        calls.append(words)
        if len(calls) == 3:
            raise KeyboardInterrupt
        n = int(source.name)
        return {"cpu": 0.01 * n, "wall": 1.0, "mb": 80.0}

    class Inputs:
        reference = unique = Path("100000")

        def file(self, kind: str, n: int) -> Path:
            return Path(str(n))

    monkeypatch.setattr(scale, "run", run)
    with pytest.raises(KeyboardInterrupt):
        scale.measure_all(scale.Rows(tmp_path / "rows.jsonl"), Inputs(), tmp_path, 300.0)
    scale.measure_all(scale.Rows(tmp_path / "rows.jsonl"), Inputs(), tmp_path, 300.0)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    measured = [(each["stage"], each["n"]) for each in rows]
    assert len(measured) == len(set(measured)) == len(calls) - 1
    assert (next(iter(scale.STAGES)), 10_000) in measured  # 100 s
    assert not any(n == 100_000 for stage, n in measured if stage in scale.STAGES)  # 1,000 s
    text = scale.report(scale.Rows(tmp_path / "rows.jsonl"))
    assert "| `check` | 10.0 | 80 | 100.0 | 80 |  |  | 10.00 |" in text


def test_a_command_is_measured_and_a_failing_one_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "in.cif").write_text(halite_text("one"))
    found = scale.run(("view",), tmp_path / "in.cif", tmp_path)
    assert 0 < found["cpu"] < 60 and found["mb"] > 10  # a forked child begins with this process's peak
    with pytest.raises(SystemExit, match="ended with"):
        scale.run(("view", "--shard", "nonsense"), tmp_path / "in.cif", tmp_path)
