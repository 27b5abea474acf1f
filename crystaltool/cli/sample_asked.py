"""What `crystaltool sample` is asked for, whatever the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Asked:
    """Options of `sample`; None where an option is not given.

    Args:
        checkpoint: folder of the model. device: where networks run: auto, cpu or cuda:N.
        n: number of structures. items: those of them that are asked for, the part of a shard. seed: of all.
        steps: network calls. candidates: choices or decodings of each. target: `PROPERTY=VALUE`.
        batch_size: structures of a network call. jobs: processes.
        output: file. overwrite: replace it. resume: keep what it has.
        own: what only some models take, by name.
    """

    checkpoint: Path
    device: str
    n: int
    items: range
    seed: int
    steps: int | None
    candidates: int | None
    target: str | None
    batch_size: int
    jobs: int
    output: str
    overwrite: bool
    resume: bool
    own: Mapping[str, Any]
