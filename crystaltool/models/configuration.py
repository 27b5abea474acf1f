"""Frozen configurations from TOML tables and from the JSON of a checkpoint, every value checked."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from crystaltool.errors import CheckpointError, UsageError
from crystaltool.training.resuming import differences
from crystaltool.training.run import RunConfig, stored_settings

Run = TypeVar("Run", bound=RunConfig)
Part = TypeVar("Part", bound=Any)

TABLES = ("model", "loop", "fit")


def parse_tables(text: str) -> dict[str, dict[str, Any]]:
    """The tables [model], [loop] and [fit] of a TOML text.

    Raises:
        UsageError: not TOML, or something else in it.
    """
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"configuration is not TOML: {error}") from None
    unknown = set(tree) - set(TABLES)
    if unknown:
        raise UsageError(f"configuration has no table [{sorted(unknown)[0]}], only [model], [loop], [fit]")
    for name, value in tree.items():
        if not isinstance(value, dict):
            raise UsageError(f"configuration: {name} is {value!r}, expected a table [{name}]")
    return tree


def read_run(default: Run, text: str) -> Run:
    """A run from TOML with the tables [model], [loop] and [fit]; what is not given keeps its default.

    Raises:
        UsageError: on a table or key that does not exist, a value of another type, or one that is refused.
    """
    tree = parse_tables(text)
    model = fill(default.model, tree.get("model", {}), "model")
    loop = fill(default.loop, tree.get("loop", {}), "loop")
    return fill(replace(default, model=model, loop=loop), tree.get("fit", {}), "fit")


def read_part(default: Part, text: str, what: str) -> Part:
    """As `read_run`, of a part that is fitted without a loop: the tables [model] and [fit].

    Args:
        default: with the sizes as `model`. what: the part, for messages.

    Raises:
        UsageError: as `read_run`, or there is a table [loop].
    """
    tree = parse_tables(text)
    if "loop" in tree:
        raise UsageError(f"configuration has no table [loop] for {what}, only [model] and [fit]")
    model = fill(default.model, tree.get("model", {}), "model")
    return fill(replace(default, model=model), tree.get("fit", {}), "fit")


def load_part(default: Part, path: Path | None, what: str) -> Part:
    """What a TOML file makes of a part, see `read_part`; the default one without a file.

    Raises:
        UsageError: as `read_run`, or the file is not text.
    """
    return read_part(default, _text(path), what)


def _text(path: Path | None) -> str:
    try:
        return "" if path is None else path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"configuration {path} is not UTF-8 text") from None


def load_run(
    default: Run, path: Path | None, epochs: int | None = None, resumed: Path | None = None, init: Path | None = None
) -> Run:
    """The run that a TOML file describes, the default one without a file.

    Args:
        default: what a new run has where nothing is said.
        path: the TOML file. epochs: passes through the data, whatever the file says.
        resumed: directory of a run to go on with: its own settings hold where nothing is said.
        init: checkpoint to start from: the sizes of its networks hold where nothing is said.

    Raises:
        UsageError: as `read_run`, the file is not text, or it says something else than the run to go on with;
            only the number of epochs may grow.
        CheckpointError: the run to go on with has no readable state.
    """
    if init is not None and resumed is None:
        default = replace(default, model=_stored_model(default, init))
    base = default if resumed is None else _stored_run(default, resumed)
    run = read_run(base or default, _text(path))
    if epochs is not None:
        run = fill(run, {"epochs": epochs}, "fit")
    if resumed is not None and base is not None:
        before, asked = (json.loads(json.dumps({**asdict(each), "epochs": 0})) for each in (base, run))
        different = differences(before, asked)
        if run.epochs < base.epochs:
            different.append(f"epochs is {run.epochs}, the run has {base.epochs}, which may only grow")
        if different:
            raise UsageError(f"--resume: {different[0]}; without it in --config the run keeps its own")
    return run


def _stored_run(default: Run, directory: Path) -> Run | None:
    """The settings of a run to go on with; None if its state is older than that."""
    state, stored = stored_settings(directory)
    if stored is None:
        return None
    try:
        parts = {name: from_json(getattr(default, name), stored[name]) for name in ("model", "loop")}
        rest = {name: value for name, value in stored.items() if name not in parts}
        return from_json(replace(default, **parts), rest)
    except (KeyError, TypeError, AttributeError, UsageError) as error:
        raise CheckpointError(f"{state}: its settings are not those of this model ({error})") from None


def _stored_model(default: Run, checkpoint: Path) -> Any:
    """The sizes of a checkpoint's networks; the default ones where it states none of this model: loading it says so."""
    try:
        config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
        return from_json(default.model, config["config"]["model"])
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError, OverflowError, UsageError):
        return default.model


def fill(default: Any, values: dict[str, Any], table: str) -> Any:
    """A frozen configuration with some values changed, each of the type that the default has.

    Raises:
        UsageError: on an unknown key, a value of another type, or one that the configuration refuses.
    """
    known = {field.name: getattr(default, field.name) for field in fields(default)}
    changed = {}
    for name, value in values.items():
        if name not in known or name in ("model", "loop"):
            raise UsageError(f"[{table}] has no key {name!r}")
        want = type(known[name])
        if want is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if want is tuple and isinstance(value, list):
            value = tuple(value)
        if not isinstance(value, want) or (want is int and isinstance(value, bool)):
            raise UsageError(f"[{table}] {name} is {value!r}, expected {want.__name__}")
        changed[name] = value
    try:
        return replace(default, **changed)
    except UsageError as error:
        raise UsageError(f"[{table}] {error}") from None


def from_json(default: Any, values: dict[str, Any]) -> Any:
    """A frozen configuration from its JSON form, every value of the type that the default has.

    Raises:
        TypeError: on an unknown key or a value of another type.
        UsageError: on one that the configuration refuses.
    """
    kinds = {field.name: type(getattr(default, field.name)) for field in fields(default)}
    changed = {}
    for name, value in values.items():
        kind = kinds.get(name)
        if kind is tuple and isinstance(value, list):
            value = tuple(value)
        elif kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if kind is None or not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise TypeError(f"{name} is {value!r}")
        changed[name] = value
    return replace(default, **changed)


@contextmanager
def stored_sizes(directory: Path, model: str) -> Generator[None, None, None]:
    """While open, what a checkpoint's `config.json` lacks or has wrong becomes a CheckpointError of one line."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, OverflowError, UsageError) as error:
        text = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{directory / 'config.json'}: no sizes of a {model} in it ({text})") from error
