"""`MOFTable`: there and back through HDF5, and files that must not be believed."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystaltool.errors import InputError
from crystaltool.mof.blocks import BuildingBlock, CoarseMOF, Connections
from crystaltool.mof.fragment import fragment
from crystaltool.mof.perception import perceive_bonds
from crystaltool.mof.table import MOFTable, TableBuilder, read_mofs, tabulate, write_mofs
from tests.mof.structures import curated

SINGLE = 1e-5
"""Coordinates of blocks are kept in single precision."""


@st.composite
def mofs(draw, posed: bool) -> CoarseMOF:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    blocks = []
    for _ in range(draw(st.integers(1, 5))):
        n_atoms, n_points = draw(st.integers(1, 12)), draw(st.integers(1, 6))
        points = rng.normal(size=(n_points, 3)) * 3
        n_bonds = draw(st.integers(0, n_atoms - 1))
        blocks.append(
            BuildingBlock(
                kind=draw(st.integers(0, 2)),
                numbers=rng.integers(1, 119, n_atoms),
                cart_coords=rng.normal(size=(n_atoms, 3)) * 5,
                bonds=np.column_stack([np.arange(n_bonds), np.arange(1, n_bonds + 1)]).astype(np.int64),
                bond_orders=rng.choice([0, 1, 1.5, 2, 3], n_bonds),
                connection_coords=points - points.mean(axis=0),
                connection_atoms=rng.integers(0, n_atoms, n_points),
                identity=draw(st.sampled_from(["", "Zn_4_00", "*<-n1ccccc1", "Ünïcode", "a.b;c"])),
            )
        )
    n, connections, rotations = len(blocks), None, None
    if posed:
        m = draw(st.integers(0, 6))
        ends = rng.integers(0, n, (m, 2))
        limits = np.array([block.n_connections for block in blocks])[ends]
        connections = Connections(ends, (rng.random((m, 2)) * limits).astype(np.int64), rng.integers(-3, 4, (m, 3)))
        rotations = np.linalg.qr(rng.normal(size=(n, 3, 3)))[0]
        rotations *= np.sign(np.linalg.det(rotations))[:, None, None]
    names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
    return CoarseMOF(
        lattice=np.diag(rng.uniform(3, 30, 3)) + np.tril(rng.normal(size=(3, 3)), -1),
        blocks=tuple(blocks),
        centres=rng.normal(size=(n, 3)),
        rotations=rotations,
        connections=connections,
        nets=rng.integers(0, 3, n),
        name=draw(names),
        properties=draw(st.dictionaries(st.sampled_from(["PLD", "wc [mmol per g]"]), st.floats(-1e6, 1e6))),
    )


def there_and_back(table: MOFTable) -> MOFTable:
    target = io.BytesIO()
    write_mofs(target, table, ("1 crystaltool fragment",))
    target.seek(0)
    return read_mofs(target)


@pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # beartype picks the items that it checks
@pytest.mark.parametrize("posed", [True, False])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_table_comes_back_from_hdf5(posed: bool, data: st.DataObject) -> None:
    written = data.draw(st.lists(mofs(posed), min_size=1, max_size=4))
    table = there_and_back(tabulate(written))
    assert len(table) == len(written) and table.posed == posed
    for index, mof in enumerate(written):
        again = table[index]
        assert (again.name, again.n_blocks, again.properties) == (mof.name, mof.n_blocks, mof.properties)
        assert np.array_equal(again.lattice, mof.lattice) and np.array_equal(again.centres, mof.centres)
        assert again.nets is not None and mof.nets is not None and np.array_equal(again.nets, mof.nets)
        assert (again.rotations is None) == (mof.rotations is None) == (not posed)
        if mof.connections is not None and mof.rotations is not None:
            assert again.connections is not None and again.rotations is not None
            assert np.array_equal(again.rotations, mof.rotations)
            for key in ("blocks", "points", "images"):
                assert np.array_equal(getattr(again.connections, key), getattr(mof.connections, key))
        for one, other in zip(again.blocks, mof.blocks, strict=True):
            assert (one.kind, one.identity) == (other.kind, other.identity)
            for key in ("numbers", "bonds", "connection_atoms", "bond_orders"):
                assert np.array_equal(getattr(one, key), getattr(other, key))
            for key in ("cart_coords", "connection_coords"):
                assert np.abs(getattr(one, key) - getattr(other, key)).max() < SINGLE


def test_fingerprints_stay_with_their_identities() -> None:
    crystal = curated()["MIL-53"]
    mof = fragment(crystal, perceive_bonds(crystal))
    builder = TableBuilder()
    builder.add(mof, [np.full(256, block.kind, dtype=np.uint8) for block in mof.blocks])
    table = there_and_back(builder.table())
    assert table.arrays["identities/ecfp4"].shape == (1, 256)  # all unnamed: one identity, the first one's bits
    assert (table.arrays["identities/ecfp4"] == mof.blocks[0].kind).all()


def test_an_empty_table_and_a_library_of_blocks_without_mofs() -> None:
    assert len(there_and_back(tabulate([]))) == 0
    crystal = curated()["MIL-53"]
    builder = TableBuilder()
    for block in fragment(crystal, perceive_bonds(crystal)).blocks:
        builder.add_block(block)
    table = there_and_back(builder.table())
    assert (len(table), table.n_blocks) == (0, 6)


def test_posed_and_unposed_do_not_mix() -> None:
    crystal = curated()["MIL-53"]
    mof = fragment(crystal, perceive_bonds(crystal))
    builder = TableBuilder()
    builder.add(mof)
    with pytest.raises(InputError, match="posed and unposed"):
        builder.add(CoarseMOF(mof.lattice, mof.blocks, mof.centres))


def set_value(key: str, place, value) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file[key][place] = value

    return change


def set_attribute(key: str, value) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file.attrs[key] = value

    return change


def replace_with(key: str, value) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[key]
        if value is not None:
            file[key] = value

    return change


HOSTILE: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "other kind": (set_attribute("kind", "asym-units"), "of kind 'asym-units', expected 'mof-blocks'"),
    "other version": (set_attribute("crystaltool_format", 99), "format version 99"),
    "no lattice": (replace_with("mofs/lattice", None), "no data set 'mofs/lattice'"),
    "lattice of text": (replace_with("mofs/lattice", np.array([b"a"])), "expected f8"),
    "lattice of another shape": (replace_with("mofs/lattice", np.zeros((1, 2))), "expected f8 of shape"),
    "flat cell": (set_value("mofs/lattice", 0, 0.0), "cell volume"),
    "cell not finite": (set_value("mofs/lattice", 0, np.nan), "not finite"),
    "negative count": (set_value("blocks/n_atoms", 0, -1), "negative count"),
    "count too large": (set_value("blocks/n_atoms", 0, 2**31 - 1), "rows, expected"),
    "no atoms": (replace_with("blocks/numbers", np.zeros(0, dtype=np.int16)), "rows, expected"),
    "element 0": (set_value("blocks/numbers", 0, 0), "atomic number outside"),
    "element 500": (set_value("blocks/numbers", 0, 500), "atomic number outside"),
    "coordinate not finite": (set_value("blocks/cart_coords", 0, np.inf), "not finite"),
    "bond to nowhere": (set_value("blocks/bonds", 0, 3000), "bond at atom"),
    "point at nowhere": (set_value("blocks/connection_atoms", 0, -4), "connection point at atom"),
    "kind of block": (set_value("blocks/kind", 0, 7), "a block of kind 7"),
    "identity": (set_value("blocks/identity", 0, 1000), "identity that is not there"),
    "place": (set_value("places/block", 0, 1000), "block that is not there"),
    "reflection": (set_value("places/rotations", 0, -np.eye(3)), "no proper rotation"),
    "connection to nowhere": (set_value("connections/blocks", 0, 77), "connection to block 78"),
    "point of a connection": (set_value("connections/points", 0, 77), "connection point that its block does not have"),
    "names not UTF-8": (replace_with("mofs/names", np.array([b"\xff\xfe"])), "not UTF-8"),
    "names of numbers": (replace_with("mofs/names", np.array([1.0])), "no list of names"),
    "property of another length": (replace_with("properties/PLD", np.zeros(7)), "not one number per MOF"),
    "link out of the file": (replace_with("mofs/names", h5py.ExternalLink("/etc/passwd", "/x")), "external link"),
}


@pytest.fixture(scope="module")
def good_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    crystal = curated()["MIL-53"]
    mof = fragment(crystal, perceive_bonds(crystal))
    path = tmp_path_factory.mktemp("table") / "good.h5"
    write_mofs(path, tabulate([replace(mof, name="MIL-53", properties={"PLD": 7.5})]))
    return path.read_bytes()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_lies_is_refused_with_one_line(name: str, good_file: bytes, tmp_path: Path) -> None:
    change, message = HOSTILE[name]
    path = tmp_path / "lie.h5"
    path.write_bytes(good_file)
    assert len(read_mofs(path)) == 1
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(InputError, match=message) as refusal:
        read_mofs(path)
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("part", [0, 10, 0.3, 0.6, 0.9])
def test_a_cut_off_file_is_refused(part: float, good_file: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cut.h5"
    path.write_bytes(good_file[: int(part if part >= 1 else part * len(good_file))])
    with pytest.raises(InputError):
        read_mofs(path)


def test_a_property_with_a_slash_is_refused(tmp_path: Path) -> None:
    table = tabulate([])
    table.properties["mmol/g"] = np.zeros(0)
    with pytest.raises(InputError, match="slash"):
        write_mofs(tmp_path / "x.h5", table)
