"""Files of a run: `state.h5` (to resume), `model.safetensors` + `config.json` (to ship). Nothing is ever unpickled.

safetensors is a JSON header and raw bytes; the forty lines here write and read it so that a training host needs torch,
numpy and h5py alone. A test compares them with the safetensors library.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import get_ident
from typing import Any, TypeVar

import h5py
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from crystaltool.errors import CheckpointError, InputError
from crystaltool.io.atomic import named
from crystaltool.io.hdf5_input import open_checked
from crystaltool.io.hdf5_output import through_memory

Network = TypeVar("Network", bound=nn.Module)

FORMAT_VERSION = 1
"""Version of `config.json` and of the tensor names; raise it with every change and add a step to `UPGRADES`."""

UPGRADES: dict[int, Callable[[dict[str, Any], dict[str, Tensor]], tuple[dict[str, Any], dict[str, Tensor]]]] = {}
"""Per version, the function that carries (config, tensors) to the next one; released functions are never edited."""

STATE, WEIGHTS = "state.h5", "model.safetensors"
"""Files of a run: to resume from, to ship."""

MAX_HEADER_BYTES = 10_000_000
MAX_CHECKPOINT_BYTES = 4_000_000_000

_TYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}
_NAMES = {dtype: name for name, dtype in _TYPES.items()}


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, flush it to disk and rename it into place."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with named(path):
            write(temporary)
            with open(temporary, "rb") as handle:
                os.fsync(handle.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_safetensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors in the safetensors layout: length of the header (8 bytes, little-endian), JSON header, raw data."""
    header, blobs, offset = {}, [], 0
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        blob = tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
        header[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + len(blob)],
        }
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        CheckpointError: if it is not one: sizes, types or offsets that do not fit the file.
    """
    try:
        size = path.stat().st_size
        if size > MAX_CHECKPOINT_BYTES:
            raise CheckpointError(f"{path}: {size} bytes, more than the limit of {MAX_CHECKPOINT_BYTES}")
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from error
    if len(data) < 8 or not 2 <= (length := struct.unpack("<Q", data[:8])[0]) <= min(MAX_HEADER_BYTES, len(data) - 8):
        raise CheckpointError(f"{path}: not a safetensors file")
    body = memoryview(data)[8 + length :]
    try:
        header = json.loads(data[8 : 8 + length])
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        tensors = {name: _tensor(entry, body) for name, entry in entries.items()}
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RuntimeError,
        OverflowError,
    ) as error:  # and RecursionError
        raise CheckpointError(f"{path}: damaged safetensors header") from error
    spans = sorted(tuple(entry["data_offsets"]) for entry in entries.values())
    if [0, *(stop for _, stop in spans)] != [*(start for start, _ in spans), len(body)]:
        raise CheckpointError(f"{path}: its tensors overlap or leave gaps")
    return tensors


def _tensor(entry: dict[str, Any], body: memoryview) -> Tensor:
    """One tensor of the file; ValueError, KeyError, TypeError or RuntimeError if the entry does not fit the data."""
    (start, stop), shape, dtype = entry["data_offsets"], entry["shape"], _TYPES[entry["dtype"]]
    if not isinstance(shape, list) or not all(type(number) is int and number >= 0 for number in (start, stop, *shape)):
        raise ValueError("shape or offsets are no natural numbers")
    if not start <= stop <= len(body) or stop - start != math.prod(shape) * dtype.itemsize:
        raise ValueError("shape does not fit the offsets, or they the file")
    if start == stop:
        return torch.zeros(shape, dtype=dtype)
    return torch.frombuffer(bytearray(body[start:stop]), dtype=dtype).reshape(shape)


def save_model(directory: Path, config: dict[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write `model.safetensors`, then `config.json` with the format version and the weights' sha256."""
    directory.mkdir(parents=True, exist_ok=True)
    weights = directory / WEIGHTS
    replace_file(weights, lambda path: write_safetensors(path, tensors))
    full = {"crystaltool_format": FORMAT_VERSION, **config, "sha256": sha256(weights)}
    replace_file(directory / "config.json", lambda path: path.write_text(json.dumps(full, indent=1) + "\n"))


def load_model(directory: Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Config and tensors of a shipped checkpoint, upgraded to the present format.

    Args:
        directory: holds `config.json` and `model.safetensors`.
        kind: the model that it must be, such as `symmcd`.

    Raises:
        CheckpointError: missing or damaged files, weights whose sha256 is not the stated one, another kind of model,
            or a newer format.
    """
    path = directory / "config.json"
    try:
        config = json.loads(path.read_text())
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not JSON ({error})") from error
    version = config.get("crystaltool_format") if isinstance(config, dict) else None
    if not isinstance(version, int):
        raise CheckpointError(f"{path}: not a crystaltool checkpoint")
    if version > FORMAT_VERSION:
        raise CheckpointError(f"{path}: format {version} is newer than {FORMAT_VERSION}, update crystaltool")
    if version < 1 or not set(range(version, FORMAT_VERSION)) <= set(UPGRADES):
        raise CheckpointError(f"{path}: format {version} is not known, this program reads 1-{FORMAT_VERSION}")
    if config.get("model") != kind:
        raise CheckpointError(f"{path}: holds a {config.get('model')!r} model, expected {kind!r}")
    weights = directory / WEIGHTS
    if not weights.is_file():
        raise CheckpointError(f"{weights}: no such file")
    found = sha256(weights)
    if found != config.get("sha256"):
        raise CheckpointError(
            f"{weights}: sha256 {found[:12]} is not the {str(config.get('sha256'))[:12]} of config.json"
        )
    tensors = read_safetensors(weights)
    for step in range(version, FORMAT_VERSION):
        config, tensors = UPGRADES[step](config, tensors)
    return config, tensors


def fill_model(directory: Path, make: Callable[[], Network], tensors: dict[str, Tensor], device: str) -> Network:
    """A network with the weights of a checkpoint, in float64 and evaluation mode.

    Args:
        directory: of the checkpoint, for messages.
        make: the network in the sizes that `config.json` gives, which may be hostile; also called on the device "meta".
        tensors: its weights.
        device: where to put it.

    Raises:
        CheckpointError: the tensors are not those of the network, or not finite.
    """
    if not _fits(make, tensors):
        raise CheckpointError(f"{directory}: the tensors of model.safetensors do not fit config.json")
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise CheckpointError(f"{directory}: model.safetensors holds numbers that are not finite")
    model = make()
    model.load_state_dict(tensors)
    return model.eval().requires_grad_(False).to(device, torch.float64)


class _NothingDrawn(TorchFunctionMode):
    """Leaves out normal numbers: for the device "meta" torch would load its compiler to draw them, for seconds."""

    def __torch_function__(self, func: Callable, types: object, args: tuple = (), kwargs: dict | None = None) -> object:
        return None if func is nn.init.normal_ else func(*args, **(kwargs or {}))


def _fits(make: Callable[[], nn.Module], tensors: dict[str, Tensor]) -> bool:
    """Whether a network has tensors of these names and shapes; takes no room for its weights.

    It is made on the device "meta", and only as far as every parameter finds a tensor of its shape that no other one
    has taken: the time that absurd sizes take is bounded by what the file holds.
    """
    left, here = Counter(tensor.shape for tensor in tensors.values()), get_ident()

    def take(_module: nn.Module, _name: str, parameter: Tensor) -> None:
        if get_ident() == here:  # the hook sees the networks of all threads
            left[parameter.shape] -= 1
            if left[parameter.shape] < 0:
                raise OverflowError("no tensor left of this shape")

    hook = register_module_parameter_registration_hook(take)
    try:
        with torch.device("meta"), _NothingDrawn():
            expected = make().state_dict()
    except (RuntimeError, OverflowError, TypeError):  # the latter two also of numbers too large for a tensor
        return False
    finally:
        hook.remove()
    return {name: value.shape for name, value in expected.items()} == {n: v.shape for n, v in tensors.items()}


def sha256(path: Path) -> str:
    """Hexadecimal digest of a file."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def save_state(path: Path, attributes: dict[str, Any], groups: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Write a training state: attributes as JSON, tensors in named groups."""

    def write(target: Path) -> None:
        with through_memory(target) as memory, h5py.File(memory, "w") as file:
            file.attrs["crystaltool_format"] = FORMAT_VERSION
            file.attrs["kind"] = "training-state"
            file.attrs["attributes"] = json.dumps(attributes)
            for group, tensors in groups.items():
                for name, tensor in tensors.items():
                    file[f"{group}/{name}"] = tensor.detach().cpu().numpy()

    replace_file(path, write)


def load_attributes(path: Path) -> dict[str, Any]:
    """The attributes alone of what `save_state` wrote; errors as `load_state`."""
    return _read_state(path, tensors=False)[0]


def load_state(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """Read what `save_state` wrote.

    Raises:
        CheckpointError: if the file is not a training state of this format.
    """
    return _read_state(path, tensors=True)


def _read_state(path: Path, tensors: bool) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    try:
        with open_checked(path) as file:
            if file.attrs.get("kind") != "training-state" or file.attrs.get("crystaltool_format") != FORMAT_VERSION:
                raise CheckpointError(f"{path}: not a training state of format {FORMAT_VERSION}")
            groups: dict[str, dict[str, Tensor]] = {}
            for group in file if tensors else ():
                groups[group] = {name: torch.from_numpy(np.asarray(data[()])) for name, data in file[group].items()}
            attributes = json.loads(file.attrs["attributes"])
            if not isinstance(attributes, dict):
                raise ValueError("its attributes are no JSON object")
            return attributes, groups
    except InputError as error:
        raise CheckpointError(f"{path}: not a readable training state ({error})") from error
