"""`crystaltool sample` on a tiny model: the same bytes however it is run or resumed, and one line for every mistake."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import gemmi
import numpy as np
import pytest

from crystaltool.io.cif import CifBlock
from crystaltool.io.stream import iter_blocks
from crystaltool.training.checkpoint import load_model, save_model
from tests.cli.one_process import Child, Ended, one_process
from tests.conftest import TOOL, tool_environment
from tests.models.tiny import trained_folder

QUICK = ("--steps", "5", "--attempts", "1", "--device", "cpu", "--no-provenance")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a few training steps."""
    return trained_folder(tmp_path_factory.mktemp("model"))


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
def twenty(child: Child, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty structures, one batch, one process."""
    folder = tmp_path_factory.mktemp("out")
    ended = child.run(folder, "sample", model, "-n", "20", "--seed", "3", "-o", "twenty.cif", *QUICK)
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    return folder / "twenty.cif"


def assert_one_line(done: Ended, words: str) -> None:
    code, out, err = done.code, done.out, done.err
    assert (code, out) == (2, ""), err
    assert err.startswith("crystaltool sample: ERROR, ") and err.count("\n") == 1 and words in err, err
    assert "internal error" not in err and "Traceback" not in err


# ---- the same bytes


def test_names_count_items(twenty: Path) -> None:
    blocks = list(iter_blocks([str(twenty)]))
    assert all(isinstance(block, CifBlock) for block in blocks)
    for index, block in enumerate(blocks):
        assert block.name == f"symmcd-sg{block.declared_group}-s3-{index:06d}"


@pytest.mark.parametrize("batch_size", [1, 3, 17])
def test_batch_size_changes_no_byte(sample: Callable, twenty: Path, batch_size: int) -> None:
    ended = sample("-n", 20, "--seed", 3, "--batch-size", batch_size, *QUICK)
    code, out, err = ended.code, ended.out, ended.err
    assert (code, err) == (0, "")
    assert out == twenty.read_text()


def test_a_shorter_run_is_the_beginning_of_a_longer_one(sample: Callable, twenty: Path) -> None:
    ended = sample("-n", 7, "--seed", 3, *QUICK)
    code, out = ended.code, ended.out
    assert code == 0 and out.count("data_") == 7 and twenty.read_text().startswith(out)


def test_another_seed_is_another_sample(sample: Callable, twenty: Path) -> None:
    out = sample("-n", 20, "--seed", 4, *QUICK).out
    cells = [
        [line for line in text.splitlines() if line.startswith("_cell_length")] for text in (out, twenty.read_text())
    ]
    assert len(cells[0]) == 60 and not set(cells[0]) & set(cells[1]) - {
        line for line in cells[0] if cells[0].count(line) > 1
    }


@pytest.mark.parametrize("cut", [0.0, 0.4, 0.97])
def test_a_resumed_run_ends_in_the_same_bytes(sample: Callable, twenty: Path, tmp_path: Path, cut: float) -> None:
    """Killed anywhere, in the middle of a block too."""
    whole = twenty.read_bytes()
    (tmp_path / ".out.cif.partial").write_bytes(whole[: int(cut * len(whole))])
    ended = sample("-n", 20, "--seed", 3, "--resume", "-o", tmp_path / "out.cif", "--batch-size", 6, *QUICK)
    code, err = ended.code, ended.err
    assert code == 0, err
    assert (tmp_path / "out.cif").read_bytes() == whole


def test_a_folder_of_files_is_completed(sample: Callable, twenty: Path, tmp_path: Path) -> None:
    assert sample("-n", 5, "--seed", 3, "-O", tmp_path / "d", *QUICK).code == 0
    first = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "d").iterdir()}
    assert len(first) == 5
    assert sample("-n", 9, "--seed", 3, "-O", tmp_path / "d", "--resume", *QUICK).code == 0
    files = sorted((tmp_path / "d").iterdir(), key=lambda path: path.stem[-6:])
    assert len(files) == 9 and all(
        path.stat().st_mtime_ns == first.get(path.name, path.stat().st_mtime_ns) for path in files
    )
    assert twenty.read_text().startswith("".join(path.read_text() for path in files))


def test_worker_processes_change_no_byte(crystaltool: Callable, model: Path, twenty: Path) -> None:
    done = crystaltool("sample", model, "-n", 20, "--seed", 3, "--jobs", 2, "--batch-size", 4, *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == twenty.read_text()


def test_head_ends_the_run_without_a_word(model: Path, twenty: Path) -> None:
    """The reader leaves after three lines; the run would otherwise take hours."""
    process = subprocess.Popen(
        [*TOOL, "sample", str(model), "-n", "1000000", "--seed", "3", "--batch-size", "1", *QUICK],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=tool_environment(),
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    with process.stdout:
        lines = [process.stdout.readline() for _ in range(3)]
    error = process.stderr.read()
    assert process.wait(timeout=60) in (0, 141) and error == ""
    assert "".join(lines) == "".join(twenty.read_text().splitlines(keepends=True)[:3])


# ---- what is written


def test_groups_by_number_and_by_symbol_come_in_turn(sample: Callable) -> None:
    names = ("225", "P2_1/c", "F d -3 m", "R-3m:H", "I4/mmm")
    ended = sample("-n", 10, *(part for name in names for part in ("--sg", name)), *QUICK)
    code, out, err = ended.code, ended.out, ended.err
    assert code == 0, err
    groups = [int(block.find_value("_space_group_IT_number")) for block in gemmi.cif.read_string(out)]
    assert groups == [225, 14, 227, 166, 139] * 2


def test_every_written_operation_maps_the_structure_onto_itself(sample: Callable, tmp_path: Path) -> None:
    """As read back from the text: seven groups, one of each crystal system, most never seen in training."""
    (tmp_path / "out.cif").write_text(
        sample("-n", 7, *(part for g in (2, 15, 63, 141, 167, 194, 227) for part in ("--sg", g)), *QUICK).out
    )
    blocks = list(iter_blocks([str(tmp_path / "out.cif")]))
    assert len(blocks) == 7
    for block in blocks:
        rotations, translations = block.rotations, block.translations
        points, numbers = block.crystal.frac_coords, block.crystal.numbers
        # A sample of the operations and all atoms: every image is an atom of the same element.
        for rotation, translation in list(zip(rotations, translations, strict=True))[:: max(1, len(rotations) // 12)]:
            apart = (points @ rotation.T + translation)[:, None] - points[None]
            distance = np.abs(apart - np.round(apart)).max(axis=2) + 9.0 * (numbers[:, None] != numbers[None])
            assert distance.min(axis=1).max() < 1e-5, block.name


def test_provenance_names_item_weights_and_device(model: Path, sample: Callable) -> None:
    ended = sample("-n", 2, "--sg", 225, "--steps", 5, "--device", "cpu")
    code, out = ended.code, ended.out
    weights = json.loads((model / "config.json").read_text())["sha256"]
    assert code == 0 and out.count(f"weights sha256:{weights[:16]}") == 2 and "_audit_creation_date" in out
    blocks = gemmi.cif.read_string(out)
    records = [block.find_value("_audit_update_record") for block in blocks]
    assert all("sample" in record and "--sg 225" in record for record in records) and records[0] != records[1]
    assert "_audit_creation_date" not in sample("-n", 1, *QUICK).out


def test_attempts_and_steps_change_the_sample(sample: Callable) -> None:
    five, six = (sample("-n", 3, "--steps", n, "--attempts", 1, "--no-provenance").out for n in (5, 6))
    assert five != six and five.count("data_") == six.count("data_") == 3


# ---- mistakes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--sg", "231"), "space group 231 does not exist, expected 1-230"),
        (("--sg", "0"), "space group 0 does not exist"),
        (("--sg", "-5"), "space group -5 does not exist"),
        (("--sg", "Fm-3q"), "'Fm-3q' is neither"),
        (("--sg", ""), "neither a space-group number"),
        (("-n", "0"), "'-n'"),
        (("-n", "-1"), "'-n'"),
        (("-n", "many"), "'-n'"),
        (("--steps", "2"), "'--steps'"),
        (("--attempts", "0"), "'--attempts'"),
        (("--batch-size", "0"), "'--batch-size'"),
        (("--jobs", "0"), "'--jobs'"),
        (("--seed", "-1"), "'--seed'"),
        (("--seed", str(2**63)), "the largest is 9223372036854775807"),
        (("--device", "gpu"), "expected auto, cpu or cuda:N"),
        (("--device", "cuda:99"), "GPUs are visible"),
        (("-o", "no/such/folder/a.cif"), "no directory"),
        (("-o", "a.cif", "-O", "d"), "exclude each other"),
        (("--resume",), "--resume needs"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_options_are_one_line_and_2(sample: Callable, arguments: tuple[str, ...], words: str) -> None:
    assert_one_line(sample(*arguments), words)


def test_an_output_that_exists_is_kept(sample: Callable, tmp_path: Path) -> None:
    (tmp_path / "a.cif").write_text("mine")
    assert_one_line(sample("-n", 1, "-o", tmp_path / "a.cif", *QUICK), "--overwrite")
    assert (tmp_path / "a.cif").read_text() == "mine"
    assert sample("-n", 1, "-o", tmp_path / "a.cif", "--overwrite", *QUICK).code == 0
    assert (tmp_path / "a.cif").read_text().startswith("data_symmcd")


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    """A checkpoint to damage; each test has a path of its own, since a process keeps what it loaded."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(model / name, folder / name)
    return folder


def flip_a_byte(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.safetensors").write_bytes(content)


def change_config(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))

    return change


def poison(folder: Path) -> None:
    config, tensors = load_model(folder, "symmcd")
    tensors["geometry.cell_in.bias"][0] = float("nan")
    save_model(folder, {name: value for name, value in config.items() if name != "sha256"}, tensors)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (flip_a_byte, "sha256"),
        (change_config(crystaltool_format=2), "format 2 is newer than 1"),
        (change_config(crystaltool_format=0), "format 0 is not known"),
        (change_config(model="blocks"), "holds a 'blocks' model, expected 'symmcd'"),
        (change_config(sampler={"calls": 2}), "at least 3"),
        (change_config(sampler={"attempts": 0}), "at least 1"),
        (lambda folder: (folder / "config.json").write_text("weights"), "not JSON"),
        (lambda folder: (folder / "config.json").unlink(), "holds no config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no such file"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), "sha256"),
        (poison, "not finite"),
    ],
    ids=[
        "flipped byte", "newer format", "no format", "another model", "two calls", "no attempt", "not JSON",
        "no config", "no weights", "empty weights", "NaN weights",
    ],
)  # fmt: skip
def test_damaged_checkpoints_are_one_line_and_2(
    sample: Callable, copy: Path, tmp_path: Path, damage: Callable[[Path], object], words: str
) -> None:
    damage(copy)
    assert_one_line(sample("-n", 1, "-o", tmp_path / "out.cif", checkpoint=copy), words)
    assert not list(tmp_path.glob("*.cif")) and not list(tmp_path.glob(".*"))


def test_an_unknown_model_is_one_line_and_2(sample: Callable) -> None:
    assert_one_line(sample(checkpoint="symcd"), "no checkpoint 'symcd'")
    assert_one_line(sample(checkpoint="/no/such/folder"), "no checkpoint '/no/such/folder'")
    assert_one_line(sample(checkpoint=Path(__file__)), "not a checkpoint folder")
