"""Mutations: what a broken disk, a broken program or an enemy makes of a file. Pure functions of (bytes, generator)."""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from numpy.random import Generator

NUMBERS = (
    "nan", "inf", "-inf", "1e999", "-1", "0", "1e-300", "1e300", "99999999999999999999", "1e18", "2147483648", "0.5",
    "1(1000000000)", "1e", "--1", "0x10", "?", ".", "''", "-0.0", "1/0", "\u0663", "1_000",
)  # fmt: skip
SCRAPS = (
    b"\0", b"\xff\xfe", b"\r", b"\n", b"\n;\n", b"'", b'"', b"#", b"\x1b[2J", b"loop_\n", b"data_", b"data_x\n", b"_",
    b"save_\n", b"global_\n", b"$", b"[", b"]", b"{", b"<script>", b"../../", b"%s%n", b"\xe2\x80\xae", b" " * 5000,
    b"\n" * 3000, b"A" * 3000, b"(" * 2000, b",,,,", b"stop_\n",
)  # fmt: skip
NUMBER = re.compile(rb"(?<![\w.])[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?(?:\(\d+\))?")
WORD = re.compile(rb"[A-Za-z_][\w/.-]*")

Mutation = Callable[[bytes, Generator], bytes]


def _span(data: bytes, rng: Generator, most: int = 200) -> tuple[int, int]:
    start = int(rng.integers(0, len(data) + 1))
    return start, min(len(data), start + int(rng.integers(0, most)))


def flip(data: bytes, rng: Generator) -> bytes:
    """A few bits turned."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        if changed:
            changed[int(rng.integers(len(changed)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def overwrite(data: bytes, rng: Generator) -> bytes:
    """A stretch of random bytes, zeros or 0xff."""
    start, stop = _span(data, rng)
    fill = (rng.bytes(stop - start), bytes(stop - start), b"\xff" * (stop - start))[int(rng.integers(3))]
    return data[:start] + fill + data[stop:]


def delete(data: bytes, rng: Generator) -> bytes:
    """A stretch is missing."""
    start, stop = _span(data, rng)
    return data[:start] + data[stop:]


def truncate(data: bytes, rng: Generator) -> bytes:
    """The end is missing."""
    return data[: int(rng.integers(0, len(data) + 1))]


def repeat(data: bytes, rng: Generator) -> bytes:
    """A stretch comes several times."""
    start, stop = _span(data, rng, 2000)
    return data[:stop] + data[start:stop] * int(rng.integers(1, 30)) + data[stop:]


def insert(data: bytes, rng: Generator) -> bytes:
    """Scraps of syntax in odd places."""
    for _ in range(int(rng.integers(1, 4))):
        start = int(rng.integers(0, len(data) + 1))
        data = data[:start] + SCRAPS[int(rng.integers(len(SCRAPS)))] + data[start:]
    return data


def numbers(data: bytes, rng: Generator) -> bytes:
    """Other numbers in the place of some."""
    found = list(NUMBER.finditer(data))
    if not found:
        return flip(data, rng)
    chosen = sorted({int(rng.integers(len(found))) for _ in range(int(rng.integers(1, 6)))}, reverse=True)
    for index in chosen:
        new = NUMBERS[int(rng.integers(len(NUMBERS)))].encode()
        data = data[: found[index].start()] + new + data[found[index].end() :]
    return data


def words(data: bytes, rng: Generator) -> bytes:
    """Two words change places, or one is put in the place of another."""
    found = list(WORD.finditer(data))
    if len(found) < 2:
        return flip(data, rng)
    first, second = sorted(rng.choice(len(found), 2, replace=False).tolist())
    a, b = found[first], found[second]
    new = b[0] if rng.random() < 0.5 else a[0]
    return data[: a.start()] + b[0] + data[a.end() : b.start()] + new + data[b.end() :]


def lines(data: bytes, rng: Generator) -> bytes:
    """Lines left out, doubled or shuffled."""
    rows = data.split(b"\n")
    index = int(rng.integers(len(rows)))
    what = int(rng.integers(4))
    if what == 0:
        del rows[index]
    elif what == 1:
        rows.insert(index, rows[index])
    elif what == 2:
        other = int(rng.integers(len(rows)))
        rows[index], rows[other] = rows[other], rows[index]
    else:
        rows = rows[:index] + rows[index + int(rng.integers(1, 20)) :]
    return b"\n".join(rows)


BYTES: tuple[Mutation, ...] = (flip, overwrite, delete, truncate, repeat, insert)
TEXT: tuple[Mutation, ...] = (*BYTES, numbers, numbers, numbers, words, words, lines, lines)


def mutate_text(data: bytes, rng: Generator) -> bytes:
    """One to three mutations of text."""
    for _ in range(int(rng.integers(1, 4))):
        data = TEXT[int(rng.integers(len(TEXT)))](data, rng)
    return data


def mutate_bytes(data: bytes, rng: Generator) -> bytes:
    """One or two mutations of bytes."""
    for _ in range(int(rng.integers(1, 3))):
        data = BYTES[int(rng.integers(len(BYTES)))](data, rng)
    return data


def mutate_hdf5(data: bytes, rng: Generator) -> bytes:
    """Half of them bytes, half the content: values, shapes, types, names, links, attributes."""
    if rng.random() < 0.4:
        return mutate_bytes(data, rng)
    memory = io.BytesIO(data)
    with h5py.File(memory, "r+") as file:
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        for _ in range(int(rng.integers(1, 4))):
            _change(file, names[int(rng.integers(len(names)))], rng)
    return memory.getvalue()


ODD_VALUES = (0, -1, 1, 255, -32768, 2**31 - 1, 2**62, -(2**63), 10**6)
ODD_FLOATS = (np.nan, np.inf, -np.inf, 0.0, -1.0, 1e300, 1e-300, 1e6)


def _change(file: h5py.File, name: str, rng: Generator) -> None:
    if not isinstance(file.get(name), h5py.Dataset):
        return
    values = np.asarray(file[name][()])
    what = int(rng.integers(9))
    if what == 0:
        key = list(file.attrs)[int(rng.integers(len(file.attrs)))]
        file.attrs[key] = (7, "x", np.nan, -1, np.arange(3), "\x1b[2J", 2**60)[int(rng.integers(7))]
        return
    del file[name]
    if what == 1:
        return
    if what == 2:
        file[name] = (h5py.SoftLink("/group"), h5py.ExternalLink("/etc/passwd", "/"))[int(rng.integers(2))]
    elif what == 3:
        file.create_group(name)
    elif what == 4 and values.ndim:
        file[name] = values[: int(rng.integers(0, len(values) + 1))]
    elif what == 5:
        kinds = ("S1", "S40") if values.dtype.kind == "S" else ("f4", "i8", "u1", "S8", "f8", "?")
        with np.errstate(all="ignore"):
            file[name] = values.astype(kinds[int(rng.integers(len(kinds)))], casting="unsafe")
    elif what == 6:
        file[name] = values[..., None] if rng.random() < 0.5 else np.concatenate([values.ravel()] * 2)
    else:
        file[name] = _odd(values, rng)


def _odd(values: np.ndarray, rng: Generator) -> np.ndarray:
    if not values.size:
        return values
    flat = values.reshape(-1).copy()
    places = rng.integers(flat.size, size=int(rng.integers(1, 4)))
    if values.dtype.kind in "fiu":
        odd = ODD_FLOATS if values.dtype.kind == "f" else ODD_VALUES
        with np.errstate(all="ignore"):
            flat[places] = np.array(odd[int(rng.integers(len(odd)))]).astype(flat.dtype)
    elif values.dtype.kind == "S":
        flat[places] = (b"", b"\xff\xfe", b"\x1b[2J", b"../../x", b"a b\nc")[int(rng.integers(5))]
    return flat.reshape(values.shape)


def mutate_safetensors(data: bytes, rng: Generator) -> bytes:
    """The header as JSON text, or the numbers, or bytes anywhere."""
    (length,) = struct.unpack("<Q", data[:8])
    what = int(rng.integers(3))
    if what == 0:
        header = mutate_text(data[8 : 8 + length], rng)
        return struct.pack("<Q", len(header)) + header + data[8 + length :]
    if what == 1:
        body = bytearray(data[8 + length :])
        for _ in range(int(rng.integers(1, 6))):
            start = int(rng.integers(len(body) // 4)) * 4
            odd = np.float32(ODD_FLOATS[int(rng.integers(len(ODD_FLOATS)))] if rng.random() < 0.7 else 1e30)
            body[start : start + 4] = odd.tobytes()
        return data[: 8 + length] + bytes(body)
    return mutate_bytes(data, rng)


def mutate_checkpoint(folder: Path, rng: Generator) -> None:
    """Change a file of a checkpoint; the stated sha256 follows in most cases, so that the change is looked at."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in MUTATORS)
    path = files[int(rng.integers(len(files)))]
    path.write_bytes(MUTATORS[path.suffix](path.read_bytes(), rng))
    if path.suffix == ".safetensors" and rng.random() < 0.8:
        config = json.loads((path.parent / "config.json").read_text())
        config["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        (path.parent / "config.json").write_text(json.dumps(config))


def mutate_zip(data: bytes, rng: Generator) -> bytes:
    """Bytes of the archive, or of a member within a sound one, or the members' names."""
    if rng.random() < 0.4:
        return mutate_bytes(data, rng)
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.namelist():
            content = mutate_text(old.read(member), rng) if rng.random() < 0.3 else old.read(member)
            new.writestr(_member_name(member, rng), content)
    return packed.getvalue()


def mutate_tar(data: bytes, rng: Generator) -> bytes:
    """As `mutate_zip`."""
    if rng.random() < 0.4:
        return mutate_bytes(data, rng)
    packed = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=packed, mode="w") as new:
        for member in old:
            handle = old.extractfile(member)
            content = handle.read() if handle is not None else b""
            content = mutate_text(content, rng) if rng.random() < 0.3 else content
            info = tarfile.TarInfo(_member_name(member.name, rng))
            info.size = len(content)
            info.type = member.type if rng.random() < 0.9 else (tarfile.SYMTYPE, tarfile.FIFOTYPE)[int(rng.integers(2))]
            new.addfile(info, io.BytesIO(content))
    return packed.getvalue() if rng.random() < 0.7 else mutate_bytes(packed.getvalue(), rng)


def _member_name(name: str, rng: Generator) -> str:
    odd = ("../../" + name, "/etc/" + name, "a\x1b[2J" + name, "<b>" + name, "x" * 300 + name, "data_ '" + name)
    return odd[int(rng.integers(len(odd)))] if rng.random() < 0.2 else name


MUTATORS: dict[str, Mutation] = {
    ".cif": mutate_text, ".csv": mutate_text, ".vasp": mutate_text, ".xyz": mutate_text, ".json": mutate_text,
    ".toml": mutate_text, ".mol2": mutate_text, ".mol": mutate_text, ".sdf": mutate_text, ".pdb": mutate_text,
    ".smi": mutate_text, ".jsonl": mutate_text, ".txt": mutate_text, ".h5": mutate_hdf5,
    ".safetensors": mutate_safetensors, ".npz": mutate_bytes, ".zip": mutate_zip, ".tar": mutate_tar,
    ".gz": mutate_bytes, ".xz": mutate_bytes,
}  # fmt: skip
