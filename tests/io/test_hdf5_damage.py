"""Every data set of our HDF5 files left out, of another kind, shape, type or size: one sentence from every reader."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from crystaltool.errors import CrystaltoolError
from crystaltool.io.hdf5 import ASYM_UNIT_KIND, read_asym_units, write_asym_units
from crystaltool.io.hdf5_input import open_checked
from crystaltool.io.stream import asym_unit_blocks
from crystaltool.models.block_encoder.embedding_file import BlockEmbeddings, read_embeddings, write_embeddings
from crystaltool.mof.table import MOF_KIND, read_mofs
from crystaltool.training.checkpoint import load_state, save_state
from crystaltool.view.info import Survey
from crystaltool.view.rows import EMBEDDING_KIND, hdf5_rows
from tests.models.tiny import small_table

REAL_BLOCKS = Path(__file__).parents[1] / "models" / "block_encoder" / "real_blocks.h5"


def left_out(file: h5py.File, key: str) -> None:
    del file[key]


def as_group(file: h5py.File, key: str) -> None:
    del file[key]
    file.create_group(key)


def as_number(file: h5py.File, key: str) -> None:
    del file[key]
    file[key] = 1.0


def as_text(file: h5py.File, key: str) -> None:
    n = len(file[key])
    del file[key]
    file[key] = np.array([b"\xff"] * n)


def with_an_axis_more(file: h5py.File, key: str) -> None:
    values = file[key][...]
    del file[key]
    file[key] = values[..., None]


def with_huge_numbers(file: h5py.File, key: str) -> None:
    values = file[key][...]
    del file[key]
    file[key] = np.full_like(values, 1e30 if values.dtype.kind == "f" else 100)


def with_negative_numbers(file: h5py.File, key: str) -> None:
    values = file[key][...]
    del file[key]
    file[key] = np.full_like(values, -5) if values.dtype.kind in "if" else values


CHANGES = (left_out, as_group, as_number, as_text, with_an_axis_more, with_huge_numbers, with_negative_numbers)


def data_set(path: Path) -> Path:
    table = small_table()
    n = len(table)
    write_asym_units(path, table, ["1 x"], {"energy": np.arange(float(n))}, {"source": ["x"] * n})
    return path


def blocks(path: Path) -> Path:
    path.write_bytes(REAL_BLOCKS.read_bytes())
    return path


def embeddings(path: Path) -> Path:
    rows = np.zeros((3, 32), np.float32)
    write_embeddings(path, BlockEmbeddings(rows, np.arange(3, dtype=np.int32), "a" * 64, "b" * 64, None))
    return path


def state(path: Path) -> Path:
    save_state(path, {"step": 1}, {"weights": {"w": torch.zeros(3)}})
    return path


def look(path: Path) -> None:
    """As `view --info`."""
    survey = Survey()
    list(survey.hdf5(io.BytesIO(path.read_bytes()), "x"))
    survey.result()


READERS: tuple[tuple[Callable[[Path], Path], tuple[Callable[[Path], object], ...]], ...] = (
    (data_set, (read_asym_units, lambda path: list(asym_unit_blocks(io.BytesIO(path.read_bytes()), "x")), look)),
    (blocks, (read_mofs, lambda path: list(hdf5_rows(io.BytesIO(path.read_bytes()), "x")), look)),
    (embeddings, (read_embeddings, lambda path: list(hdf5_rows(io.BytesIO(path.read_bytes()), "x")), look)),
    (state, (load_state,)),
)


@pytest.mark.parametrize(("make", "readers"), READERS, ids=[make.__name__ for make, _ in READERS])
@pytest.mark.parametrize("change", CHANGES)
def test_damage_is_one_sentence(tmp_path: Path, make: Callable, readers: tuple, change: Callable) -> None:
    """No other exception than ours, and no warning of numpy."""
    sound = make(tmp_path / "sound.h5").read_bytes()
    keys: list[str] = []
    with h5py.File(io.BytesIO(sound)) as file:
        file.visititems(lambda key, item: keys.append(key) if isinstance(item, h5py.Dataset) else None)
    assert keys
    for key in keys:
        path = tmp_path / f"{key.replace('/', '-')}.h5"
        path.write_bytes(sound)
        with h5py.File(path, "r+") as file:
            change(file, key)
        for read in readers:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                try:
                    read(path)
                except CrystaltoolError as error:
                    assert "\n" not in str(error)


@pytest.mark.parametrize("kind", [7, np.arange(3), np.nan, np.bytes_(b"asym-unit")])
def test_a_kind_that_is_no_text(tmp_path: Path, kind: object) -> None:
    path = data_set(tmp_path / "x.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["kind"] = kind
    for read in (read_asym_units, read_mofs, load_state):
        with pytest.raises(CrystaltoolError, match="kind is no text"):
            read(path)


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        (ASYM_UNIT_KIND, "; `crystaltool asym-unit {} -o FILE.h5` makes one"),
        (MOF_KIND, "; `crystaltool fragment {} -o FILE.h5` makes one"),
        (EMBEDDING_KIND, "; `crystaltool embed BLOCKS.h5 -o FILE.h5` makes one"),
        (None, ""),
    ],
)
def test_a_folder_in_place_of_a_file_says_what_makes_one(tmp_path: Path, kind: str | None, made: str) -> None:
    with pytest.raises(CrystaltoolError) as error, open_checked(tmp_path, kind):
        pass
    assert str(error.value) == f"{tmp_path}: is a folder, not an HDF5 file{made.format(tmp_path)}"
    text = tmp_path / "in.cif"
    text.write_text("data_x\n_cell_length_a 5\n")
    with pytest.raises(CrystaltoolError) as error, open_checked(text, kind):
        pass
    assert str(error.value) == f"{text}: not a readable HDF5 file, but text{made.format(text)}"


def test_messages_have_no_addresses(tmp_path: Path) -> None:
    """Of a file that ends early."""
    sound, path = data_set(tmp_path / "sound.h5").read_bytes(), tmp_path / "cut.h5"
    for n_bytes in (0, 4, 100, 600, 1500, len(sound) // 2, len(sound) - 1):
        path.write_bytes(sound[:n_bytes])
        with pytest.raises(CrystaltoolError) as error, open_checked(path):
            pass
        assert not re.search(r"0x| = |descriptor", str(error.value)) and "HDF5 file (" in str(error.value)


def test_what_reading_raises_is_damage(tmp_path: Path) -> None:
    with pytest.raises(CrystaltoolError, match="damaged HDF5 file"), open_checked(data_set(tmp_path / "x.h5")) as file:
        file["no such data set"]
