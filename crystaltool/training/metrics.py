"""`metrics.jsonl`, one JSON object a line, and the means that its lines hold."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from torch import Tensor

from crystaltool.training.checkpoint import replace_file


class Meter:
    """Means of what is logged since the last line; part of the state, so that a resumed run writes the same lines.

    Args:
        step: from which the means count.
        state: of a stored run, as `state()` gave it.
    """

    def __init__(self, step: int, state: dict[str, Any]) -> None:
        self.since = int(state.get("since", step))
        self.sums: dict[str, Any] = dict(state.get("sums", {}))

    def add(self, values: dict[str, Tensor]) -> None:
        """Count the values of a step."""
        for name, value in values.items():  # in float64, which JSON keeps to the last bit
            self.sums[name] = self.sums.get(name, 0.0) + value.detach().double()

    def means(self, step: int) -> dict[str, float]:
        """Means up to this step, which begin anew after it."""
        means = {name: float(total) / (step - self.since) for name, total in self.sums.items()}
        self.since, self.sums = step, {}
        return means

    def state(self) -> dict[str, Any]:
        """Plain numbers, for the state file."""
        return {"since": self.since, "sums": {name: float(total) for name, total in self.sums.items()}}


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Add a line; a number that is not finite becomes null, since JSON has no NaN."""
    plain = {name: value if math.isfinite(value) else None for name, value in row.items()}
    with open(path, "a") as handle:
        handle.write(json.dumps(plain) + "\n")


def drop_rows_after(path: Path, step: int) -> None:
    """Drop the lines of steps that a resumed run will take again, and a last line cut short."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError):
            break
    replace_file(path, lambda part: part.write_text("".join(kept)))
