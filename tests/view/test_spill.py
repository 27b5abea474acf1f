"""Blocks come back from the temporary file as they were put there."""

import subprocess
import sys
from pathlib import Path

import pytest

from crystaltool.io.records import RawBlock
from crystaltool.view import spill as module
from crystaltool.view.spill import Spill

TEXTS = ["data_a\n", "", "data_µ \U0001f48e\n", "x" * 1000, "\udcff of bytes that are no UTF-8\r\n"]


@pytest.mark.parametrize("in_memory", [1, 2**20])
def test_blocks_come_back_in_any_order(monkeypatch: pytest.MonkeyPatch, in_memory: int) -> None:
    monkeypatch.setattr(module, "IN_MEMORY", in_memory)
    blocks = [RawBlock(f"f{k}.cif", k, f"b{k}", text, "written", True, "POSCAR") for k, text in enumerate(TEXTS)]
    spill = Spill()
    kept = [spill.put(block) for block in blocks[:3]]
    assert spill.get(kept[1]) == blocks[1]
    kept += [spill.put(block) for block in blocks[3:]]
    assert [spill.get(each) for each in reversed(kept)] == blocks[::-1]


PEAK = """
import atexit, re
from crystaltool.cli.main import main
atexit.register(lambda: print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]))
main()
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_sorting_everything_leaves_the_texts_out_of_memory(tmp_path: Path) -> None:
    text = "data_b{k}\n_cell_length_a 4\n_crystaltool_v {v}\n" + "# " + "x" * 20_000 + "\n"
    path, output = tmp_path / "many.cif", tmp_path / "out.cif"
    path.write_text("".join(text.format(k=k, v=(k * 7919) % 401) for k in range(10_000)))
    command = [sys.executable, "-c", PEAK, "view", "--sort", "v", "-q", "-o", str(output), str(path)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    assert output.stat().st_size == path.stat().st_size > 200e6
    assert int(done.stdout) < 180_000
