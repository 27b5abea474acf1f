"""Runs of MOFDiff from a data set: files, killed runs, splits, what a bare host has."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from crystaltool.errors import CheckpointError, InputError, UsageError
from crystaltool.models.block_encoder.embedding_file import BlockEmbeddings, write_embeddings
from crystaltool.models.mofdiff.checkpoint import load_mofdiff
from crystaltool.models.mofdiff.fit import MOFDiffFitConfig, fit_mofdiff, main, read_config, select, split_rows
from crystaltool.models.mofdiff.fit_properties import labelled_rows
from crystaltool.models.mofdiff.model import MOFDiff
from crystaltool.mof.table import MOFTable, tabulate, write_mofs
from crystaltool.training.checkpoint import load_state, read_safetensors
from crystaltool.training.loop import Progress, step_seed
from crystaltool.training.order import epoch_batches
from tests.conftest import ROOT, tool_environment
from tests.models.mofdiff.tiny import (
    ENCODER_SHA256,
    SIZES,
    TOML,
    batch_of,
    embeddings_of,
    short_run,
    small_data,
    small_table,
    write_data,
)
from tests.training.test_fit import BARE_HOST

KILLED_ON_A_BARE_HOST = f"""
import importlib.abc, os, signal, sys
class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {BARE_HOST!r}:
            raise ModuleNotFoundError("hidden by the test: " + name)
sys.meta_path.insert(0, Hidden())
from crystaltool.models.mofdiff import fit
original = fit.fit_mofdiff
def struck(*arguments, on_progress, **options):
    def strike(progress):
        on_progress(progress)
        if (progress.step, progress.steps) == (5, int(os.environ["STRIKE_AT_STEP_5_OF"])):
            os.kill(os.getpid(), signal.SIGKILL)
    original(*arguments, on_progress=strike, **options)
fit.fit_mofdiff = struck
sys.exit(fit.main(sys.argv[1:]))
"""
"""The bare command where no other library can be imported, killed between two saves without a chance to clean up."""

CONFIG = replace(short_run(3), batch_size=5)
"""Fourteen MOFs to train on, three steps an epoch: nine steps, saved every four, logged each."""

LOOP = TOML + "[loop]\nlearning_rate = 3e-3\nwarmup = 10\nlog_every = 1\nsave_every = 4\n"
"""All but the table [fit] of `CONFIG`."""

SEVENS = replace(CONFIG, epochs=2, batch_size=7, property_epochs=0)
"""Four steps, each of as many MOFs as two processes cannot share evenly."""

PROPERTIES_FIRST = replace(CONFIG, epochs=1, property_epochs=4)
"""Seven of the MOFs have labels, two steps an epoch: eight steps for the properties, three for the rest."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_data(tmp_path_factory.mktemp("data"))


def fit(data: tuple[Path, Path], folder: Path, config: MOFDiffFitConfig, **options) -> None:
    fit_mofdiff(data[0], folder, config, embeddings=data[1], device="cpu", threads=1, **options)


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(data: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unbroken run."""
    folder = tmp_path_factory.mktemp("whole")
    fit(data, folder, CONFIG)
    return folder


def test_a_run_leaves_weights_config_state_and_metrics(whole: Path) -> None:
    names = ["config.json", "metrics.jsonl", "model.safetensors", "properties", "state.h5"]
    assert sorted(path.name for path in whole.iterdir()) == names
    assert [line["step"] for line in lines(whole)] == list(range(1, 10))
    parts = {"centre", "embedding", "cell", "k", "count", "metal", "property", "kind", "connection", "kl", "prior"}
    assert all(line.keys() >= parts | {"loss", "lr"} for line in lines(whole))
    stored = json.loads((whole / "config.json").read_text())
    assert stored["model"] == "mofdiff" and stored["data"] == "data.h5" and stored["config"]["loop"]["steps"] == 9
    assert stored["encoder_sha256"] == ENCODER_SHA256
    assert stored["trained_on"] == {"mofs": 14, "rows_an_epoch": 14}
    model = load_mofdiff(whole).model
    assert model.config == SIZES
    state = load_state(whole / "state.h5")[1]
    for name, value in state["average"].items():
        assert torch.equal(model.state_dict()[name].float(), value), name
    assert not torch.equal(state["average"]["encoder.out.0.weight"], state["weights"]["encoder.out.0.weight"])


def test_statistics_are_of_the_mofs_that_are_trained_on(whole: Path) -> None:
    model, data = load_mofdiff(whole).model, small_data()
    rows = np.flatnonzero(small_table().properties["split"] == 0)
    assert len(rows) == 14
    k = data.k[rows].copy()
    k[:, 5] -= np.log(data.n_places[rows]) / 3
    np.testing.assert_allclose(model.k_mean.numpy(), k.mean(0), atol=1e-5)
    labels = data.properties[rows, 0]
    assert float(model.property_mean[0]) == pytest.approx(np.log1p(labels[np.isfinite(labels)]).mean(), abs=1e-5)
    assert len(select(data, rows)) == 14


def killed(data: tuple[Path, Path], folder: Path, config: MOFDiffFitConfig, part: int) -> None:
    """SIGKILL after step 5 of the part of `part` steps, on a host with torch, numpy and h5py alone."""
    toml = folder.with_suffix(".toml")
    fit_table = {name: getattr(config, name) for name in ("epochs", "batch_size", "property_epochs")}
    toml.write_text(LOOP + "[fit]\n" + "".join(f"{name} = {value}\n" for name, value in fit_table.items()))
    assert read_config(toml.read_text()) == config
    options = ["--embeddings", data[1], "-o", folder, "--config", toml, "--device", "cpu", "--threads", "1"]
    done = subprocess.run(
        [sys.executable, "-c", KILLED_ON_A_BARE_HOST, str(data[0]), *map(str, options)],
        env=tool_environment(STRIKE_AT_STEP_5_OF=str(part)),
        text=True,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert done.stdout == "" and f"5/{part}" in done.stderr
    assert not (folder / "model.safetensors").exists()


def test_a_killed_run_resumed_equals_an_unbroken_one(data: tuple[Path, Path], whole: Path, tmp_path: Path) -> None:
    """The line of step 5 is logged but not saved."""
    folder = tmp_path / "killed"
    killed(data, folder, CONFIG, 9)
    assert load_state(folder / "state.h5")[0]["step"] == 4
    assert [line["step"] for line in lines(folder)] == [1, 2, 3, 4, 5]
    fit(data, folder, CONFIG, resume=True)
    for name in ("metrics.jsonl", "model.safetensors"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name


def test_a_run_killed_while_it_learns_properties_goes_on_there(data: tuple[Path, Path], tmp_path: Path) -> None:
    folder, unbroken = tmp_path / "killed", tmp_path / "unbroken"
    killed(data, folder, PROPERTIES_FIRST, 8)
    assert load_state(folder / "properties" / "state.h5")[0]["step"] == 4 and not (folder / "state.h5").exists()
    fit(data, folder, PROPERTIES_FIRST, resume=True)
    fit(data, unbroken, PROPERTIES_FIRST)
    for name in ("properties/metrics.jsonl", "metrics.jsonl", "model.safetensors"):
        assert (folder / name).read_bytes() == (unbroken / name).read_bytes(), name


@pytest.mark.parametrize("step", [3, 8])
def test_sigterm_while_it_learns_properties_ends_the_run(data: tuple[Path, Path], tmp_path: Path, step: int) -> None:
    """At its last step too: the rest is for the run that is resumed."""

    def terminate(progress: Progress) -> None:
        if progress.step == step and progress.steps == 8:
            os.kill(os.getpid(), signal.SIGTERM)

    fit(data, tmp_path, PROPERTIES_FIRST, on_progress=terminate)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["properties"]
    assert load_state(tmp_path / "properties" / "state.h5")[0]["step"] in (step, step + 1)
    fit(data, tmp_path, PROPERTIES_FIRST, resume=True)
    load_mofdiff(tmp_path)


def test_properties_are_learnt_first_and_then_left_alone(data: tuple[Path, Path], tmp_path: Path) -> None:
    """Their encoder in the checkpoint is that of its own run; where no epochs are asked for, that of the start."""
    long = replace(PROPERTIES_FIRST, property_epochs=60)
    fit(data, tmp_path / "run", long)
    learnt = [line["property"] for line in lines(tmp_path / "run" / "properties")]
    assert np.mean(learnt[-10:]) < 0.5 * learnt[0]
    average = load_state(tmp_path / "run" / "properties" / "state.h5")[1]["average"]
    kept = {f"property_encoder.{name}": value for name, value in average.items()}
    assert not any(name in kept for name in load_state(tmp_path / "run" / "state.h5")[1]["weights"])
    stored = read_safetensors(tmp_path / "run" / "model.safetensors")
    assert kept and all(torch.equal(stored[name], value) for name, value in kept.items())
    fit(data, tmp_path / "none", replace(long, property_epochs=0), init=tmp_path / "run")
    assert not (tmp_path / "none" / "properties").exists()
    stored = read_safetensors(tmp_path / "none" / "model.safetensors")
    assert all(torch.equal(stored[name], value) for name, value in kept.items())


def test_a_resumed_run_starts_from_the_weights_it_began_with(
    data: tuple[Path, Path], whole: Path, tmp_path: Path
) -> None:
    """Stopped before the rest began, which must not start from chance; without these weights it is refused."""

    def terminate(progress: Progress) -> None:
        if progress.step == 3 and progress.steps == 8:
            os.kill(os.getpid(), signal.SIGTERM)

    fit(data, tmp_path / "run", PROPERTIES_FIRST, init=whole, on_progress=terminate)
    with pytest.raises(CheckpointError, match="init is null, the run has"):
        fit(data, tmp_path / "run", PROPERTIES_FIRST, resume=True)
    fit(data, tmp_path / "run", PROPERTIES_FIRST, init=whole, resume=True)
    fit(data, tmp_path / "unbroken", PROPERTIES_FIRST, init=whole)
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("run", "unbroken"))
    assert first == second


def test_a_fresh_run_in_an_old_folder_forgets_the_old_one(data: tuple[Path, Path], tmp_path: Path) -> None:
    """Stopped in its first part it would else be resumed with the rest of the former run."""

    def terminate(progress: Progress) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    fit(data, tmp_path, PROPERTIES_FIRST)
    fit(data, tmp_path, PROPERTIES_FIRST, on_progress=terminate)
    assert not (tmp_path / "state.h5").exists()


def test_a_run_without_labels(data: tuple[Path, Path], tmp_path: Path) -> None:
    fit(data, tmp_path, replace(CONFIG, epochs=1, model=replace(SIZES, properties=())))
    assert not (tmp_path / "properties").exists()
    assert load_mofdiff(tmp_path).model.properties_of_latent(torch.zeros(2, SIZES.z_size).double()).shape == (2, 0)


def test_every_member_learns_where_labels_come_at_a_stride(data: tuple[Path, Path], whole: Path) -> None:
    """Those of the small MOFs are at odd rows."""
    moments = load_state(whole / "properties" / "state.h5")[1]["exp_avg"]
    assert all(moments[f"heads.{member}.0.weight"].any() for member in range(SIZES.property_members))


def test_mofs_without_labels_do_not_teach_properties() -> None:
    data = small_data()
    rows = labelled_rows(data, np.arange(16))
    assert rows.tolist() == list(range(1, 16, 2))  # the density, known of all, is no label to look for
    same = replace(data, properties=data.properties[:, 1:])
    assert labelled_rows(same, np.arange(16)).tolist() == list(range(16))
    none = replace(data, properties=np.full((16, 1), np.nan))
    assert len(labelled_rows(none, np.arange(16))) == 0


def first_step(rank: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and gradient of one process's part of `SEVENS`' first batch, worked out without the loop."""
    table = small_data()
    rows = np.flatnonzero(small_table().properties["split"] == 0)
    torch.manual_seed(SEVENS.loop.seed)
    model = MOFDiff(SIZES, select(table, rows))
    first = rows[epoch_batches(table.n_places[rows], SEVENS.batch_size, SEVENS.loop.seed, 0)[0]]
    part = first[rank::size]
    generator = torch.Generator().manual_seed(step_seed(SEVENS.loop.seed, 0, rank, 1))
    loss, _ = model(batch_of(table, part.tolist(), torch.float32), generator)
    loss = loss * len(part) * size / len(first)
    trained = [value for name, value in model.named_parameters() if not name.startswith("property_encoder.")]
    gradients = torch.autograd.grad(loss, trained, allow_unused=True, materialize_grads=True)
    return loss.detach(), torch.cat([gradient.reshape(-1) for gradient in gradients])


def torchrun(data: tuple[Path, Path], folder: Path, toml: Path) -> subprocess.CompletedProcess[str]:
    """A run of two gloo processes."""
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    options = ["--config", toml, "--device", "cpu", "--threads", "1"]
    command = ["-m", "crystaltool.models.mofdiff.fit", data[0], "--embeddings", data[1], "-o", folder, *options]
    done = subprocess.run(
        [sys.executable, *start, *map(str, command)],
        cwd=ROOT,
        env=tool_environment(GLOO_SOCKET_IFNAME="lo"),
        text=True,
        capture_output=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_two_processes_learn_properties_together(data: tuple[Path, Path], tmp_path: Path) -> None:
    """One writes, and what was learnt first is in the checkpoint as it was."""
    toml, folder = tmp_path / "fit.toml", tmp_path / "run"
    toml.write_text(LOOP + "[fit]\nepochs = 1\nbatch_size = 5\nproperty_epochs = 4\n")
    assert read_config(toml.read_text()) == PROPERTIES_FIRST
    torchrun(data, folder, toml)
    assert [line["step"] for line in lines(folder / "properties")] == list(range(1, 9))
    assert [line["step"] for line in lines(folder)] == [1, 2, 3]
    average = load_state(folder / "properties" / "state.h5")[1]["average"]
    stored = read_safetensors(folder / "model.safetensors")
    assert all(torch.equal(stored[f"property_encoder.{name}"], value) for name, value in average.items())


def test_two_processes_share_a_batch_and_average_their_gradients(data: tuple[Path, Path], tmp_path: Path) -> None:
    """Four and three MOFs of seven, each with its own noise; the logged norm is that of the averaged gradient."""
    toml, folder, alone = (tmp_path / name for name in ("fit.toml", "run", "alone"))
    toml.write_text(LOOP + "[fit]\nepochs = 2\nbatch_size = 7\nproperty_epochs = 0\n")
    assert read_config(toml.read_text()) == SEVENS
    done = torchrun(data, folder, toml)
    fit(data, alone, SEVENS)
    rows = lines(folder)
    assert [row["step"] for row in rows] == [row["step"] for row in lines(alone)] == [1, 2, 3, 4]
    assert [done.stderr.count(f"{step}/4 ") for step in range(1, 5)] == [1, 1, 1, 1]
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in alone.iterdir())
    assert json.loads((folder / "config.json").read_text())["processes"] == 2
    load_mofdiff(folder)
    losses, gradients = zip(*(first_step(rank, 2) for rank in (0, 1)), strict=True)
    assert rows[0]["loss"] == pytest.approx(float(losses[0]), rel=1e-4)
    assert rows[0]["gradient_norm"] == pytest.approx(float(sum(gradients).norm()) / 2, rel=1e-4)
    # The same oracle says what one process makes of the whole batch.
    loss, gradient = first_step(0, 1)
    assert lines(alone)[0]["loss"] == pytest.approx(float(loss), rel=1e-4)
    assert lines(alone)[0]["gradient_norm"] == pytest.approx(float(gradient.norm()), rel=1e-4)


def test_other_runs_are_not_taken_up(data: tuple[Path, Path], whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    (folder / "model.safetensors").unlink()
    (tmp_path / "other").mkdir()
    other = write_data(tmp_path / "other", tabulate([small_table()[i] for i in range(16)][::-1]))
    for config, chosen, words in (
        (replace(CONFIG, loop=replace(CONFIG.loop, seed=1)), data, "loop.seed is 1, the run has 0"),
        (replace(CONFIG, epochs=1), data, "it is a run of"),
        (replace(CONFIG, model=replace(SIZES, kl_weight=0.1)), data, "model.kl_weight is 0.1, the run has"),
        (replace(CONFIG, favour="favoured"), data, "the data set is not the one|it is a run of|fit.favour is"),
        (CONFIG, other, "the data set is not the one"),
    ):
        with pytest.raises(CheckpointError, match=words):
            fit(chosen, folder, config, resume=True)
    assert not (folder / "model.safetensors").exists()


def test_validation_is_on_the_held_out_mofs(data: tuple[Path, Path], tmp_path: Path) -> None:
    """Two MOFs of split 1, with the same noise each time; MOFs of neither split are left alone."""
    config = replace(short_run(3, validate_every=1), batch_size=64)
    fit(data, tmp_path / "run", config)
    scores = [line["validation_score"] for line in lines(tmp_path / "run") if "validation_score" in line]
    assert len(scores) == 3 and all(np.isfinite(scores)) and len(set(scores)) == 3
    table = small_table()
    without = replace(table, properties={**table.properties, "split": 2.0 * table.properties["split"]})
    (tmp_path / "none").mkdir()
    fit(write_data(tmp_path / "none", without), tmp_path / "none" / "run", config)
    assert not any("validation_score" in line for line in lines(tmp_path / "none" / "run"))
    # What was held out or left alone plays no part: the same weights.
    first, second = (read_safetensors(tmp_path / name / "model.safetensors") for name in ("run", "none/run"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def split(values: list[float], **others: list[float]) -> MOFTable:
    """Some of the small MOFs with a split."""
    table = tabulate(replace(small_table()[i], properties={}) for i in range(len(values)))
    return replace(
        table, properties={name: np.array(v, dtype=float) for name, v in {"split": values, **others}.items()}
    )


def test_rows_of_an_epoch() -> None:
    pool, held_out = split_rows(split([0, 1, 0, 2, 0, np.nan]), "", 3)
    assert pool.tolist() == [0, 2, 4] and held_out.tolist() == [1]
    favoured = split([0, 1, 0, 2, 0], good=[1, 1, 0, 1, np.nan])
    pool, held_out = split_rows(favoured, "good", 3)
    assert sorted(pool.tolist()) == [0, 0, 0, 2, 4] and held_out.tolist() == [1]
    assert split_rows(favoured, "good", 1)[0].tolist() == [0, 2, 4]
    bare = replace(favoured, properties={})
    assert split_rows(bare, "", 2)[0].tolist() == [0, 1, 2, 3, 4] and len(split_rows(bare, "", 2)[1]) == 0
    with pytest.raises(InputError, match="no property 'good' to favour"):
        split_rows(bare, "good", 2)
    with pytest.raises(InputError, match="no MOF to train on"):
        split_rows(split([1, 2, 1]), "", 2)


def test_weights_of_another_run_to_start_from(data: tuple[Path, Path], whole: Path, tmp_path: Path) -> None:
    still = replace(CONFIG, epochs=1, property_epochs=0, loop=replace(CONFIG.loop, learning_rate=1e-12))
    fit(data, tmp_path, still, init=whole)
    before, after = read_safetensors(whole / "model.safetensors"), read_safetensors(tmp_path / "model.safetensors")
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, atol=1e-6, rtol=1e-6, msg=name)
    with pytest.raises(CheckpointError, match="other sizes"):
        fit(data, tmp_path / "x", replace(still, model=replace(SIZES, width=32)), init=whole)


def test_embeddings_of_other_blocks_are_refused_in_one_line(data: tuple[Path, Path], tmp_path: Path) -> None:
    table = small_table()
    good = embeddings_of(table)
    fewer = tabulate([table[i] for i in range(5)])
    write_embeddings(tmp_path / "fewer.h5", embeddings_of(fewer))
    moved = replace(table, arrays={**table.arrays, "blocks/cart_coords": table.arrays["blocks/cart_coords"] * 1.01})
    write_embeddings(tmp_path / "moved.h5", embeddings_of(moved))
    bad = good.embedding.copy()
    bad[3, 3] = np.nan
    write_embeddings(tmp_path / "nan.h5", BlockEmbeddings(bad, good.identity, good.blocks_sha256, good.weights_sha256))
    (tmp_path / "text.h5").write_text("data_x\n")
    for name, words in (
        ("fewer.h5", r"fewer\.h5: of the \d+ blocks with sha256 .*, not of these 79"),
        ("moved.h5", "not of these 79"),
        ("nan.h5", "not finite"),
        ("text.h5", "not a readable HDF5"),
        ("none.h5", "no such file"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            fit((data[0], tmp_path / name), tmp_path / "run", CONFIG)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="kind 'mof-blocks', expected 'block-embeddings'"):
        fit((data[0], data[0]), tmp_path / "run", CONFIG)
    with pytest.raises(InputError, match="32 dimensions, the model has 16"):
        fit(data, tmp_path / "run", replace(CONFIG, model=replace(SIZES, n_embedding=16)))
    assert not (tmp_path / "run").exists()


def test_data_that_the_model_cannot_hold_are_refused(data: tuple[Path, Path], tmp_path: Path) -> None:
    write_mofs(tmp_path / "empty.h5", tabulate([]))
    empty = tabulate([])
    write_embeddings(
        tmp_path / "empty-embeddings.h5",
        BlockEmbeddings(np.zeros((0, 32), dtype=np.float32), np.zeros(0, dtype=np.int64), digest(empty), "e" * 64),
    )
    with pytest.raises(InputError, match="no MOF"):
        fit((tmp_path / "empty.h5", tmp_path / "empty-embeddings.h5"), tmp_path / "run", CONFIG)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["crystaltool_format"], file.attrs["kind"] = 1, "asym-unit"
    for path, words in ((tmp_path / "other.h5", "kind"), (tmp_path / "none.h5", "no such file")):
        with pytest.raises(InputError, match=words):
            fit((path, data[1]), tmp_path / "run", CONFIG)
    assert not (tmp_path / "run").exists()


def digest(table: MOFTable) -> str:
    from crystaltool.models.block_encoder.embedding_file import blocks_digest

    return blocks_digest(table)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[fit", "not TOML"),
        ("[optimiser]\nx = 1", "no table"),
        ("model = 3", "expected a table"),
        ("[model]\nlayers = 3", "has no key 'layers'"),
        ("[model]\nwidth = true", "expected int"),
        ("[model]\nreach = 'far'", "expected float"),
        ("[model]\ncutoff = -3.0", "cutoff is -3.0"),
        ("[model]\nproperties = 'density'", "properties"),
        ("[loop]\nlog_every = 0", "log_every is 0"),
        ("[fit]\nepochs = 0", "at least 1"),
        ("[fit]\nfavour_times = 0", "at least 1"),
        ("[fit]\nmodel = 3", "has no key 'model'"),
    ],
)
def test_configurations_with_mistakes_are_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_config(text)


def test_configurations_of_the_shipped_weights_are_read() -> None:
    paths = set((ROOT / "configs").glob("mofdiff*.toml")) - {ROOT / "configs" / "mofdiff-nets.toml"}
    found = {path.stem: read_config(path.read_text()) for path in paths}
    assert found and all(config.epochs > 1 for config in found.values())
    assert read_config("").model == read_config("[loop]\nwarmup = 3").model


def test_mistakes_are_one_line_and_2_from_the_bare_command_too(
    data: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = ["-o", str(tmp_path / "run")]
    assert main([str(tmp_path / "none.h5"), "--embeddings", str(data[1]), *run]) == 2
    assert main([str(data[0]), "--embeddings", str(data[0]), *run]) == 2
    assert main([str(data[0]), "--embeddings", str(data[1]), *run, "--config", str(tmp_path / "none.toml")]) == 2
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err.count("\n") == captured.err.count("crystaltool train: ERROR, ") == 3
