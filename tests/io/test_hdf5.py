"""Data sets: the round trip, and files made to hurt."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from crystaltool.asymunit import AsymUnitTable, expand, reduce, tabulate
from crystaltool.errors import InputError
from crystaltool.io import hdf5_input
from crystaltool.io.cif import CifBlock
from crystaltool.io.hdf5 import read_asym_units, read_history, read_properties, write_asym_units
from crystaltool.io.hdf5_input import open_checked
from crystaltool.io.stream import BadRecord, iter_blocks
from tests.io.test_cif_read import distances_to
from tests.textbook import TEXTBOOK


@pytest.fixture(scope="module")
def table() -> AsymUnitTable:
    """All textbook crystals."""
    return tabulate([reduce(entry.crystal(), 0.01) for entry in TEXTBOOK])


@pytest.fixture
def stored(tmp_path: Path, table: AsymUnitTable) -> Path:
    """Their data set."""
    path = tmp_path / "units.h5"
    write_asym_units(path, table, ["1 crystaltool 0.1.0 | asym-unit"], {"energy": np.arange(float(len(table)))})
    return path


def assert_same(first: AsymUnitTable, second: AsymUnitTable) -> None:
    assert first.names == second.names
    for key in ("group", "lattice", "n_orbits", "numbers", "positions", "free_coords"):
        np.testing.assert_array_equal(getattr(first, key), getattr(second, key))


def test_round_trip(stored: Path, table: AsymUnitTable) -> None:
    assert_same(read_asym_units(stored), table)
    np.testing.assert_array_equal(read_properties(stored)["energy"], np.arange(len(table)))
    assert read_history(stored) == ("1 crystaltool 0.1.0 | asym-unit",)


def test_writing_is_deterministic(table: AsymUnitTable) -> None:
    first, second = io.BytesIO(), io.BytesIO()
    write_asym_units(first, table)
    write_asym_units(second, table)
    assert first.getvalue() == second.getvalue()
    assert_same(read_asym_units(first), table)


def test_an_empty_table(tmp_path: Path) -> None:
    write_asym_units(tmp_path / "empty.h5", tabulate([]))
    assert len(read_asym_units(tmp_path / "empty.h5")) == 0


def test_data_sets_are_streams_of_blocks(stored: Path, table: AsymUnitTable) -> None:
    blocks = list(iter_blocks([str(stored)]))
    assert [block.name for block in blocks] == list(table.names)
    for block, unit in zip(blocks, table, strict=True):
        assert isinstance(block, CifBlock) and block.history == ("1 crystaltool 0.1.0 | asym-unit",)
        assert block.declared_group == unit.group
        assert distances_to(block.crystal, expand(unit)) < 1e-6


def test_properties_must_fit(tmp_path: Path, table: AsymUnitTable) -> None:
    with pytest.raises(InputError, match="has the shape"):
        write_asym_units(tmp_path / "x.h5", table, properties={"energy": np.zeros(3)})


# ---- what is refused


def refused(path: Path, words: str) -> None:
    """Reading must fail with these words, as a library call and as a record of a stream."""
    with pytest.raises(InputError, match=words) as caught:
        read_asym_units(path)
    assert "\n" not in str(caught.value)
    records = list(iter_blocks([str(path)]))
    assert len(records) == 1 and isinstance(records[0], BadRecord)


def test_files_that_are_not_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with pytest.raises(InputError, match="no such file"):
        read_asym_units(path)
    for content in (b"", b"data_x\n", b"\x89HDF\r\n\x1a\n" + b"\0" * 100):
        path.write_bytes(content)
        with pytest.raises(InputError, match="not a readable HDF5"):
            read_asym_units(path)


def test_truncated_and_flipped_files(stored: Path) -> None:
    whole = stored.read_bytes()
    for cut in (len(whole) // 4, len(whole) // 2, len(whole) - 1):
        stored.write_bytes(whole[:cut])
        with pytest.raises(InputError):
            read_asym_units(stored)
    # A flipped byte either leaves the values alone or is noticed; it never gives another kind of exception.
    rng = np.random.default_rng(0)
    for position in rng.integers(8, len(whole), 60):
        damaged = bytearray(whole)
        damaged[position] ^= 0x40
        stored.write_bytes(damaged)
        try:
            read_asym_units(stored)
        except InputError as error:
            assert "\n" not in str(error)


def attribute(name: str, value: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file.attrs[name]
        if value is not None:
            file.attrs[name] = value

    return change


def replace(name: str, make: Callable[[h5py.File], object]) -> Callable[[h5py.File], None]:
    """Put something else in the place of a data set."""

    def change(file: h5py.File) -> None:
        del file[name]
        made = make(file)
        if made is not None:
            file[name] = made

    return change


def edit(name: str, index, value) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file[name][index] = value

    return change


def soft_link(file: h5py.File):
    return h5py.SoftLink("/numbers")


def external_link(file: h5py.File):
    return h5py.ExternalLink("/etc/passwd", "/")


def huge(file: h5py.File) -> None:
    file.create_dataset("numbers", shape=(10**14,), dtype="i2", chunks=(1024,))


def unbacked(file: h5py.File) -> None:
    file.create_dataset("numbers", shape=(10**8,), dtype="i2", chunks=(1024,))


def external_storage(file: h5py.File) -> None:
    file.create_dataset("numbers", shape=(29,), dtype="i2", external=[("/etc/passwd", 0, 58)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(29,), dtype="i2")
    layout[:] = h5py.VirtualSource("other.h5", "numbers", shape=(29,))
    file.create_virtual_dataset("numbers", layout)


def object_type(file: h5py.File) -> None:
    file.create_dataset("numbers", data=["a"] * 29, dtype=h5py.string_dtype())


def deep(file: h5py.File) -> None:
    file.create_group("/".join("abcdefghijkl"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (attribute("crystaltool_format", None), "not written by crystaltool"),
        (attribute("crystaltool_format", 2), "format version 2, this program reads version 1"),
        (attribute("crystaltool_format", "x"), "format version x"),
        (attribute("crystaltool_format", [1, 1]), "format version"),
        (attribute("kind", "blocks"), "kind 'blocks', expected 'asym-unit'"),
        (replace("numbers", lambda file: None), "no data set 'numbers'"),
        (replace("numbers", lambda file: np.zeros(3, dtype="i2")), "has the shape"),
        (replace("group", lambda file: np.zeros((9, 1), dtype="i2")), "has the shape"),
        (replace("group", lambda file: np.int16(3)), "has the shape"),
        (replace("numbers", lambda file: np.zeros(29)), "has the type float64"),
        (replace("numbers", soft_link), "soft or external link"),
        (replace("numbers", external_link), "soft or external link"),
        (replace("numbers", huge), "the limit is"),
        (replace("numbers", unbacked), r"only 0 bytes are stored"),
        (replace("numbers", external_storage), "in another file"),
        (replace("numbers", virtual), "in another file"),
        (replace("numbers", object_type), "expected plain numbers"),
        (deep, "nested more than 8 deep"),
        (edit("group", 0, 231), "space group outside 1-230"),
        (edit("group", 0, 0), "space group outside 1-230"),
        (edit("numbers", 0, 119), "atomic number outside"),
        (edit("positions", 0, 9), "Wyckoff position that the group does not have"),
        (edit("positions", 0, -1), "Wyckoff position that the group does not have"),
        (edit("n_orbits", 0, 17), "n_orbits add up to"),
        (edit("n_orbits", slice(0, 2), [19, 0]), "without orbits"),
        (edit("n_orbits", slice(0, 2), [-3, 22]), "without orbits"),
        (edit("free_coords", (0, 0), np.nan), "coordinate that is not finite"),
        (edit("lattice", (0, 0, 0), np.inf), "cell that is not finite"),
        (edit("lattice", 0, 0.0), "cell without volume"),
        (edit("names", 0, b"\xff\xfe"), "codec can.t decode"),
    ],
)
def test_hostile_files(stored: Path, change: Callable[[h5py.File], None], words: str) -> None:
    with h5py.File(stored, "r+") as file:
        change(file)
    refused(stored, words)


def test_group_loops_end(stored: Path) -> None:
    with h5py.File(stored, "r+") as file:
        group = file.create_group("a")
        group["again"] = file["/"]
    refused(stored, "nested more than 8 deep")


def test_many_objects_end(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_input, "MAX_OBJECTS", 100)
    with h5py.File(stored, "r+") as file:
        for index in range(101):
            file.create_group(f"g{index}")
    refused(stored, "more than 100 objects")


def test_a_file_that_unpacks_to_far_more_than_it_holds(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_input, "MUCH_UNPACKED", 2**20)
    with h5py.File(stored, "r+") as file:
        file.create_dataset("properties/zero", data=np.zeros(2**22), compression="gzip")
    refused(stored, "unpacks to 3.36e[+]07 bytes from")


def test_other_kinds_open_when_no_kind_is_asked(stored: Path) -> None:
    with h5py.File(stored, "r+") as file:
        file.attrs["kind"] = "blocks"
    with open_checked(stored) as file:
        assert file.attrs["kind"] == "blocks"
