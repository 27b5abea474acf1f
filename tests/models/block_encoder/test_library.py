"""Embeddings on disk and the decoding library: what is in it, what it finds, what is refused."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import pytest

from crystaltool.errors import InputError, UsageError
from crystaltool.models.block_encoder.data import block_points
from crystaltool.models.block_encoder.embedding import embed_points
from crystaltool.models.block_encoder.embedding_file import (
    BlockEmbeddings,
    blocks_digest,
    read_embeddings,
    write_embeddings,
)
from crystaltool.models.block_encoder.library import Library, build_library, write_library
from crystaltool.mof.blocks import NODE, assert_block
from crystaltool.mof.table import MOFTable, read_mofs
from tests.models.block_encoder.blocks import made_block, made_table, random_encoder, table_of, write_table

WEIGHTS = "ab" * 32


def embed(table: MOFTable) -> BlockEmbeddings:
    vectors = embed_points(random_encoder(), block_points(table)).astype(np.float32)
    return BlockEmbeddings(vectors, table.arrays["blocks/identity"].astype(np.int64), blocks_digest(table), WEIGHTS)


@pytest.fixture(scope="module")
def table() -> MOFTable:
    return made_table()


@pytest.fixture(scope="module")
def embeddings(table: MOFTable) -> BlockEmbeddings:
    return embed(table)


@pytest.fixture(scope="module")
def library(table: MOFTable, embeddings: BlockEmbeddings) -> Library:
    return build_library(table, embeddings)


@pytest.fixture
def path(library: Library, tmp_path: Path) -> Path:
    write_library(tmp_path / "library.h5", library, ("1 crystaltool 0.1.0 | embed",))
    return tmp_path / "library.h5"


# ---- embeddings


def test_embeddings_come_back(embeddings: BlockEmbeddings, table: MOFTable, tmp_path: Path) -> None:
    write_embeddings(tmp_path / "e.h5", embeddings)
    found = read_embeddings(tmp_path / "e.h5")
    np.testing.assert_array_equal(found.of(table), embeddings.embedding)
    np.testing.assert_array_equal(found.identity, embeddings.identity)
    assert (found.blocks_sha256, found.weights_sha256) == (embeddings.blocks_sha256, WEIGHTS)
    buffer = BytesIO()
    write_embeddings(buffer, embeddings)
    np.testing.assert_array_equal(read_embeddings(BytesIO(buffer.getvalue())).embedding, embeddings.embedding)


def test_names_and_bond_orders_may_change_atoms_may_not(embeddings: BlockEmbeddings, table: MOFTable) -> None:
    orders = np.zeros_like(table.arrays["blocks/bond_orders"])
    renamed = replace(
        table,
        arrays={**table.arrays, "blocks/bond_orders": orders},
        identity_names=tuple(f"new {name}" for name in table.identity_names),
    )
    assert embeddings.of(renamed) is embeddings.embedding
    for key, value in (("numbers", 5), ("cart_coords", 9.0), ("bonds", 1), ("kind", 2)):
        changed = table.arrays[f"blocks/{key}"].copy()
        changed[-1] = value
        with pytest.raises(InputError, match=r"of the 96 blocks with sha256 .* not of these 96"):
            embeddings.of(replace(table, arrays={**table.arrays, f"blocks/{key}": changed}))
    with pytest.raises(InputError, match="not of these"):
        embeddings.of(made_table(24, 2))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: f.attrs.__delitem__("blocks_sha256"), "no attribute blocks_sha256"),
        (lambda f: f.attrs.__setitem__("weights_sha256", "short"), "no attribute weights_sha256"),
        (lambda f: f.__delitem__("identity"), "no data set 'identity'"),
        (lambda f: f["embedding"].__setitem__((3, 3), np.nan), "not finite"),
        (lambda f: f.attrs.__setitem__("kind", "mof-blocks"), "of kind 'mof-blocks', expected 'block-embeddings'"),
        (lambda f: f.attrs.__setitem__("crystaltool_format", 7), "format version 7"),
        (
            lambda f: (f.__delitem__("identity"), f.create_dataset("identity", data=np.zeros(3, np.int32))),
            "96 embeddings but 3 identities",
        ),
        (
            lambda f: (f.__delitem__("embedding"), f.create_dataset("embedding", data=np.zeros((96, 31), "f4"))),
            "no data set 'embedding' of shape",
        ),
    ],
)
def test_damaged_embeddings_are_one_sentence(embeddings: BlockEmbeddings, tmp_path: Path, damage, words: str) -> None:
    write_embeddings(tmp_path / "e.h5", embeddings)
    with h5py.File(tmp_path / "e.h5", "r+") as file:
        damage(file)
    with pytest.raises(InputError, match=words) as caught:
        read_embeddings(tmp_path / "e.h5")
    assert "\n" not in str(caught.value) and "e.h5" in str(caught.value)


# ---- what is in a library


def test_every_distinct_conformer_stands_once_with_its_places(table: MOFTable, library: Library) -> None:
    """Four blocks of 24 MOFs, the first of them twice: three conformers, places two, one, one."""
    assert len(library) == 72 and library.occurrences.sum() == 96
    np.testing.assert_array_equal(library.occurrences, np.tile([2, 1, 1], 24))
    for index in range(72):
        found, expected = library.block(index), made_block(index // 3, index % 3)
        assert_block(found)
        assert found.identity == expected.identity and found.kind == expected.kind
        np.testing.assert_array_equal(found.bonds, expected.bonds)
        np.testing.assert_array_equal(found.bond_orders, expected.bond_orders)
        np.testing.assert_allclose(found.cart_coords, expected.cart_coords, atol=1e-5)


def test_only_blocks_of_kept_mofs(table: MOFTable, embeddings: BlockEmbeddings) -> None:
    made = build_library(table, embeddings, ["mof-3", "mof-7"])
    assert {made.block(i).identity for i in range(len(made))} == {"made-3", "made-7"}
    np.testing.assert_array_equal(made.occurrences, [2, 1, 1] * 2)
    np.testing.assert_array_equal(made.embeddings[0], embeddings.embedding[12])
    with pytest.raises(InputError, match=r"no MOF 'mof-99' among the 24 .*\(1 such names\)"):
        build_library(table, embeddings, ["mof-3", "mof-99"])
    with pytest.raises(InputError, match="no block is left"):
        build_library(table, embeddings, [])


def test_blocks_without_mofs_or_identities_make_a_library_too() -> None:
    table = table_of([made_block(1, 0), made_block(1, 0), made_block(2, 0)])
    assert build_library(table, embed(table)).occurrences.tolist() == [2, 1]
    unnamed = replace(table, arrays={**table.arrays, "blocks/identity": np.full(3, -1, np.int32)})
    assert build_library(unnamed, embed(unnamed)).occurrences.tolist() == [1, 1, 1]


def test_a_library_comes_back_and_is_a_file_of_blocks(library: Library, path: Path) -> None:
    found = Library.load(path, WEIGHTS)
    np.testing.assert_array_equal(found.embeddings, library.embeddings)
    np.testing.assert_array_equal(found.occurrences, library.occurrences)
    np.testing.assert_array_equal(found.kinds, library.kinds)
    blocks = read_mofs(path)
    assert len(blocks) == 0 and blocks.n_blocks == 72
    assert blocks.block(5).identity == library.block(5).identity
    assert Library.load(BytesIO(path.read_bytes())).weights_sha256 == WEIGHTS


# ---- what it finds


def test_blocks_with_an_element(library: Library) -> None:
    for number in (1, 6, 8, 92):
        expected = [number in library.block(row).numbers for row in range(len(library))]
        assert library.containing(number).tolist() == expected
    assert library.containing(6).any() and not library.containing(92).any()


def test_nearest_is_that_of_a_full_sort(library: Library) -> None:
    queries = np.random.default_rng(0).standard_normal((50, 32)).astype(np.float32) + library.embeddings[:50]
    distances = np.linalg.norm(queries[:, None] - library.embeddings[None], axis=2)
    rows, found = library.nearest(queries, 5)
    np.testing.assert_array_equal(rows, np.argsort(distances, axis=1)[:, :5])
    np.testing.assert_allclose(found, np.sort(distances, axis=1)[:, :5], rtol=1e-5)
    rows, found = library.nearest(library.embeddings, 1)
    np.testing.assert_array_equal(rows[:, 0], np.arange(72))
    assert found.max() == 0.0
    assert library.nearest(queries[:0], 3)[0].shape == (0, 3)


def test_nearest_of_a_kind_and_with_so_many_connections(library: Library) -> None:
    queries = library.embeddings[::5]
    kinds = np.arange(len(queries)) % 2
    rows, distances = library.nearest(queries, 8, kind=kinds, n_connections=3)
    assert (np.diff(distances[np.isfinite(distances).all(1)], axis=1) >= 0).all()
    for query, kind, row, distance in zip(queries, kinds, rows, distances, strict=True):
        fits = np.flatnonzero((library.kinds == kind) & (library.n_connections == 3))
        order = fits[np.argsort(np.linalg.norm(library.embeddings[fits] - query, axis=1), kind="stable")][:8]
        np.testing.assert_array_equal(row[row >= 0], order)
        assert (row >= 0).sum() == min(8, len(fits)) and np.isinf(distance[row < 0]).all()
    rows, distances = library.nearest(queries, 2, kind=NODE, n_connections=np.full(len(queries), 17))
    assert (rows == -1).all() and np.isinf(distances).all()


def test_many_are_found_as_one_by_one(library: Library) -> None:
    """More than one chunk, filters cut along."""
    rng = np.random.default_rng(1)
    queries = rng.standard_normal((5000, 32)).astype(np.float32)
    wanted = rng.integers(1, 5, 5000)
    rows, _ = library.nearest(queries, 1, n_connections=wanted)
    np.testing.assert_array_equal(library.n_connections[rows[:, 0]], wanted)
    for index in (0, 4095, 4096, 4999):
        one, _ = library.nearest(queries[index : index + 1], 1, n_connections=int(wanted[index]))
        assert one[0, 0] == rows[index, 0]


@pytest.mark.parametrize("k", [0, 73])
def test_more_neighbours_than_blocks(library: Library, k: int) -> None:
    with pytest.raises(UsageError, match=f"k is {k}, the library holds 72"):
        library.nearest(library.embeddings[:1], k)


# ---- what is refused


def test_a_library_of_another_encoder_is_refused(path: Path) -> None:
    with pytest.raises(InputError, match=r"library\.h5: of the encoder abab.*, the embeddings are of cdcd"):
        Library.load(path, "cd" * 32)


def test_blocks_that_are_no_library_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no decoding library"):
        Library.load(write_table(tmp_path / "blocks.h5"))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: f.__delitem__("library/embedding"), "no data set 'library/embedding'"),
        (lambda f: f["library/embedding"].__setitem__((0, 0), np.inf), "not finite"),
        (lambda f: f.attrs.__delitem__("weights_sha256"), "no attribute weights_sha256"),
        (lambda f: f["blocks/numbers"].__setitem__(0, -3), "atomic number"),
        (
            lambda f: (
                f.__delitem__("library/occurrences"),
                f.create_dataset("library/occurrences", data=np.ones(71, np.int32)),
            ),
            "72 blocks",
        ),
    ],
)
def test_a_damaged_library_is_one_sentence(path: Path, damage, words: str) -> None:
    with h5py.File(path, "r+") as file:
        damage(file)
    with pytest.raises(InputError, match=words) as caught:
        Library.load(path)
    assert "\n" not in str(caught.value)
