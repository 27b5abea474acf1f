"""`crystaltool assemble`: CIF with bonds out; decodings, refusals, exit codes, workers, kills and resumes."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from crystaltool.io.cif import CifBlock
from crystaltool.io.stream import iter_blocks
from crystaltool.mof.blocks import CoarseMOF
from crystaltool.mof.table import tabulate, write_mofs
from tests.cli.one_process import Child, one_process
from tests.conftest import TOOL, tool_environment
from tests.mof.assemble.nets import HALF_BOND, cubic_net

QUICK = ("--starts", "4", "--device", "cpu", "--no-provenance")


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with one_process() as running:
        yield running


def net(name: str, edge: float = 16.0, **properties: float) -> CoarseMOF:
    """A primitive cubic net that assembles."""
    return replace(cubic_net(edge * np.eye(3)), name=name, properties=properties)


def unbalanced(name: str, **properties: float) -> CoarseMOF:
    """One rod short."""
    whole = net(name, **properties)
    return replace(whole, blocks=whole.blocks[:3], centres=whole.centres[:3])


def write(folder: Path, *mofs: CoarseMOF, name: str = "blocks.h5") -> Path:
    write_mofs(folder / name, tabulate(mofs), ("1 crystaltool 0.1.0 | sample mofdiff",))
    return folder / name


def blocks_of(path: Path) -> list[CifBlock]:
    found = list(iter_blocks([str(path)]))
    assert all(isinstance(block, CifBlock) for block in found)
    return [block for block in found if isinstance(block, CifBlock)]


def test_blocks_with_bonds_report_and_history(child: Child, tmp_path: Path) -> None:
    blocks = write(tmp_path, net("first", predicted_co2_wc=3.25), unbalanced("second"), net("third", 18.0))
    ended = child.run(tmp_path, "assemble", blocks, "-o", "out.cif", "--starts", "4", "--seed", "7")
    assert ended.code == 0, ended.err
    assert "data_second: WARNING, refused (parity): 6 connection points on metal blocks, 4 on the others" in ended.err
    assert "yield: 3 asked, 2 after parity (66.7 %), 2 after closure (66.7 %), 2 after overlap" in ended.err
    first, third = blocks_of(tmp_path / "out.cif")
    assert (first.name, third.name) == ("first", "third")
    assert first.bonds is not None
    assert len(first.bonds) == sum(len(block.bonds) for block in net("x").blocks) + 6
    lengths = first.bonds.lengths(first.crystal)
    assert np.isclose(lengths, 2 * HALF_BOND, atol=0.05).sum() >= 6
    assert lengths.max() < 2.1
    assert float(first.properties["closure_max"]) < 0.05
    assert first.properties["predicted_co2_wc"] == "3.25"
    assert {"angle_max", "contacts", "assembly_cost", "cell_strain", "centre_shift"} <= set(first.properties)
    assert "sample mofdiff" in first.history[0]
    assert "assemble" in first.history[1] and "item 0" in first.history[1]
    assert "item 2" in third.history[1]


def test_decodings_of_one_sample_give_one_block(child: Child, tmp_path: Path) -> None:
    blocks = write(
        tmp_path,
        unbalanced("a", candidate=0.0),
        net("a", candidate=1.0),
        unbalanced("b", candidate=0.0),
        unbalanced("b", candidate=1.0),
        net("c", candidate=0.0),
        net("c", 17.0, candidate=0.0),
    )
    ended = child.run(tmp_path, "assemble", blocks, "-o", "out.cif", *QUICK)
    assert ended.code == 0
    assert ended.err.count("refused") == 1
    assert "yield: 4 asked, 3 after parity" in ended.err
    assert "data_c: WARNING, name repeats, renamed to c.2" in ended.err
    found = blocks_of(tmp_path / "out.cif")
    assert [block.name for block in found] == ["a", "c", "c.2"]
    assert found[0].properties["candidate"] == "1"


def test_nothing_that_closes_is_exit_1(child: Child, tmp_path: Path) -> None:
    ended = child.run(tmp_path, "assemble", write(tmp_path, unbalanced("a"), unbalanced("b")), *QUICK)
    assert (ended.code, ended.out) == (1, "")
    assert "yield: 2 asked, 0 after parity (0.0 %)" in ended.err
    quiet = child.run(tmp_path, "assemble", "blocks.h5", "-q", *QUICK)
    assert (quiet.code, quiet.out, quiet.err) == (1, "", "")


def test_inputs_that_are_no_blocks_are_exit_2_and_the_rest_is_done(child: Child, tmp_path: Path) -> None:
    good = write(tmp_path, net("good"))
    (tmp_path / "text.cif").write_text("data_x\n")
    newer = write(tmp_path, net("newer"), name="newer.h5")
    with h5py.File(newer, "r+") as file:
        file.attrs["crystaltool_format"] = 99
    other = write(tmp_path, net("other"), name="other.h5")
    with h5py.File(other, "r+") as file:
        file.attrs["kind"] = "asym-units"
    empty = tmp_path / "empty.h5"
    write_mofs(empty, tabulate([]))
    ended = child.run(tmp_path, "assemble", "text.cif", newer, other, empty, "none.h5", good, "-o", "out.cif", *QUICK)
    assert ended.code == 2
    for words in (
        "not a readable HDF5 file, but text; `crystaltool fragment text.cif -o FILE.h5` makes one",
        "format version 99",
        "kind 'asym-units'",
        "no MOFs in it",
        "no such file",
    ):
        assert ended.err.count(words) == 1, ended.err
    assert "Traceback" not in ended.err
    assert [block.name for block in blocks_of(tmp_path / "out.cif")] == ["good"]


@pytest.mark.parametrize("value", ["0", "-1", "inf", "nan"])
def test_a_limit_that_is_none_is_refused(child: Child, tmp_path: Path, value: str) -> None:
    ended = child.run(tmp_path, "assemble", write(tmp_path, net("a")), "--max-closure", value)
    assert ended.code == 2
    assert "--max-closure is" in ended.err


def test_bytes_do_not_depend_on_batches_jobs_or_resumes(child: Child, tmp_path: Path) -> None:
    mofs = [net(f"n{k}", 15.0 + k) for k in range(4)]
    blocks = write(tmp_path, *mofs[:2], unbalanced("odd"), *mofs[2:])
    child.run(tmp_path, "assemble", blocks, "-o", "whole.cif", *QUICK)
    whole = (tmp_path / "whole.cif").read_bytes()
    child.run(tmp_path, "assemble", blocks, "-o", "single.cif", "--batch-size", "1", *QUICK)
    assert (tmp_path / "single.cif").read_bytes() == whole
    child.run(tmp_path, "assemble", blocks, "-o", "jobs.cif", "--batch-size", "2", "-j", "2", *QUICK)
    assert (tmp_path / "jobs.cif").read_bytes() == whole
    (tmp_path / ".part.cif.partial").write_bytes(whole[: int(0.6 * len(whole))])
    ended = child.run(tmp_path, "assemble", blocks, "-o", "part.cif", "--resume", *QUICK)
    assert ended.code == 0
    assert (tmp_path / "part.cif").read_bytes() == whole
    again = child.run(tmp_path, "assemble", blocks, "-O", "folder", *QUICK)
    assert again.code == 0
    assert len(list((tmp_path / "folder").glob("*.cif"))) == 4


def test_resume_with_only_refused_ones_left_is_exit_0(child: Child, tmp_path: Path) -> None:
    blocks = write(tmp_path, net("a"), unbalanced("odd"))
    child.run(tmp_path, "assemble", blocks, "-o", "out.cif", *QUICK)
    (tmp_path / ".part.cif.partial").write_bytes((tmp_path / "out.cif").read_bytes())
    ended = child.run(tmp_path, "assemble", blocks, "-o", "part.cif", "--resume", *QUICK)
    assert ended.code == 0
    assert (tmp_path / "part.cif").read_bytes() == (tmp_path / "out.cif").read_bytes()


def test_killed_in_the_middle_and_resumed(child: Child, tmp_path: Path) -> None:
    blocks = write(tmp_path, *(net(f"n{k}", 14.0 + 0.5 * k) for k in range(8)))
    options = ("--batch-size", "1", *QUICK)
    child.run(tmp_path, "assemble", blocks, "-o", "whole.cif", *options)
    partial = tmp_path / ".killed.cif.partial"
    running = subprocess.Popen(
        [*TOOL, "assemble", str(blocks), "-o", "killed.cif", *options],
        cwd=tmp_path,
        env=tool_environment(),
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while not (partial.exists() and partial.stat().st_size) and running.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not (tmp_path / "killed.cif").exists()
    assert partial.exists()
    ended = child.run(tmp_path, "assemble", blocks, "-o", "killed.cif", "--resume", *options)
    assert ended.code == 0
    assert (tmp_path / "killed.cif").read_bytes() == (tmp_path / "whole.cif").read_bytes()


def test_a_pipe_carries_the_file(tmp_path: Path) -> None:
    data = write(tmp_path, net("piped")).read_bytes()
    done = subprocess.run(
        [*TOOL, "assemble", *QUICK], input=data, capture_output=True, cwd=tmp_path, env=tool_environment(), timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"data_piped\n")
