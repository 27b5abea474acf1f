"""What a file is, or all files of a folder or archive together: kinds, formats, counts, history."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import h5py
import numpy as np

from crystaltool.errors import CrystaltoolError, InputError
from crystaltool.io.byte_streams import SeekableReader
from crystaltool.io.cif_header import Header
from crystaltool.io.hdf5 import ASYM_UNIT_KIND
from crystaltool.io.hdf5_input import open_checked
from crystaltool.io.printable import printable
from crystaltool.io.records import BadRecord, Raw, RawBlock
from crystaltool.mof.blocks import KINDS
from crystaltool.view.rows import EMBEDDING_KIND, STRUCTURES

MAX_DIFFERENT = 1000
"""Different commands and names of values that are counted of a file; memory stays flat."""

_UNITS = ("structures", "mofs", "embeddings")
"""What files hold, which is summed over a folder; the rest of an HDF5 file is said of the file alone."""

Info = dict[str, Any]


class Survey:
    """Collects what there is to say of every input.

    `hdf5` is the reader for HDF5 inputs; `add` takes the structures of the others.

    Args:
        inputs: paths as they are read, `-` is standard input.
    """

    def __init__(self, inputs: Sequence[str] = ()) -> None:
        self._inputs = inputs
        self._infos: dict[str, Info] = {}
        self._last = ""

    def hdf5(self, stream: SeekableReader, source: str) -> Iterator[Raw]:
        """Describe an HDF5 file; gives nothing but what is wrong with it."""
        try:
            with open_checked(stream, None, source) as file:
                found = _of_hdf5(file, source)
        except InputError as error:
            yield BadRecord(source, 0, "", str(error))
            return
        if (whole := self._whole(source)) is None:
            self._infos[source] = found
            return
        self._begin(whole, source, found["kind"], found["format"])
        for unit in _UNITS:
            if unit in found:
                whole[unit] = whole.get(unit, 0) + found[unit]
        _count(whole["history"], found["history"])

    def add(self, raw: RawBlock) -> None:
        """Count one structure of a file that is no HDF5."""
        if (info := self._whole(raw.source)) is None:
            empty = {"file": raw.source, "kind": STRUCTURES, "format": raw.form, "structures": 0}
            info = self._infos.setdefault(raw.source, empty | {"values": Counter(), "history": Counter()})
        else:
            self._begin(info, raw.source, STRUCTURES, raw.form)
        info["structures"] = info.get("structures", 0) + 1
        header = Header(raw.text)
        try:
            table, values = header.table, header.properties
        except CrystaltoolError:
            info["not_cif"] = info.get("not_cif", 0) + 1
            return
        _count(info["values"], values)
        lines = (table.value("_audit_update_record") or "").splitlines()
        _count(info["history"], [" | ".join(_without_item(line)) for line in lines if line.strip()])

    def result(self) -> list[Info]:
        """One mapping an input, or a member of a list of files, in the order of the inputs."""
        ends = ("values", "history")
        return [
            {key: value for key, value in info.items() if key not in ends}
            | {key: info[key] for key in ends if key in info}
            for info in self._infos.values()
        ]

    def _whole(self, source: str) -> Info | None:
        """The mapping of the folder or archive among the inputs that a file comes from; None for a file by itself."""
        for path in self._inputs:
            what = "folder" if source.startswith(os.path.join(path, "")) else "archive"
            if what == "folder" or source.startswith(f"{path}:"):
                counters = {key: Counter() for key in ("kinds", "formats", "values", "history")}
                return self._infos.setdefault(path, {what: path, "files": 0, **counters})
        return None

    def _begin(self, whole: Info, source: str, kind: str, form: str) -> None:
        """Count a file of a folder or archive when its first structure comes."""
        if source != self._last:
            self._last = source
            whole["files"] += 1
            _count(whole["kinds"], [kind])
            _count(whole["formats"], [form])


def _count(counter: Counter[str], keys) -> None:
    counter.update(key for key in keys if key in counter or len(counter) < MAX_DIFFERENT)


def _without_item(line: str) -> list[str]:
    return [part.strip() for part in line.split("|") if not re.fullmatch(r"\s*item \d+\s*", part)]


def _of_hdf5(file: h5py.File, source: str) -> Info:
    kind = str(file.attrs.get("kind", "unknown"))
    info: Info = {"file": source, "kind": kind, "format": f"HDF5, version {int(file.attrs['crystaltool_format'])}"}
    info |= _counts(file, kind)
    for group in ("properties", "texts"):
        if isinstance(file.get(group), h5py.Group) and len(file[group]):
            info[group] = list(file[group])
    known = ("crystaltool_format", "kind", "history")
    info |= {key: _plain(value) for key, value in file.attrs.items() if key not in known and np.ndim(value) == 0}
    info["history"] = [line.strip() for line in str(file.attrs.get("history", "")).splitlines() if line.strip()]
    return info


def _counts(file: h5py.File, kind: str) -> Info:
    """Numbers of what a file holds."""

    def length(key: str) -> int:
        item = file.get(key)
        if not isinstance(item, h5py.Dataset) or not item.shape:
            raise InputError(f"{file.filename}: no data set {key!r}")
        return int(item.shape[0])

    if kind == ASYM_UNIT_KIND:
        return {"structures": length("group"), "orbits": length("numbers")}
    if kind == EMBEDDING_KIND:
        return {"embeddings": length("embedding"), "numbers_each": int(file["embedding"].shape[1])}
    if kind == "mof-blocks":
        kinds = np.bincount(file["blocks/kind"][...].astype(int), minlength=len(KINDS)).tolist()
        counts = {f"{name}s": count for name, count in zip(KINDS, kinds, strict=False)}
        posed = "with poses and bonds" if "places/rotations" in file else "without poses: assemble makes them"
        identities, n_mofs = length("identities/names"), length("mofs/names")
        n_names = len(set(file["mofs/names"][...].tolist()))
        samples = {"samples": n_names} if n_names < n_mofs else {}  # several candidates of each stand under one name
        return {"mofs": n_mofs, **samples, "poses": posed, "blocks": sum(kinds), **counts, "identities": identities}
    return {"data_sets": sorted(file)}


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def info_text(info: Info) -> str:
    """The lines of one file: a key and its value, lists below each other."""
    lines = []
    for key, value in info.items():
        if isinstance(value, Counter):
            value = [f"{name} ({count})" for name, count in value.most_common()]
            value = [", ".join(value)] if key != "history" and value else value
        if isinstance(value, list) and key != "history":
            value = ", ".join(map(str, value))
        if isinstance(value, list):
            lines += [f"{key}:", *(f"  {line}" for line in value)] if value else [f"{key}: none"]
        elif value != "":
            lines.append(f"{key.replace('_', ' ')}: {value}")
    return "\n".join(map(printable, lines)) + "\n"
