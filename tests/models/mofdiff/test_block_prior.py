"""The model of which block goes where: what it sees, that it learns, and its files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from crystaltool.errors import CheckpointError, UsageError
from crystaltool.models.mofdiff.block_prior import (
    BlockPrior,
    LearnedPrior,
    PriorConfig,
    class_graph,
    context_of,
    load_prior,
)
from crystaltool.models.mofdiff.fit_nets import (
    Data,
    evaluate,
    examples_of,
    fit_nets,
    frequencies,
    main,
    read_config,
)
from crystaltool.mof.catalogue import read_catalogue
from crystaltool.mof.labelled_net import net_of_mof
from tests.models.mofdiff.tiny import real_mofs, small_library, small_table, trained_folder

QUICK = read_config("[model]\nwidth = 16\nkey = 8\ndropout = 0.0\n[fit]\nepochs = 40\nlearning_rate = 1e-2\n")


def test_a_class_sees_the_blocks_of_others_and_not_its_own() -> None:
    net = net_of_mof(real_mofs()[0])
    graph = class_graph(net)
    n = len(graph.vertices)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(n, 32))
    every, none = np.ones(n, dtype=bool), np.zeros(n, dtype=bool)
    first = context_of(graph, 0, vectors, every)
    changed = vectors.copy()
    changed[0] += 1
    assert np.allclose(context_of(graph, 0, changed, every), first)
    changed[1] += 1
    assert not np.allclose(context_of(graph, 0, changed, every), first)
    assert np.allclose(context_of(graph, 0, changed, none), context_of(graph, 0, vectors, none))
    assert np.allclose(graph.bonds.sum(axis=1), 1)


def test_it_learns_what_goes_together_and_comes_back_from_its_files(tmp_path: Path) -> None:
    folder = trained_folder(tmp_path)
    measured = fit_nets(tmp_path / "data.h5", folder / "nets", QUICK, library=folder / "library.h5")
    library = small_library()
    trained = np.flatnonzero(small_table().properties["split"] == 0).tolist()
    examples = examples_of(small_table(), library, trained)
    model = load_prior(folder / "nets")
    data = Data(examples, library)
    assert evaluate(model, data) < frequencies(data, 1.0)
    assert measured["loss"] < measured["validation"]
    assert len(read_catalogue(folder / "nets" / "nets.h5")) > 2
    again = fit_nets(tmp_path / "data.h5", tmp_path / "again", QUICK, library=folder / "library.h5")
    assert again == pytest.approx(measured)
    prior = LearnedPrior(model, library)
    net = net_of_mof(small_table()[4])
    rows = np.flatnonzero(library.kinds == 0)
    part = prior.scores(net, [0], rows[:3], {})
    assert np.allclose(part, prior.scores(net, [0], rows, {})[:3])


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    folder = tmp_path / "nets"
    with pytest.raises(CheckpointError):
        load_prior(folder)
    (tmp_path / "bad.toml").write_text("[fit]\nepochs = 0\n")
    options = ["x.h5", "--library", "y.h5", "-o", str(folder)]
    assert main([*options, "--config", str(tmp_path / "bad.toml")]) == 2
    assert main(options) == 2
    assert not folder.exists()
    for text in ("[loop]\nsteps = 1\n", "[model]\ndepth = 3\n", "[fit]\nbatch_size = 0\n", "nonsense"):
        with pytest.raises(UsageError):
            read_config(text)


def test_the_shipped_configuration_is_the_one_of_the_weights() -> None:
    from tests.conftest import ROOT

    stored = json.loads((ROOT / "checkpoints" / "mofdiff" / "nets" / "config.json").read_text())
    asked = read_config((ROOT / "configs" / "mofdiff-nets.toml").read_text())
    assert stored["config"]["model"] == vars(asked.model)
    assert stored["config"]["epochs"] == asked.epochs and stored["config"]["seed"] == asked.seed


def test_untrained_scores_have_the_right_shape() -> None:
    torch.manual_seed(0)
    model = BlockPrior(PriorConfig(width=8, key=4)).eval()
    prior = LearnedPrior(model, small_library())
    net = net_of_mof(real_mofs()[0])
    rows = np.arange(5)
    assert prior.scores(net, [0], rows, {}).shape == (5,)
