"""Checkpoints: every way in which a folder can be wrong is one sentence, and the formats of the past still load."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from crystaltool.errors import CheckpointError
from crystaltool.models.symmcd import checkpoint as symmcd
from crystaltool.models.symmcd.checkpoint import load_symmcd
from crystaltool.models.weights import find_checkpoint
from crystaltool.training import checkpoint as files
from crystaltool.training.checkpoint import FORMAT_VERSION, load_model, read_safetensors, save_model
from tests.models.tiny import SIZES, only_shapes, trained_folder
from tests.old_checkpoints.build import COMPUTED, MODELS, OLD, computed, unpack


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_folder(tmp_path_factory.mktemp("trained"), steps=2)


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    tmp_path = tmp_path / "model"
    tmp_path.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(trained / name, tmp_path / name)
    return tmp_path


def rewrite(folder: Path, change: Callable[[dict], object]) -> None:
    """Change config.json in place; what `change` returns, if anything, replaces it."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(change(config) or config))


def resave(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change the weights and give config.json their sum, as a forger would."""
    config, tensors = load_model(folder, "symmcd")
    change(tensors)
    save_model(folder, {name: value for name, value in config.items() if name != "sha256"}, tensors)


def assert_refused(folder: Path, words: str) -> None:
    with pytest.raises(CheckpointError, match=words) as caught:
        load_symmcd(folder)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_what_was_saved_is_loaded(folder: Path) -> None:
    loaded = load_symmcd(folder)
    assert loaded.model.config == SIZES and loaded.model.dtype == torch.float64 and not loaded.model.training
    stored = read_safetensors(folder / "model.safetensors")
    for name, value in loaded.model.state_dict().items():
        assert torch.equal(value.float(), stored[name]), name
    assert loaded.sha256 == files.sha256(folder / "model.safetensors")
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(crystaltool_format=FORMAT_VERSION + 1), "is newer than"),
        (lambda c: c.update(crystaltool_format=0), "format 0 is not known"),
        (lambda c: c.update(crystaltool_format=-3), "format -3 is not known"),
        (lambda c: c.update(crystaltool_format="1"), "not a crystaltool checkpoint"),
        (lambda c: c.pop("crystaltool_format") and None, "not a crystaltool checkpoint"),
        (lambda c: [c], "not a crystaltool checkpoint"),
        (lambda c: c.update(model="mofdiff"), "holds a 'mofdiff' model"),
        (lambda c: c.update(sha256="0" * 64), "sha256"),
        (lambda c: c.pop("sha256") and None, "sha256"),
        (lambda c: c.update(config=3), "no sizes of a SymmCD"),
        (lambda c: c["config"].pop("model") and None, "no sizes of a SymmCD"),
        (lambda c: c["config"]["model"].update(pages=3), "no sizes of a SymmCD"),
        (lambda c: c["config"]["model"].update(site_width="16"), "no sizes of a SymmCD"),
        (lambda c: c["config"]["model"].update(site_heads=3), "no sizes of a SymmCD"),
        (lambda c: c["config"]["model"].update(cutoff=-1), "no sizes of a SymmCD"),
        (lambda c: c["config"]["model"].update(cutoff=10**400), "no sizes of a SymmCD"),
        (lambda c: c["config"]["model"].update(cell_sigma=["a", "b"]), "no sizes of a SymmCD"),
        (lambda c: c["config"]["model"].update(cell_sigma=[0.1]), "no sizes of a SymmCD"),
        (lambda c: c["config"]["model"].update(site_width=32), "do not fit"),
        (lambda c: c["config"]["model"].update(site_width=10**8, site_heads=1), "do not fit"),
        (lambda c: c["config"]["model"].update(site_layers=10**9), "do not fit"),
        (lambda c: c["config"]["model"].update(geometry_layers=10**9), "do not fit"),
        (lambda c: c["config"]["model"].update(geometry_width=10**30), "do not fit"),
        (lambda c: c["config"]["model"].update(pair_width=10**9), "do not fit"),
        (lambda c: c["config"]["model"].update(n_functions=10**9), "do not fit"),
        (lambda c: c.update(sampler={"calls": "many"}), "no sizes of a SymmCD"),
        (lambda c: c.update(sampler=[]), "no sizes of a SymmCD"),
    ],
)
def test_a_config_of_something_else_is_refused(folder: Path, change: Callable, words: str) -> None:
    rewrite(folder, change)
    assert_refused(folder, words)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"weights"], ids=["empty", "cut", "binary", "deep", "text"]
)
def test_a_config_that_is_not_json_is_refused(folder: Path, text: bytes) -> None:
    (folder / "config.json").write_bytes(text)
    assert_refused(folder, r"config\.json: not JSON")


def test_one_flipped_bit_anywhere_is_noticed(folder: Path) -> None:
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for place in (0, 9, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert_refused(folder, "sha256")
    path.write_bytes(whole[:-4])
    assert_refused(folder, "sha256")
    path.unlink()
    assert_refused(folder, "no such file")


def test_weights_that_are_no_numbers_are_refused(folder: Path) -> None:
    resave(folder, lambda tensors: tensors["sites.norm.weight"].__setitem__(3, float("nan")))
    assert_refused(folder, "not finite")


def test_weights_of_another_shape_or_name_are_refused(folder: Path) -> None:
    resave(folder, lambda tensors: tensors.update({"sites.query_head.bias": torch.zeros(3)}))
    assert_refused(folder, "do not fit")


def test_weights_too_few_or_too_many_are_refused(folder: Path) -> None:
    resave(folder, lambda tensors: tensors.update(extra=torch.zeros(3)))
    assert_refused(folder, "do not fit")
    resave(folder, lambda tensors: tensors.pop("extra"))
    load_symmcd(folder)
    resave(folder, lambda tensors: tensors.pop("sites.norm.weight"))
    assert_refused(folder, "do not fit")


@pytest.mark.parametrize(
    ("sizes", "tensors"),
    [
        ({"site_width": 10**6, "site_heads": 1}, {"sites.norm.weight": torch.ones(10**6)}),
        ({"geometry_layers": 10**4}, {f"geometry.layers.{layer}.norm": torch.ones(0) for layer in range(10**4)}),
    ],
)
def test_sizes_that_some_tensors_pretend_to_have_are_not_tried(
    folder: Path, monkeypatch: pytest.MonkeyPatch, sizes: dict, tensors: dict
) -> None:
    resave(folder, lambda stored: stored.update(tensors))
    rewrite(folder, lambda config: config["config"]["model"].update(sizes))
    monkeypatch.setattr(symmcd, "SymmCD", only_shapes(symmcd.SymmCD))
    assert_refused(folder, "do not fit")


# ---- finding them


def test_names_are_looked_up_in_the_environment_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYSTALTOOL_CHECKPOINTS", f"{folder / 'none'}:{folder.parent}")
    assert find_checkpoint("model") == folder
    assert find_checkpoint(str(folder)) == folder


def test_what_cannot_be_found_is_told_with_what_there_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYSTALTOOL_CHECKPOINTS", str(folder.parent))
    with pytest.raises(CheckpointError, match=r"no checkpoint 'nothing'; there are .*model"):
        find_checkpoint("nothing")
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"holds no config\.json"):
        find_checkpoint(str(folder))


# ---- the past


@pytest.mark.parametrize("archive", sorted(OLD.glob("*.tar.gz")), ids=lambda path: path.name)
def test_checkpoints_of_every_format_load_and_compute_what_they_did(archive: Path, tmp_path: Path) -> None:
    folder = unpack(archive, tmp_path)
    stored = json.loads((folder / "config.json").read_text())
    found = computed(folder)
    expected = json.loads(COMPUTED.read_text())[archive.name]
    assert stored["crystaltool_format"] <= FORMAT_VERSION and found.keys() == expected.keys()
    for name, values in expected.items():
        single = stored["config"]["model"].get("geometry_heads", 0) > 0
        rtol, atol = (1e-4, 1e-5) if single else (1e-6, 1e-8)
        np.testing.assert_allclose(found[name], values, rtol=rtol, atol=atol, err_msg=name)


def test_there_is_a_checkpoint_of_every_format() -> None:
    names = {path.name for path in OLD.glob("*.tar.gz")}
    assert names == {f"{model}-format-{n}.tar.gz" for model in MODELS for n in range(1, FORMAT_VERSION + 1)}
    assert all(path.stat().st_size < 200_000 for path in OLD.glob("*.tar.gz"))


def test_upgrades_run_one_step_after_the_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A format 1 file read by a program of format 3: both functions, in order."""
    monkeypatch.setattr(files, "FORMAT_VERSION", 3)
    assert_refused(folder, "format 1 is not known")

    def step(name: str) -> Callable:
        return lambda config, tensors: ({**config, "steps": [*config.get("steps", []), name]}, tensors)

    monkeypatch.setattr(files, "UPGRADES", {1: step("to 2"), 2: step("to 3")})
    assert load_model(folder, "symmcd")[0]["steps"] == ["to 2", "to 3"]
