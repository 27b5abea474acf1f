"""`Catalogue`: nets of known MOFs with their frequencies, as an HDF5 file of kind "mof-nets".

Groups: `nets/` (names, keys, count, lattice, n_vertices, n_edges), `vertices/` (kind, class, centres as 1/65536 of the
cell) and `edges/` (blocks, images, points in A in half precision). numpy and h5py only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np

from crystaltool.errors import InputError, UsageError
from crystaltool.io.hdf5_input import FORMAT, open_checked
from crystaltool.io.hdf5_output import through_memory
from crystaltool.mof.blocks import CoarseMOF, Edges, assert_coarse
from crystaltool.mof.labelled_net import LabelledNet, assert_net, net_of_mof
from crystaltool.mof.net_names import NAMES, symbol_of
from crystaltool.mof.table import MOFTable

NETS_KIND = "mof-nets"
KEPT = 4
"""Embeddings of a net with one division into classes that are kept; the others only count."""

_CELL = 65536
_LAYOUT: dict[str, tuple[str, tuple[int, ...], str]] = {
    "nets/count": ("net", (), "i4"),
    "nets/lattice": ("net", (3, 3), "f4"),
    "nets/n_vertices": ("net", (), "i2"),
    "nets/n_edges": ("net", (), "i2"),
    "vertices/kind": ("vertex", (), "i1"),
    "vertices/class": ("vertex", (), "i1"),
    "vertices/centres": ("vertex", (3,), "u2"),
    "edges/blocks": ("edge", (2,), "i1"),
    "edges/images": ("edge", (3,), "i1"),
    "edges/points": ("edge", (3,), "f2"),
}


@dataclass(frozen=True)
class Catalogue:
    """Nets, each with its key; several embeddings of a net have one key."""

    nets: tuple[LabelledNet, ...]
    keys: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.nets)

    @property
    def counts(self) -> np.ndarray:
        """MOFs that each stands for; shape (n,)."""
        return np.array([net.count for net in self.nets], dtype=np.int64)

    def named(self, text: str) -> np.ndarray:
        """Rows of the nets of a name (`pcu`), of a key or its beginning, or of the structure it was found in.

        Raises:
            UsageError: no net is called so.
        """
        rows = [k for k, (net, key) in enumerate(zip(self.nets, self.keys, strict=True)) if text in (net.name, key)]
        if not rows and text in NAMES:
            rows = [k for k, key in enumerate(self.keys) if symbol_of(key) == text]
            if not rows:
                raise UsageError(f"--net {text}: no net of this name among the {len(set(self.keys))} of the catalogue")
        if not rows and len(text) > 4:
            rows = [k for k, key in enumerate(self.keys) if key.startswith(text)]
        if not rows:
            known = Counter(name for name in map(symbol_of, self.keys) if name)
            some = ", ".join(name for name, _ in known.most_common(8))
            raise UsageError(f"--net {text}: no file, and no net of this name or key; known names are {some}, ...")
        return np.array(rows, dtype=np.int64)


def build_catalogue(mofs: Iterable[CoarseMOF], kept: int = KEPT) -> Catalogue:
    """The nets of posed MOFs; of one key and division into classes `kept` embeddings stay, spread over those seen."""
    groups: dict[tuple[str, tuple], list[LabelledNet]] = {}
    for mof in mofs:
        net = net_of_mof(mof)
        try:
            assert_net(net)
        except InputError:
            continue
        pattern = Counter(
            (int(net.kinds[rows[0]]), int(net.n_connections[rows[0]]), len(rows))
            for rows in (np.flatnonzero(net.classes == c) for c in np.unique(net.classes))
        )
        groups.setdefault((net.key(), tuple(sorted(pattern.items()))), []).append(net)
    nets: list[LabelledNet] = []
    keys: list[str] = []
    for (key, _), members in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
        places = np.unique(np.linspace(0, len(members) - 1, min(kept, len(members))).round().astype(int))
        shares = np.diff(np.linspace(0, len(members), len(places) + 1).round().astype(int))
        nets += [replace(members[k], count=int(n)) for k, n in zip(places.tolist(), shares.tolist(), strict=True)]
        keys += [key] * len(places)
    return Catalogue(tuple(nets), tuple(keys))


def write_catalogue(target: str | Path | BytesIO, catalogue: Catalogue, history: Sequence[str] = ()) -> None:
    """Write a catalogue; give a temporary of `io.atomic` as target, so that it appears whole."""
    nets = catalogue.nets
    centres = np.concatenate([net.centres for net in nets])
    values = {
        "nets/count": [net.count for net in nets],
        "nets/lattice": [net.lattice for net in nets],
        "nets/n_vertices": [net.n_vertices for net in nets],
        "nets/n_edges": [len(net.edges) for net in nets],
        "vertices/kind": np.concatenate([net.kinds for net in nets]),
        "vertices/class": np.concatenate([net.classes for net in nets]),
        "vertices/centres": np.minimum(np.floor((centres % 1.0) * _CELL), _CELL - 1),
        "edges/blocks": np.concatenate([net.edges.blocks for net in nets]),
        "edges/images": np.concatenate([_home_images(net) for net in nets]),
        "edges/points": np.concatenate([net.points for net in nets]),
    }
    with through_memory(target) as memory, h5py.File(memory, "w") as file:
        file.attrs["crystaltool_format"] = FORMAT
        file.attrs["kind"] = NETS_KIND
        file.attrs["history"] = "\n".join(history)
        packing = {"compression": "gzip", "compression_opts": 9, "shuffle": True}
        for key, value in values.items():
            file.create_dataset(key, data=np.asarray(value).astype(_LAYOUT[key][2]), **packing)
        for key, texts in {"nets/names": [net.name for net in nets], "nets/keys": catalogue.keys}.items():
            file.create_dataset(key, data=np.array([text.encode() for text in texts], dtype=bytes), **packing)


def _home_images(net: LabelledNet) -> np.ndarray:
    """Images once all centres have been moved into the cell."""
    moved = np.floor(net.centres).astype(np.int64)
    first, second = net.edges.blocks.T
    return net.edges.images + moved[second] - moved[first]


def read_catalogue(path: str | Path | BytesIO, label: str = "") -> Catalogue:
    """Read a catalogue and check every net.

    Raises:
        InputError: as `open_checked`, or a net that cannot be filled.
    """
    name = label or (str(path) if isinstance(path, (str, Path)) else "HDF5 input")
    with open_checked(path, NETS_KIND, name) as file:
        try:
            arrays = {}
            for key, (_, rest, dtype) in _LAYOUT.items():
                item = file.get(key)
                right = isinstance(item, h5py.Dataset) and item.dtype.kind == np.dtype(dtype).kind
                if not right or item.ndim != 1 + len(rest) or item.shape[1:] != rest:
                    raise InputError(f"{name}: no data set {key!r} of {dtype} and shape (n, *{rest})")
                arrays[key] = item[...]
            names, keys = ([text.decode() for text in file[f"nets/{key}"][...].tolist()] for key in ("names", "keys"))
        except (OSError, KeyError, AttributeError, UnicodeDecodeError) as error:
            raise InputError(f"{name}: damaged HDF5 file ({' '.join(str(error).split())})") from None
    n_vertices, n_edges = arrays["nets/n_vertices"].astype(np.int64), arrays["nets/n_edges"].astype(np.int64)
    lengths = {"net": len(names), "vertex": int(n_vertices.sum()), "edge": int(n_edges.sum())}
    for key, (axis, _, _) in _LAYOUT.items():
        if len(arrays[key]) != lengths[axis] or len(keys) != len(names) or (np.r_[n_vertices, n_edges] < 0).any():
            raise InputError(f"{name}: data set {key!r} has {len(arrays[key])} rows, expected {lengths[axis]}")
    nets = []
    for k, (v, e) in enumerate(zip(np.cumsum(n_vertices) - n_vertices, np.cumsum(n_edges) - n_edges, strict=True)):
        places, ends = slice(v, v + n_vertices[k]), slice(e, e + n_edges[k])
        net = LabelledNet(
            arrays["vertices/kind"][places].astype(np.int64),
            arrays["vertices/class"][places].astype(np.int64),
            Edges(arrays["edges/blocks"][ends].astype(np.int64), arrays["edges/images"][ends].astype(np.int64)),
            arrays["nets/lattice"][k].astype(np.float64),
            (arrays["vertices/centres"][places] + 0.5) / _CELL,
            arrays["edges/points"][ends].astype(np.float64),
            names[k],
            int(arrays["nets/count"][k]),
        )
        nets.append(net)
    return Catalogue(tuple(nets), tuple(keys))


def check_net(net: LabelledNet, label: str) -> LabelledNet:
    """The net itself.

    Raises:
        InputError: it cannot be filled, with its name and the reason.
    """
    try:
        assert_net(net)
    except InputError as error:
        raise InputError(f"{label}: net {net.name}: {error}") from None
    return net


def nets_of_file(table: MOFTable, label: str) -> Catalogue:
    """The nets of the posed MOFs of a table, each as it is.

    Raises:
        InputError: a MOF that is not posed, or whose net cannot be filled.
    """
    nets = []
    for row in range(len(table)):
        mof = table[row]
        assert_coarse(mof)
        nets.append(check_net(net_of_mof(mof), label))
    if not nets:
        raise InputError(f"{label}: no MOFs in it, so no net")
    return Catalogue(tuple(nets), tuple(net.key() for net in nets))
