"""This process among those that torchrun started (or the only one)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import nn

from crystaltool.errors import UsageError

LONGEST_WAIT = timedelta(hours=2)
"""How long the others may wait while the first process validates."""


@dataclass(frozen=True)
class World:
    """Rank and number of processes.

    Args:
        rank: 0 for the first.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def share(self, rows):
        """This process's part of a global batch, strided so that parts are of like size."""
        return rows[self.rank :: self.size]

    def weight(self, n_part: int, n_whole: int) -> float:
        """Factor of a mean loss over this process's part that makes the mean over processes that of the whole.

        1 for parts of equal size, 0 for an empty part. Exact for losses that are means over crystals.
        """
        return n_part * self.size / n_whole

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their mean over all processes, in one message."""
        if self.size == 1:
            return
        parameters = list(parameters)
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in parameters])
        torch.distributed.all_reduce(flat)
        flat /= self.size
        start = 0
        for p in parameters:
            p.grad = flat[start : start + p.numel()].view_as(p).clone()
            start += p.numel()

    def any(self, flag: bool) -> bool:
        """Whether the flag is up on any process."""
        if self.size == 1:
            return flag
        device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
        tensor = torch.tensor(float(flag), device=device)
        torch.distributed.all_reduce(tensor)
        return bool(tensor > 0)

    def close(self) -> None:
        """Leave the process group."""
        if self.size > 1:
            torch.distributed.destroy_process_group()


def join_world(device: torch.device) -> World:
    """Join the process group that torchrun describes in the environment, if any (nccl on GPUs, gloo on CPUs)."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World()
    if device.type == "cuda":
        torch.cuda.set_device(device)  # nccl sends from the current device: one process, one GPU
    torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=LONGEST_WAIT)
    return World(torch.distributed.get_rank(), size)


def choose_device(name: str) -> torch.device:
    """The torch device of `auto`, `cpu`, `cuda` or `cuda:N`; `auto` and `cuda` take this process's GPU.

    Raises:
        UsageError: if there is no such device.
    """
    own = int(os.environ.get("LOCAL_RANK", "0"))
    if name == "auto":
        return torch.device("cuda", own) if torch.cuda.is_available() else torch.device("cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()) or (kind == "cpu" and index):
        raise UsageError(f"--device {name!r}: expected auto, cpu or cuda:N")
    if kind == "cpu":
        return torch.device("cpu")
    if not int(index or own) < torch.cuda.device_count():
        raise UsageError(f"--device {name}: {torch.cuda.device_count()} GPUs are visible to torch")
    return torch.device("cuda", int(index or own))
