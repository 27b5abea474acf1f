"""Checkpoints of MOFDiff: every way in which a folder can be wrong is one sentence; which library goes with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from crystaltool.errors import CheckpointError, CrystaltoolError, InputError
from crystaltool.models.block_encoder.library import Library, write_library
from crystaltool.models.configuration import from_json
from crystaltool.models.mofdiff.checkpoint import KIND, load_mofdiff
from crystaltool.models.mofdiff.library import LIBRARY_NAME, load_library
from crystaltool.models.mofdiff.sampler_config import SamplerConfig
from crystaltool.models.symmcd.checkpoint import load_symmcd
from crystaltool.models.weights import checkpoint_kind, find_checkpoint
from crystaltool.mof.table import write_mofs
from crystaltool.training import checkpoint as files
from crystaltool.training.checkpoint import FORMAT_VERSION, load_model, read_safetensors, save_model
from tests.models.mofdiff.tiny import ENCODER_SHA256, SIZES, small_library, small_table, trained_folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_folder(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    shutil.copytree(trained, tmp_path / "model", ignore=shutil.ignore_patterns("state.h5"))
    return tmp_path / "model"


def rewrite(folder: Path, change: Callable[[dict], object]) -> None:
    """Change config.json in place; what `change` returns, if anything, replaces it."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(change(config) or config))


def resave(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change the weights and give config.json their sum, as a forger would."""
    config, tensors = load_model(folder, KIND)
    change(tensors)
    save_model(folder, {name: value for name, value in config.items() if name != "sha256"}, tensors)


def assert_refused(folder: Path, words: str, kind: type[CrystaltoolError] = CheckpointError) -> None:
    with pytest.raises(kind, match=words) as caught:
        loaded = load_mofdiff(folder)
        load_library(folder, loaded.encoder_sha256)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_what_was_saved_is_loaded(folder: Path) -> None:
    loaded = load_mofdiff(folder)
    assert loaded.model.config == SIZES and loaded.model.dtype == torch.float64 and not loaded.model.training
    stored = read_safetensors(folder / "model.safetensors")
    for name, value in loaded.model.state_dict().items():
        assert torch.equal(value.float(), stored[name]), name
    assert loaded.sha256 == files.sha256(folder / "model.safetensors")
    assert loaded.encoder_sha256 == ENCODER_SHA256
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())


def test_settings_of_the_sampler_travel_with_the_weights(folder: Path) -> None:
    rewrite(folder, lambda c: c.update(sampler={"calls": 7, "spread": 0.25}))
    sampler = load_mofdiff(folder).sampler
    assert (sampler.calls, sampler.spread, sampler.candidates) == (7, 0.25, type(sampler)().candidates)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(crystaltool_format=FORMAT_VERSION + 1), "is newer than"),
        (lambda c: c.update(model="symmcd"), "holds a 'symmcd' model"),
        (lambda c: [c], "not a crystaltool checkpoint"),
        (lambda c: c.update(sha256="0" * 64), "sha256"),
        (lambda c: c.update(config=3), "no sizes of a MOFDiff"),
        (lambda c: c["config"].pop("model") and None, "no sizes of a MOFDiff"),
        (lambda c: c.pop("encoder_sha256") and None, "no sizes of a MOFDiff"),
        (lambda c: c["config"]["model"].update(pages=3), "no sizes of a MOFDiff"),
        (lambda c: c["config"]["model"].update(width="16"), "no sizes of a MOFDiff"),
        (lambda c: c["config"]["model"].update(cutoff=[-1, 9]), "no sizes of a MOFDiff"),
        (lambda c: c["config"]["model"].update(cell_sigma=[0.1]), "no sizes of a MOFDiff"),
        (lambda c: c["config"]["model"].update(properties=[1, 2]), "no sizes of a MOFDiff"),
        (lambda c: c["config"]["model"].update(width=32), "do not fit"),
        (lambda c: c["config"]["model"].update(width=10**8), "do not fit"),
        (lambda c: c["config"]["model"].update(n_layers=10**9), "do not fit"),
        (lambda c: c["config"]["model"].update(encoder_layers=10**9), "do not fit"),
        (lambda c: c["config"]["model"].update(prior_layers=10**9), "do not fit"),
        (lambda c: c["config"]["model"].update(pair_width=10**8), "do not fit"),
        (lambda c: c["config"]["model"].update(n_latent=10**8), "do not fit"),
        (lambda c: c["config"]["model"].update(n_latent=10**30), "do not fit"),
        (lambda c: c["config"]["model"].update(property_members=10**8), "do not fit"),
        (lambda c: c["config"]["model"].update(n_property_latent=10**8), "do not fit"),
        (lambda c: c["config"]["model"].update(property_width=10**8), "do not fit"),
        (lambda c: c["config"]["model"].update(n_functions=10**8), "do not fit"),
        (lambda c: c["config"]["model"].update(properties=["one"]), "do not fit"),
        (lambda c: c.update(sampler={"calls": "many"}), "no sizes of a MOFDiff"),
        (lambda c: c.update(sampler={"candidates": 0}), "no sizes of a MOFDiff"),
        (lambda c: c.update(sampler=[]), "no sizes of a MOFDiff"),
    ],
)
def test_a_config_of_something_else_is_refused(folder: Path, change: Callable, words: str) -> None:
    rewrite(folder, change)
    assert_refused(folder, words)


def test_one_flipped_bit_anywhere_is_noticed(folder: Path) -> None:
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for place in (0, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert_refused(folder, "sha256")
    path.unlink()
    assert_refused(folder, "no such file")


def test_weights_that_do_not_fit_or_are_no_numbers_are_refused(folder: Path) -> None:
    resave(folder, lambda tensors: tensors.update(extra=torch.zeros(3)))
    assert_refused(folder, "do not fit")
    resave(folder, lambda tensors: tensors.pop("extra"))
    load_mofdiff(folder)
    resave(folder, lambda tensors: tensors["k_mean"].__setitem__(3, float("nan")))
    assert_refused(folder, "not finite")
    resave(folder, lambda tensors: tensors.pop("encoder.trunk.norm.weight"))
    assert_refused(folder, "do not fit")


# ---- kinds


def test_the_kind_of_a_checkpoint_is_read_without_its_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert checkpoint_kind(folder) == "mofdiff"
    rewrite(folder, lambda c: {"nothing": 1})
    assert checkpoint_kind(folder) == ""
    for text in (b"[1]", b"3"):
        (folder / "config.json").write_bytes(text)
        assert checkpoint_kind(folder) == ""
    for text in (b"{", b"\xff\xfe", b"[" * 100_000):
        (folder / "config.json").write_bytes(text)
        with pytest.raises(CheckpointError, match="not JSON"):
            checkpoint_kind(folder)
    with pytest.raises(CheckpointError, match="No such file"):
        checkpoint_kind(folder / "none")


def test_other_models_do_not_load_it(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="holds a 'mofdiff' model, expected 'symmcd'"):
        load_symmcd(folder)


# ---- libraries


def test_the_library_beside_the_weights_or_the_one_given(folder: Path, tmp_path: Path) -> None:
    beside = load_library(folder, ENCODER_SHA256)
    assert len(beside) == len(small_library())
    (folder / LIBRARY_NAME).rename(tmp_path / "other.h5")
    assert_refused(folder, r"no such file; make a library with `crystaltool embed --library`")
    given = load_library(folder, ENCODER_SHA256, tmp_path / "other.h5")
    assert (given.embeddings == beside.embeddings).all()
    with pytest.raises(CheckpointError, match="no such file"):
        load_library(folder, ENCODER_SHA256, tmp_path / "none.h5")


def test_a_library_of_another_encoder_is_refused(folder: Path) -> None:
    library = small_library()
    write_library(folder / LIBRARY_NAME, Library(library.blocks, library.embeddings, library.occurrences, "f" * 64))
    assert_refused(folder, "of the encoder ffffffffffff, the embeddings are of eeeeeeeeeeee", InputError)


def test_blocks_that_are_no_library_are_refused(folder: Path) -> None:
    write_mofs(folder / LIBRARY_NAME, small_table())
    assert_refused(folder, "no decoding library", InputError)
    (folder / LIBRARY_NAME).write_bytes(b"CIF")
    assert_refused(folder, "not a readable HDF5", InputError)


# ---- the shipped weights


def test_the_shipped_sampler_is_the_usual_one() -> None:
    """What README and CARD.md state was measured with it."""
    config, _ = load_model(find_checkpoint("mofdiff"), KIND)
    assert from_json(SamplerConfig(calls=99), config["sampler"]) == SamplerConfig()
