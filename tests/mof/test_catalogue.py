"""The catalogue of nets: there and back through HDF5, names and keys, files that must not be believed."""

from __future__ import annotations

import io

import h5py
import numpy as np
import pytest

from crystaltool.errors import InputError, UsageError
from crystaltool.mof.catalogue import Catalogue, build_catalogue, nets_of_file, read_catalogue, write_catalogue
from crystaltool.mof.fragment import fragment
from crystaltool.mof.net_names import name_of
from crystaltool.mof.perception import perceive_bonds
from crystaltool.mof.table import tabulate
from tests.mof.structures import curated, shuffled


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    crystals = [curated()["MOF-5"], shuffled(curated()["MOF-5"], 1), curated()["HKUST-1"]]
    return build_catalogue(fragment(crystal, perceive_bonds(crystal)) for crystal in crystals)


def stored(catalogue: Catalogue) -> io.BytesIO:
    target = io.BytesIO()
    write_catalogue(target, catalogue)
    return target


def test_nets_count_and_come_most_frequent_first(catalogue: Catalogue) -> None:
    assert catalogue.counts.tolist() == [1, 1, 1] and len(set(catalogue.keys)) == 2
    assert [name_of(net.net()) for net in catalogue.nets] == ["pcu", "pcu", "tbo"]
    one = build_catalogue((fragment(c, perceive_bonds(c)) for c in [curated()["MOF-5"]] * 5), kept=2)
    assert sorted(one.counts.tolist()) == [2, 3]


def test_there_and_back(catalogue: Catalogue) -> None:
    again = read_catalogue(stored(catalogue))
    assert again.keys == catalogue.keys
    for ours, theirs in zip(again.nets, catalogue.nets, strict=True):
        assert (ours.name, ours.count, ours.key()) == (theirs.name, theirs.count, theirs.key())
        assert (ours.kinds == theirs.kinds).all() and (ours.classes == theirs.classes).all()
        assert np.abs(ours.vectors - theirs.vectors).max() < 2e-3  # A: places are stored as 1/65536 of the cell
        assert np.abs(ours.points - theirs.points).max() < 5e-3


def test_nets_by_name_key_and_structure(catalogue: Catalogue) -> None:
    assert catalogue.named("pcu").tolist() == [0, 1] and catalogue.named("tbo").tolist() == [2]
    assert catalogue.named(catalogue.keys[2]).tolist() == [2] == catalogue.named(catalogue.keys[2][:9]).tolist()
    assert catalogue.named(catalogue.nets[2].name).tolist() == [2]
    for text, words in (("dia", "no net of this name"), ("nothing", "known names are pcu, tbo")):
        with pytest.raises(UsageError, match=words):
            catalogue.named(text)


def test_files_that_must_not_be_believed(catalogue: Catalogue) -> None:
    def spoil(key: str, values) -> io.BytesIO:
        target = stored(catalogue)
        with h5py.File(target, "r+") as file:
            del file[key]
            if values is not None:
                file.create_dataset(key, data=values)
        return target

    counts = np.array([net.n_vertices for net in catalogue.nets], dtype="i2")
    bad = [
        spoil("vertices/kind", None),
        spoil("vertices/kind", np.zeros(3, dtype="i1")),
        spoil("nets/n_vertices", counts + 1),
        spoil("nets/n_vertices", -counts),
        spoil("nets/lattice", np.zeros((3, 2, 2), dtype="f4")),
        spoil("nets/keys", np.array([b"x"])),
    ]
    for target in bad:
        with pytest.raises(InputError):
            read_catalogue(target)
    with pytest.raises(InputError):
        read_catalogue(io.BytesIO(b"no HDF5"))


def test_nets_of_a_file_of_mofs() -> None:
    crystal = curated()["MOF-5"]
    mof = fragment(crystal, perceive_bonds(crystal))
    assert [name_of(net.net()) for net in nets_of_file(tabulate([mof]), "file").nets] == ["pcu"]
    with pytest.raises(InputError, match="no MOFs"):
        nets_of_file(tabulate([]), "file")
