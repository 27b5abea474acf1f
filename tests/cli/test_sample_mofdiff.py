"""`crystaltool sample` on a tiny MOFDiff: the same MOFs however it is run, and one line for every mistake."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from crystaltool.models.block_encoder.library import Library, write_library
from crystaltool.mof.blocks import NODE
from crystaltool.mof.table import MOFTable, read_mofs, write_mofs
from crystaltool.training.checkpoint import load_model, save_model
from tests.cli.one_process import Child, Ended, one_process
from tests.conftest import TOOL, tool_environment
from tests.models.mofdiff.tiny import small_library, small_table, trained_folder

QUICK = ("--steps", "5", "--device", "cpu", "-q")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a few training steps with few calls."""
    folder = trained_folder(tmp_path_factory.mktemp("model"))
    config, tensors = load_model(folder, "mofdiff")
    sampler = {"latent_steps": 3, "draws": 4, "candidate_temperature": 30.0}
    kept = {name: value for name, value in config.items() if name not in ("sha256", "sampler")}
    save_model(folder, {**kept, "sampler": sampler}, tensors)
    return folder


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with one_process() as running:
        yield running


@pytest.fixture
def sample(child: Child, model: Path, tmp_path: Path) -> Callable[..., Ended]:
    """Run the command in an empty folder: `sample("-n", 3, checkpoint=...)`."""

    def run(*arguments: str | Path | int, checkpoint: str | Path = model) -> Ended:
        return child.run(tmp_path, "sample", checkpoint, *map(str, arguments))

    return run


@pytest.fixture(scope="module")
def eight(child: Child, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight MOFs, one batch, one process."""
    folder = tmp_path_factory.mktemp("out")
    ended = child.run(folder, "sample", model, "-n", "8", "--seed", "3", "-o", "eight.h5", *QUICK)
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    return folder / "eight.h5"


def assert_same(first: MOFTable, second: MOFTable) -> None:
    assert first.names == second.names and first.identity_names == second.identity_names
    for name, values in first.arrays.items():
        assert values.tobytes() == second.arrays[name].tobytes(), name
    assert first.properties.keys() == second.properties.keys()
    for name, values in first.properties.items():
        assert values.tobytes() == second.properties[name].tobytes(), name


def assert_one_line(done: Ended, words: str) -> None:
    assert (done.code, done.out) == (2, ""), done.err
    assert done.err.startswith("crystaltool sample: ERROR, ") and done.err.count("\n") == 1 and words in done.err, (
        done.err
    )
    assert "internal error" not in done.err and "Traceback" not in done.err


# ---- what is written


def test_a_file_of_mofs_that_reads_back(eight: Path) -> None:
    table = read_mofs(eight)
    assert not table.posed and len(table) > 8
    names = list(table.names)
    # Decodings of one sample follow one another, best first, under one name.
    assert [name for i, name in enumerate(names) if i == 0 or name != names[i - 1]] == sorted(set(names))
    assert set(names) <= {f"mofdiff-s3-{i:06d}" for i in range(8)} and len(set(names)) >= 6
    candidate = table.properties["candidate"]
    for index, name in enumerate(names):
        expected = candidate[index - 1] + 1 if index and names[index - 1] == name else 0
        assert candidate[index] == expected
        mof = table[index]
        assert sum(b.n_connections if b.kind == NODE else -b.n_connections for b in mof.blocks) == 0
        assert {"predicted_co2_wc", "predicted_density", "decoding_score"} <= mof.properties.keys()


def test_each_block_is_written_once_as_the_library_has_it(eight: Path) -> None:
    table, library = read_mofs(eight), small_library()
    known = {library.block(row).identity for row in range(len(library))}
    assert table.n_blocks <= len(library) and set(table.identity_names) <= known
    used = np.unique(table.arrays["places/block"])
    assert used.tolist() == list(range(table.n_blocks))
    originals = [library.block(row) for row in range(len(library))]
    for block in map(table.block, range(table.n_blocks)):  # centred again after single precision: 1e-6 A
        same = [one for one in originals if one.identity == block.identity and one.kind == block.kind]
        assert any(np.abs(one.cart_coords - block.cart_coords).max() < 1e-5 for one in same)


def test_history_names_weights_and_command_unless_told_not_to(sample: Callable, eight: Path, tmp_path: Path) -> None:
    with h5py.File(eight) as file:
        history = file.attrs["history"]
    assert "sample" in history and "weights sha256:" in history and "--seed 3" in history
    assert sample("-n", 1, "-o", "bare.h5", "--no-provenance", *QUICK).code == 0
    with h5py.File(tmp_path / "bare.h5") as file:
        assert file.attrs["history"] == ""


@pytest.mark.parametrize("batch_size", [1, 3])
def test_batch_size_changes_nothing(sample: Callable, eight: Path, tmp_path: Path, batch_size: int) -> None:
    ended = sample("-n", 8, "--seed", 3, "--batch-size", batch_size, "-o", "out.h5", *QUICK)
    assert (ended.code, ended.err) == (0, "")
    assert_same(read_mofs(tmp_path / "out.h5"), read_mofs(eight))


def test_a_pipe_and_worker_processes_change_nothing(model: Path, eight: Path, tmp_path: Path) -> None:
    arguments = ["sample", str(model), "-n", "8", "--seed", "3", "--jobs", "2", "--batch-size", "4", *QUICK]
    done = subprocess.run([*TOOL, *arguments], capture_output=True, env=tool_environment(), cwd=tmp_path, timeout=300)
    assert (done.returncode, done.stderr) == (0, b"")
    (tmp_path / "piped.h5").write_bytes(done.stdout)
    assert_same(read_mofs(tmp_path / "piped.h5"), read_mofs(eight))


@pytest.mark.parametrize("nets", [False, True])
def test_shards_together_are_one_run_byte_for_byte(child: Child, model: Path, tmp_path: Path, nets: bool) -> None:
    """Joined by `fragment`."""
    words = (
        "sample",
        "mofdiff" if nets else model,
        "-n",
        "4" if nets else "7",
        "--seed",
        "3",
        "--no-provenance",
        "--device",
        "cpu",
        "-q",
    )
    words += () if nets else ("--steps", "5")
    assert child.run(tmp_path, *words, "-o", "whole.h5").code == 0
    names = [f"part{i}.h5" for i in (1, 2, 3)]
    for i, name in enumerate(names, start=1):
        assert child.run(tmp_path, *words, "-o", name, "--shard", f"{i}/3").code == 0
    whole, parts = read_mofs(tmp_path / "whole.h5"), [read_mofs(tmp_path / name) for name in names]
    assert sum((part.names for part in parts), ()) == whole.names and whole.has_nets == nets
    assert sum(part.n_blocks for part in parts) > whole.n_blocks
    ended = child.run(tmp_path, "fragment", *names, "--no-provenance", "-o", "joined.h5")
    assert (ended.code, ended.err) == (0, "")
    assert (tmp_path / "joined.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_candidates_are_at_most_what_is_asked_for(sample: Callable, eight: Path, tmp_path: Path) -> None:
    assert sample("-n", 8, "--seed", 3, "--candidates", 1, "-o", "one.h5", *QUICK).code == 0
    one, every = read_mofs(tmp_path / "one.h5"), read_mofs(eight)
    assert len(set(one.names)) == len(one) == len(set(every.names))
    first = [index for index in range(len(every)) if every.properties["candidate"][index] == 0]
    for index, row in enumerate(first):
        assert one[index].lattice.tobytes() == every[row].lattice.tobytes()
        assert [b.identity for b in one[index].blocks] == [b.identity for b in every[row].blocks]


def test_targets_raise_what_is_predicted(sample: Callable, tmp_path: Path) -> None:
    for name, extra in (("plain", ()), ("max", ("--target", "co2_wc=max", "--draws", 20))):
        assert sample("-n", 6, "-o", f"{name}.h5", "--candidates", 1, *extra, *QUICK).code == 0
    plain, best = (read_mofs(tmp_path / f"{name}.h5").properties["predicted_co2_wc"] for name in ("plain", "max"))
    assert best.mean() > plain.mean()


# ---- mistakes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--sg", "225"), "--sg does not go with mofdiff models"),
        (("--attempts", "2"), "--attempts does not go with mofdiff models"),
        (("-O", "d"), "--output-dir does not go with mofdiff models"),
        (("-o", "-", "--resume"), "--resume needs -o FILE"),
        (("--target", "co2_wc"), "expected PROPERTY=VALUE with a property among co2_wc, density"),
        (("--target", "pld=3"), "a property among co2_wc, density"),
        (("--target", "density=heavy"), "expected a number or 'max'"),
        (("--target", "density=nan"), "expected a number or 'max'"),
        (("--candidates", "0"), "'--candidates'"),
        (("--draws", "0"), "'--draws'"),
        (("--steps", "2"), "'--steps'"),
        (("-n", "0"), "'-n'"),
        (("--seed", str(2**63)), "the largest is 9223372036854775807"),
        (("--device", "gpu"), "expected auto, cpu or cuda:N"),
        (("--library", "none.h5"), "none.h5: no such file"),
        (("-o", "no/such/folder/a.h5"), "no directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_options_are_one_line_and_2(
    sample: Callable, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    output = () if "-o" in arguments or "-O" in arguments else ("-o", "out.h5")
    assert_one_line(sample(*arguments, *output), words)
    assert not (tmp_path / "out.h5").exists() and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("option", ["--net", "--metal", "--draws", "--library"])
def test_its_options_do_not_go_with_crystals(sample: Callable, option: str) -> None:
    assert_one_line(sample(option, "1", checkpoint="symmcd"), f"{option} does not go with symmcd models")


def test_a_terminal_is_refused(model: Path, tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    try:
        done = subprocess.run(
            [*TOOL, "sample", str(model), "-n", "1", *QUICK],
            stdout=follower,
            stderr=subprocess.PIPE,
            env=tool_environment(),
            cwd=tmp_path,
            text=True,
            timeout=300,
        )
    finally:
        os.close(follower)
        os.close(leader)
    assert done.returncode == 2 and "binary output to a terminal is refused" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_output_that_exists_is_kept(sample: Callable, tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_text("mine")
    assert_one_line(sample("-n", 1, "-o", "a.h5", *QUICK), "--overwrite")
    assert (tmp_path / "a.h5").read_text() == "mine"
    assert sample("-n", 2, "-o", "a.h5", "--overwrite", *QUICK).code == 0
    assert len(read_mofs(tmp_path / "a.h5")) >= 1


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    """A checkpoint to damage; each test has a path of its own, since a process keeps what it loaded."""
    shutil.copytree(model, tmp_path / "model", ignore=shutil.ignore_patterns("state.h5"))
    return tmp_path / "model"


def of_another_encoder(folder: Path) -> None:
    library = small_library()
    write_library(folder / "library.h5", Library(library.blocks, library.embeddings, library.occurrences, "f" * 64))


def flip_a_byte(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.safetensors").write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (flip_a_byte, "sha256"),
        (of_another_encoder, "of the encoder ffffffffffff, the embeddings are of eeeeeeeeeeee"),
        (lambda folder: (folder / "library.h5").unlink(), "no such file"),
        (lambda folder: (folder / "library.h5").write_text("CIF"), "not a readable HDF5"),
        (lambda folder: write_mofs(folder / "library.h5", small_table()), "no decoding library"),
        (lambda folder: (folder / "config.json").write_text("weights"), "not JSON"),
        (lambda folder: (folder / "config.json").write_text("{}"), "not a crystaltool checkpoint"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no such file"),
    ],
    ids=["flipped byte", "encoder", "no library", "text", "no embeddings", "not JSON", "empty config", "no weights"],
)
def test_damage_is_one_line_and_2(
    sample: Callable, copy: Path, tmp_path: Path, damage: Callable[[Path], object], words: str
) -> None:
    damage(copy)
    assert_one_line(sample("-n", 1, "-o", "out.h5", checkpoint=copy), words)
    assert not list(tmp_path.glob("*.h5")) and not list(tmp_path.glob(".*"))


def test_another_library_of_the_same_encoder_may_be_given(sample: Callable, model: Path, tmp_path: Path) -> None:
    shutil.copy(model / "library.h5", tmp_path / "mine.h5")
    for name, extra in (("own", ()), ("given", ("--library", "mine.h5"))):
        assert sample("-n", 2, "-o", f"{name}.h5", *extra, *QUICK).code == 0
    assert_same(read_mofs(tmp_path / "given.h5"), read_mofs(tmp_path / "own.h5"))
