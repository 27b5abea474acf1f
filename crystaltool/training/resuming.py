"""Whether a state is one of the run that is to go on: same settings, model and data, as many steps or more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from crystaltool.errors import CheckpointError


def check_settings(path: Path, record: dict[str, Any], loop: dict[str, Any], belongs_to: dict[str, Any]) -> None:
    """Refuse a state of other settings, by the name of the first that differs."""
    stored, present = record.get("config"), json.loads(json.dumps(loop))
    if not isinstance(stored, dict):
        raise CheckpointError(f"{path}: does not say with which settings it was trained")
    if isinstance(stored.get("steps"), int) and present["steps"] < stored["steps"]:
        raise CheckpointError(f"{path}: it is a run of {stored['steps']} steps, {present['steps']} are asked for")
    different = differences({**stored, "steps": 0}, {**present, "steps": 0}, "loop")
    known = record.get("belongs_to")
    if known is not None:  # states written before it existed lack it
        asked = json.loads(json.dumps(belongs_to))
        if known.get("data") != asked.get("data"):
            different.append("the data set is not the one that the run has seen")
        rest = {"run": None, "data": None}  # how the settings were given is no setting
        different += differences({**known, **rest}, {**asked, **rest})
    if different:
        raise CheckpointError(f"{path}: another run, {different[0]}; resume with the same settings and data")


def differences(stored: dict[str, Any], present: dict[str, Any], table: str = "") -> list[str]:
    """Sentences on settings that are not the same, such as `loop.seed is 1, the run has 0`."""
    found = []
    for name in sorted(stored.keys() | present.keys()):
        old, new, full = stored.get(name), present.get(name), f"{table}.{name}" if table else name
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, full)
        elif old != new:
            found.append(f"{full} is {json.dumps(new)}, the run has {json.dumps(old)}")
    return found
