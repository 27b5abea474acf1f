"""`crystaltool embed`, and `train blocks` from the shell."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from crystaltool.errors import InputError
from crystaltool.models.block_encoder.checkpoint import load_block_encoder
from crystaltool.models.block_encoder.data import block_points
from crystaltool.models.block_encoder.embedding import embed_points
from crystaltool.models.block_encoder.embedding_file import read_embeddings
from crystaltool.models.block_encoder.library import Library
from crystaltool.models.weights import find_checkpoint
from crystaltool.mof.table import read_mofs
from tests.cli.one_process import Child, Ended, one_process
from tests.conftest import TOOL, tool_environment
from tests.models.block_encoder.blocks import (
    TOML,
    made_table,
    trained_folder,
    write_library_blocks,
    write_real_blocks,
    write_table,
)


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with one_process() as running:
        yield running


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_folder(tmp_path_factory.mktemp("encoder"), epochs=1)


@pytest.fixture
def embed(child: Child, encoder: Path, tmp_path: Path) -> Callable[..., Ended]:
    """Run the command in `tmp_path`, which holds blocks.h5, with the tiny encoder unless another is named."""
    write_table(tmp_path / "blocks.h5")

    def run(*arguments: str | Path, checkpoint: str | Path = encoder) -> Ended:
        device = () if "--device" in arguments else ("--device", "cpu")
        return child.run(tmp_path, "embed", checkpoint, *device, *arguments)

    return run


def assert_one_line(done: Ended, words: str) -> None:
    assert (done.code, done.out) == (2, ""), done.err
    assert done.err.startswith("crystaltool embed: ERROR, ") and done.err.count("\n") == 1 and words in done.err, (
        done.err
    )
    assert "internal error" not in done.err


def test_a_row_for_every_block(embed: Callable, encoder: Path, tmp_path: Path) -> None:
    ended = embed("blocks.h5", "-o", "e.h5")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    found, table, loaded = read_embeddings(tmp_path / "e.h5"), read_mofs(tmp_path / "blocks.h5"), encoder
    model = load_block_encoder(loaded).model
    np.testing.assert_allclose(found.of(table), embed_points(model, block_points(table)), atol=1e-6)
    np.testing.assert_array_equal(found.identity, table.arrays["blocks/identity"])
    assert found.weights_sha256 == load_block_encoder(encoder).sha256
    with h5py.File(tmp_path / "e.h5") as file:
        assert "weights sha256:" + found.weights_sha256[:16] in str(file.attrs["history"])


def test_a_library_of_all_blocks_or_of_some_mofs(embed: Callable, tmp_path: Path) -> None:
    assert embed("blocks.h5", "-o", "e.h5", "--library", "all.h5").code == 0
    (tmp_path / "good.txt").write_text("mof-2\n\n  mof-5 \n")
    ended = embed("blocks.h5", "-o", "e.h5", "--overwrite", "--library", "some.h5", "--keep", "good.txt", "-v")
    assert ended.code == 0 and "library of 6 blocks from 96" in ended.err
    whole, some = (Library.load(tmp_path / name) for name in ("all.h5", "some.h5"))
    assert (len(whole), len(some)) == (72, 6)
    assert {some.block(row).identity for row in range(6)} == {"made-2", "made-5"}
    rows, distances = whole.nearest(read_embeddings(tmp_path / "e.h5").embedding)
    table = read_mofs(tmp_path / "blocks.h5")
    assert [whole.block(int(row)).identity for row in rows[:, 0]] == [table.block(i).identity for i in range(96)]
    assert distances.max() < 1e-6
    again = embed("some.h5", "-o", "again.h5")  # a library is a file of blocks
    assert again.code == 0
    np.testing.assert_allclose(read_embeddings(tmp_path / "again.h5").embedding, some.embeddings, atol=1e-5)


def test_the_nearest_blocks_of_a_library_as_a_table(embed: Callable, tmp_path: Path) -> None:
    write_real_blocks(tmp_path / "real.h5")
    assert embed("real.h5", "-o", "e.h5", "--library", "real-library.h5").code == 0
    ended = embed("real.h5", "--nearest", "3", "--among", "real-library.h5")
    assert (ended.code, ended.err) == (0, "")
    header, *lines = (line.split("\t") for line in ended.out.splitlines())
    rows = [dict(zip(header, line, strict=True)) for line in lines]
    assert len({(row["identity"], row["n_connections"]) for row in rows}) == len(rows) / 3 >= 40
    for row in rows:
        if row["rank"] == "1":  # its own, in the library
            assert row["nearest"] == row["identity"] and float(row["distance"]) < 1e-2 and row["tanimoto"] == "1.000"
        else:
            assert row["nearest"] != row["identity"] and 0 <= float(row["tanimoto"]) <= 1
    assert {row["kind"] for row in rows} == {"node", "linker"}
    assert embed("real.h5", "--nearest", "3", "--among", "real-library.h5", "-o", "near.tsv").code == 0
    assert (tmp_path / "near.tsv").read_text() == ended.out
    assert_one_line(embed("real.h5", "--nearest", "1", "--library", "x.h5"), "--nearest writes a table, no --library")
    assert_one_line(embed("real.h5", "--among", "real-library.h5"), "--among is of use with --nearest only")
    assert_one_line(embed("real.h5", "--nearest", "1"), "library.h5: of the encoder")  # the shipped one's


def test_the_nearest_by_order_vectors(child: Child, embed: Callable, tmp_path: Path) -> None:
    write_real_blocks(tmp_path / "real.h5")
    found = {}
    for by in ("order", "embedding"):
        ended = embed("real.h5", "--nearest", "6", "--by", by, checkpoint="blocks")  # in the shipped library
        assert (ended.code, ended.err) == (0, "")
        header, *lines = (line.split("\t") for line in ended.out.splitlines())
        rows = [dict(zip(header, line, strict=True)) for line in lines]
        others = [float(row["tanimoto"]) for row in rows if row["nearest"] != row["identity"] and row["tanimoto"]]
        found[by] = ended.out, np.mean(others)
    assert found["order"][1] > found["embedding"][1] + 0.1
    assert embed("real.h5", "--nearest", "6", checkpoint="blocks").out == found["order"][0]
    assert embed("real.h5", "-o", "e.h5", checkpoint="blocks").code == 0
    order = read_embeddings(tmp_path / "e.h5").order
    assert order is not None and order.shape == (80, 64)
    for name, value in (("order", order[:-1]), ("order", order * np.nan), ("order", order.astype(int)), ("order", 1.0)):
        with h5py.File(tmp_path / "e.h5", "r+") as file:
            del file[name]
            file[name] = value
        with pytest.raises(InputError):
            read_embeddings(tmp_path / "e.h5")
    assert_one_line(embed("real.h5", "--by", "order"), "--by is of use with --nearest only")
    assert embed("real.h5", "-o", "f.h5", "--library", "l.h5").code == 0
    refused = embed("real.h5", "--nearest", "1", "--among", "l.h5", "--by", "order")
    assert_one_line(refused, "no order map; make one with `train blocks --part order`")


def test_an_order_map_from_the_shell(child: Child, encoder: Path, tmp_path: Path) -> None:
    write_library_blocks(tmp_path / "some.h5")
    run = "train", "blocks", "some.h5", "--part", "order", "-o", "run", "--epochs", "2"
    assert child.run(tmp_path, *run).code == 0
    assert (tmp_path / "run" / "order" / "model.safetensors").is_file()
    for words, more in (
        ("holds an order map", ()),
        ("--part order does not take --resume", ("--resume",)),
        ("--part order does not take --library", ("--library", "l.h5")),
    ):
        ended = child.run(tmp_path, *run, *more)
        assert ended.code == 2 and words in ended.err, ended.err
    ended = child.run(tmp_path, "train", "blocks", "some.h5", "--part", "nets", "-o", "run")
    assert ended.code == 2 and "there is only --part order" in ended.err
    assert child.run(tmp_path, *run, "--overwrite").code == 0


def test_through_a_pipe(embed: Callable, encoder: Path, tmp_path: Path) -> None:
    assert embed("blocks.h5", "-o", "e.h5", "--no-provenance").code == 0
    done = subprocess.run(
        [*TOOL, "embed", str(encoder), "-", "--device", "cpu", "--no-provenance"],
        input=(tmp_path / "blocks.h5").read_bytes(),
        capture_output=True,
        env=tool_environment(),
        timeout=200,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    (tmp_path / "piped.h5").write_bytes(done.stdout)
    piped, filed = (read_embeddings(tmp_path / name) for name in ("piped.h5", "e.h5"))
    np.testing.assert_array_equal(piped.embedding, filed.embedding)
    with h5py.File(tmp_path / "e.h5") as file:
        assert file.attrs["history"] == ""


def test_the_shipped_encoder_by_name(embed: Callable, tmp_path: Path) -> None:
    assert embed("blocks.h5", "-o", "e.h5", checkpoint="blocks").code == 0
    found = read_embeddings(tmp_path / "e.h5")
    assert found.weights_sha256 == json.loads((find_checkpoint("blocks") / "config.json").read_text())["sha256"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("none.h5", "-o", "x.h5"), "none.h5: no such file"),
        (("blocks.h5", "-o", "blocks.h5", "--overwrite"), "output blocks.h5 is the input"),
        (("blocks.h5", "-o", "x.h5", "--library", "blocks.h5", "--overwrite"), "is the input"),
        (("blocks.h5", "-o", "x.h5", "--library", "x.h5"), "-o and --library name one file"),
        (("blocks.h5", "-o", "x.h5", "--keep", "good.txt"), "--keep chooses blocks for a --library"),
        (("blocks.h5", "-o", "x.h5", "--library", "l.h5", "--keep", "good.txt"), "no MOF 'nobody'"),
        (("blocks.h5", "-o", "x.h5", "--library", "l.h5", "--keep", "blocks.h5"), "is not UTF-8 text"),
        (("blocks.h5", "-o", "x.h5", "--library", "l.h5", "--keep", "missing.txt"), "missing.txt: No such file"),
        (("blocks.h5", "-o", "old.h5"), "old.h5 exists"),
        (("blocks.h5", "-o", "x.h5", "--library", "old.h5"), "old.h5 exists"),
        (("old.h5", "-o", "x.h5"), "not a readable HDF5 file"),
        (("blocks.h5", "-o", "x.h5", "--device", "tpu"), "expected auto, cpu or cuda:N"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else "",
)
def test_mistakes_are_one_line_and_leave_nothing(
    embed: Callable, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    (tmp_path / "good.txt").write_text("mof-1\nnobody\n")
    (tmp_path / "old.h5").write_text("old")
    before = (tmp_path / "blocks.h5").read_bytes()
    assert_one_line(embed(*arguments), words)
    assert set(os.listdir(tmp_path)) - {"stdout", "stderr"} == {"blocks.h5", "good.txt", "old.h5"}
    assert (tmp_path / "blocks.h5").read_bytes() == before and (tmp_path / "old.h5").read_text() == "old"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: f.attrs.__setitem__("crystaltool_format", 9), "format version 9, this program reads version 1"),
        (lambda f: f.attrs.__setitem__("kind", "asym-unit"), "of kind 'asym-unit', expected 'mof-blocks'"),
        (lambda f: f["blocks/numbers"].__setitem__(0, 99), "numbers 99, the limit is 94"),
        (lambda f: f["blocks/cart_coords"].__setitem__((0, 0), np.nan), "not finite"),
        (lambda f: f["blocks/bonds"].__setitem__((0, 0), 77), "a bond at atom 78"),
    ],
)
def test_blocks_that_cannot_be_embedded(embed: Callable, tmp_path: Path, damage: Callable, words: str) -> None:
    with h5py.File(tmp_path / "blocks.h5", "r+") as file:
        damage(file)
    assert_one_line(embed("blocks.h5", "-o", "e.h5"), words)
    assert not (tmp_path / "e.h5").exists()


def test_a_checkpoint_of_another_model_and_none(embed: Callable) -> None:
    assert_one_line(embed("blocks.h5", "-o", "e.h5", checkpoint="symmcd"), "holds a 'symmcd' model")
    assert_one_line(embed("blocks.h5", "-o", "e.h5", checkpoint="nothing"), "no checkpoint 'nothing'")


def test_train_blocks_and_go_on(child: Child, tmp_path: Path) -> None:
    """The one epoch's two steps, then the same folder again."""
    data = write_table(tmp_path / "blocks.h5", made_table())
    (tmp_path / "fit.toml").write_text(TOML + "[loop]\nlog_every = 1\n[fit]\nepochs = 1\nbatch_size = 32\n")
    call = ["train", "blocks", data, "-o", tmp_path / "run", "--config", tmp_path / "fit.toml", "--threads", "1"]
    ended = child.run(tmp_path, *call, "-v")
    assert (ended.code, ended.out) == (0, "") and "step 2 of 2" in ended.err and "contrast" in ended.err
    loaded = load_block_encoder(tmp_path / "run")
    again = child.run(tmp_path, *call)
    assert again.code == 2 and "go on with --resume" in again.err
    assert child.run(tmp_path, *call, "--resume", "-q").code == 0
    assert load_block_encoder(tmp_path / "run").sha256 == loaded.sha256
    wrong = child.run(tmp_path, "train", "blocks", data, "-o", tmp_path / "other", "--init", "symmcd")
    assert wrong.code == 2 and "holds a 'symmcd' model" in wrong.err and not (tmp_path / "other").exists()
    few = child.run(tmp_path, "train", "symmcd", data, "-o", tmp_path / "other")
    assert few.code == 2 and "of kind 'mof-blocks', expected 'asym-unit'" in few.err
