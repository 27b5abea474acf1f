"""Where trained weights are: one function finds them for every command."""

from __future__ import annotations

import json
import os
from pathlib import Path

from crystaltool.errors import CheckpointError

ENVIRONMENT_VARIABLE = "CRYSTALTOOL_CHECKPOINTS"
CONFIG_NAME = "config.json"

_PACKAGE = Path(__file__).resolve().parent.parent


def checkpoint_folders() -> list[Path]:
    """Folders of checkpoints, first match wins: the environment's, the installed package's, the checkout's."""
    listed = [Path(part) for part in os.environ.get(ENVIRONMENT_VARIABLE, "").split(os.pathsep) if part]
    return [*listed, _PACKAGE / "checkpoints", _PACKAGE.parent / "checkpoints"]


def find_checkpoint(name: str) -> Path:
    """The folder of a checkpoint given by name (`symmcd`) or by path.

    Raises:
        CheckpointError: if there is none.
    """
    if os.sep not in name and name not in (".", ".."):
        for folder in checkpoint_folders():
            if (folder / name / CONFIG_NAME).is_file():
                return folder / name
    path = Path(name)
    if (path / CONFIG_NAME).is_file():
        return path
    if path.exists():
        raise CheckpointError(f"{name}: not a checkpoint folder, it holds no {CONFIG_NAME}")
    known = sorted({p.parent.name for folder in checkpoint_folders() for p in folder.glob(f"*/{CONFIG_NAME}")})
    raise CheckpointError(f"no checkpoint {name!r}; there are {', '.join(known) or 'none'}, or give a folder")


def checkpoint_kind(directory: Path) -> str:
    """The model that a checkpoint folder says it holds, such as `symmcd`; "" if it does not say.

    Raises:
        CheckpointError: its `config.json` cannot be read.
    """
    path = directory / CONFIG_NAME
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not JSON ({error})") from error
    return str(config.get("model", "")) if isinstance(config, dict) else ""
