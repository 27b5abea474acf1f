"""A network filled with the weights of a checkpoint is made no larger than they are."""

from __future__ import annotations

import subprocess
import sys
from itertools import count
from pathlib import Path
from threading import Thread

import pytest
import torch
from torch import nn

from crystaltool.errors import CheckpointError
from crystaltool.models.weights import find_checkpoint
from crystaltool.training.checkpoint import fill_model
from tests.conftest import tool_environment
from tests.models.tiny import only_shapes

WEIGHTS = {"weight": torch.arange(6.0).reshape(3, 2), "bias": torch.ones(3)}


def test_weights_of_the_same_names_and_shapes_are_taken_over() -> None:
    model = fill_model(Path("run"), lambda: nn.Linear(2, 3), WEIGHTS, "cpu")
    assert torch.equal(model.weight, WEIGHTS["weight"].double()) and not model.training


@pytest.mark.parametrize(
    "shape", [(3, 2), (2, 10**6), (10**9, 10**9), (10**40, 1)], ids=["other", "large", "beyond", "endless"]
)
def test_other_shapes_are_refused_before_the_network_is_made(shape: tuple[int, int]) -> None:
    with pytest.raises(CheckpointError, match=r"run: the tensors of model\.safetensors do not fit"):
        fill_model(Path("run"), only_shapes(lambda: nn.Linear(*shape)), WEIGHTS, "cpu")


def test_a_list_of_layers_ends_with_the_tensors() -> None:
    tensors = {f"{layer}.{name}": value for layer in range(3) for name, value in WEIGHTS.items()}
    made = []

    def layer(_place: int) -> nn.Module:
        made.append(nn.Linear(2, 3))
        return made[-1]

    with pytest.raises(CheckpointError, match="do not fit"):
        fill_model(Path("run"), only_shapes(lambda: nn.Sequential(*map(layer, count()))), tensors, "cpu")
    assert len(made) == 3
    nn.Linear(10, 10)  # nothing is counted any more


def test_networks_of_other_threads_take_no_part() -> None:
    def make() -> nn.Module:
        other = Thread(target=nn.Linear, args=(2, 3))
        other.start()
        other.join()
        return nn.Linear(2, 3)

    fill_model(Path("run"), make, WEIGHTS, "cpu")


def test_shapes_are_compared_without_the_compiler() -> None:
    """Torch takes seconds to load it, for normal numbers and even steps on the device "meta"."""
    load = "from pathlib import Path; from crystaltool.models.{0}.checkpoint import load_{0} as load"
    for model, name in (("symmcd", "symmcd"), ("block_encoder", "blocks"), ("mofdiff", "mofdiff")):
        code = f"{load.format(model)}; load(Path({str(find_checkpoint(name))!r}))"
        code += "; import sys; assert not {'torch._dynamo', 'sympy'} & sys.modules.keys()"
        subprocess.run([sys.executable, "-c", code], check=True, env=tool_environment(), timeout=120)
