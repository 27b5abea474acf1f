"""`crystaltool train mofdiff`: runs, goes on, and one line for every mistake; `test_train.py` has the rest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crystaltool.models.block_encoder.embedding_file import write_embeddings
from crystaltool.models.block_encoder.library import write_library
from crystaltool.models.mofdiff.checkpoint import load_mofdiff
from crystaltool.mof.catalogue import read_catalogue
from crystaltool.mof.table import read_mofs, tabulate
from tests.cli.one_process import Child, Ended, one_process
from tests.models.mofdiff.tiny import ENCODER_SHA256, TOML, embeddings_of, small_library, small_table, write_data


def toml(epochs: int) -> str:
    """Fourteen rows in one batch: a step an epoch, and one before for the properties."""
    return f"{TOML}\n[loop]\nlog_every = 1\nsave_every = 2\n\n[fit]\nepochs = {epochs}\nproperty_epochs = 1\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with one_process() as running:
        yield running


@pytest.fixture
def train(child: Child, data: tuple[Path, Path], tmp_path: Path) -> Callable[..., Ended]:
    """Run the command on the data set, into `tmp_path/run`, with a configuration's text."""

    def run(config: str, *arguments: str | Path, source: Path = data[0], embeddings: Path | None = data[1]) -> Ended:
        (tmp_path / "fit.toml").write_text(config)
        usual = {"--config": tmp_path / "fit.toml", "--device": "cpu", "--threads": "1", "--embeddings": embeddings}
        left = [option for option, value in usual.items() if value is not None and option not in arguments]
        options = [word for option in left for word in (option, usual[option])] + list(arguments)
        return child.run(tmp_path, "train", "mofdiff", source, "-o", tmp_path / "run", *options)

    return run


def steps(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_one_line(done: Ended, words: str) -> None:
    assert (done.code, done.out) == (2, ""), done.err
    assert done.err.startswith("crystaltool train: ERROR, ") and done.err.count("\n") == 1 and words in done.err, (
        done.err
    )
    assert "internal error" not in done.err and "Traceback" not in done.err


def test_a_run_its_notes_and_a_second_one(train: Callable, tmp_path: Path) -> None:
    ended = train(toml(3), "-v")
    assert (ended.code, ended.out) == (0, "")
    assert (
        ended.err.count("step ") == 4
        and "step 1 of 1," in ended.err
        and "step 3 of 3" in ended.err
        and "centre" in ended.err
    )
    assert steps(tmp_path / "run") == [1, 2, 3]
    load_mofdiff(tmp_path / "run")
    assert_one_line(train(toml(3)), "go on with --resume or start afresh with --overwrite")
    assert_one_line(train(toml(2), "--resume"), "epochs is 2, the run has 3, which may only grow")
    assert train(toml(3), "-q", "--resume").code == 0 and steps(tmp_path / "run") == [1, 2, 3]
    (tmp_path / "run").rename(tmp_path / "first")
    assert train(toml(1), "-q", "--init", tmp_path / "first").code == 0
    wider = toml(1).replace("n_latent = 6", "n_latent = 7")
    assert_one_line(train(wider, "--init", tmp_path / "first", "--overwrite"), "other sizes")


NETS = "[model]\nwidth = 16\nkey = 8\n[fit]\nepochs = 2\n"


def test_nets_are_a_part_of_their_own_and_sampled_first(train: Callable, child: Child, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert train(toml(1), "-q").code == 0
    write_library(run / "library.h5", small_library())
    free = child.run(tmp_path, "sample", run, "-n", "1", "--metal", "Zn", "-o", "free.h5", "--device", "cpu")
    assert free.code == 2 and "no catalogue of nets" in free.err
    part = ("--part", "nets", "--library", run / "library.h5")
    ended = train(NETS, *part, "-v", embeddings=None)
    assert (ended.code, ended.out) == (0, "") and ended.err.count("step ") == 2
    stored = json.loads((run / "nets" / "config.json").read_text())
    assert stored["config"]["epochs"] == 2 and stored["encoder_sha256"] == ENCODER_SHA256
    assert len(read_catalogue(run / "nets" / "nets.h5")) > 2
    sampled = child.run(tmp_path, "sample", run, "-n", "2", "--metal", "Zn", "-o", "nets.h5", "--device", "cpu")
    assert sampled.code == 0, sampled.err
    mofs = read_mofs(tmp_path / "nets.h5")
    assert len(mofs) and all(mofs[row].edges is not None for row in range(len(mofs)))
    assert_one_line(train(NETS, *part, embeddings=None), "holds nets; start afresh with --overwrite")
    assert train(NETS, *part, "--overwrite", "--epochs", "1", "-q", embeddings=None).code == 0
    assert json.loads((run / "nets" / "config.json").read_text())["config"]["epochs"] == 1
    assert (run / "model.safetensors").is_file()


def test_what_does_not_go_with_a_part_is_one_line(train: Callable, tmp_path: Path) -> None:
    assert_one_line(train(NETS, "--part", "nets", embeddings=None), "--part nets needs --library")
    assert_one_line(
        train(NETS, "--part", "heads", embeddings=None),
        "there is only --part order of blocks and --part nets of mofdiff",
    )
    assert_one_line(train(NETS, "--library", "l.h5"), "--library goes with --part nets of mofdiff")
    part = ("--part", "nets", "--library", tmp_path / "absent.h5")
    assert_one_line(train(NETS, *part), "--part nets does not take --embeddings")
    assert_one_line(train("[loop]\nseed = 1\n", *part, embeddings=None), "no table [loop] for nets")
    assert_one_line(train(NETS, *part, embeddings=None), "absent.h5")
    assert not (tmp_path / "run" / "nets").exists()


def test_a_run_that_ended_while_it_learnt_properties_is_a_run(train: Callable, tmp_path: Path) -> None:
    """As after a kill: their state is there, that of the rest not yet."""
    assert_one_line(train(toml(2), "--resume"), "state.h5 does not exist")
    assert train(toml(2), "-q").code == 0
    (tmp_path / "run" / "state.h5").unlink()
    assert_one_line(train(toml(2)), "go on with --resume or start afresh with --overwrite")
    assert train(toml(2), "-q", "--resume").code == 0 and steps(tmp_path / "run") == [1, 2]


def test_embeddings_are_needed_and_only_here(
    train: Callable, child: Child, data: tuple[Path, Path], tmp_path: Path
) -> None:
    assert_one_line(train(toml(1), embeddings=None), "train mofdiff needs --embeddings EMB.h5")
    for other in ("symmcd", "blocks"):
        ended = child.run(tmp_path, "train", other, data[0], "-o", tmp_path / "run", "--embeddings", data[1])
        assert_one_line(ended, "other models do not take it")
    assert not (tmp_path / "run").exists()


def test_embeddings_of_other_blocks_are_refused(train: Callable, data: tuple[Path, Path], tmp_path: Path) -> None:
    write_embeddings(tmp_path / "other.h5", embeddings_of(tabulate([small_table()[0]])))
    assert_one_line(train(toml(1), embeddings=tmp_path / "other.h5"), "other.h5: of the 8 blocks")
    assert_one_line(train(toml(1), embeddings=data[0]), "kind 'mof-blocks', expected 'block-embeddings'")
    assert_one_line(train(toml(1), source=data[1]), "kind 'block-embeddings', expected 'mof-blocks'")
    assert_one_line(train(toml(1), embeddings=tmp_path / "none.h5"), "no such file")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("config", "arguments", "words"),
    [
        ("[fit]\nepochs = 0", (), "at least 1"),
        ("[fit]\nparts = 1", (), "has no key 'parts'"),
        ("[model]\ncutoff = [0.0, 9.0]", (), "cutoff is [0.0, 9.0]"),
        ("[fit]\nfavour = 'nothing'", (), "no property 'nothing' to favour"),
        ("", ("--device", "tpu"), "expected auto, cpu or cuda:N"),
        ("", ("--init", "symmcd"), "expected 'mofdiff'"),
    ],
    ids=["epochs", "key", "cutoff", "favour", "device", "init"],
)
def test_wrong_options_are_one_line_and_2(
    train: Callable, tmp_path: Path, config: str, arguments: tuple[str, ...], words: str
) -> None:
    assert_one_line(train(config, *arguments), words)
    assert not (tmp_path / "run").exists()
