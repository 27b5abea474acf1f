"""What each process of `test_distributed.py` runs, started by torchrun: prints one JSON object a process."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from crystaltool.models.symmcd import fit, validation
from crystaltool.training import run
from crystaltool.training.distributed import World, join_world
from tests.models.tiny import short_run

N_ROWS = 7


def a_problem() -> tuple[nn.Module, Tensor, Tensor]:
    """A network and seven rows of data."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))
    return module, torch.randn(N_ROWS, 3, generator=generator), torch.randn(N_ROWS, generator=generator)


def gradients(world: World, rows: Tensor) -> list[float]:
    """Of the mean squared error of some rows, shared among the processes."""
    module, x, y = a_problem()
    mine = world.share(rows)
    chosen = mine if len(mine) else rows[:1]
    loss = (module(x[chosen])[:, 0] - y[chosen]).square().mean() * world.weight(len(mine), len(rows))
    loss.backward()
    world.average_gradients(module.parameters())
    return torch.cat([parameter.grad.reshape(-1) for parameter in module.parameters()]).tolist()


def main(data: Path, folder: Path) -> None:
    """Gradients of seven rows and of one; then a short run of SymmCD that validates by sampling."""
    world = join_world(torch.device("cpu"))
    found = {
        "rank": world.rank,
        "seven": gradients(world, torch.arange(N_ROWS)),
        "one": gradients(world, torch.arange(1)),
    }
    found["any"] = [world.any(world.rank == 1), world.any(False)]
    judged = []
    original = validation.validate_by_sampling
    validation.validate_by_sampling = lambda *arguments: (judged.append(1), original(*arguments))[1]
    config = short_run(2, validate_every=2, save_every=1)
    run.join_world = lambda device: world  # a process joins once
    fit.fit_symmcd(data, folder, replace(config, batch_size=5), device="cpu", threads=1)
    found["validations"] = len(judged)
    (folder / f"rank-{world.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
