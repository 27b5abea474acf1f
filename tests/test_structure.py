"""`Structure`: it is what its block says, whatever it was made from, and nothing changes it."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from crystaltool.asymunit import expand
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.io.cif import format_asym_unit, format_crystal, parse_block
from crystaltool.mof.perception import perceive_bonds
from crystaltool.structure import Structure, assert_structure
from tests.forcefield.units import ROCK_SALT, RUTILE
from tests.mof.structures import curated

HISTORY = ("1 crystaltool 0.1.0 | sample symmcd",)


def unit() -> Structure:
    return Structure(RUTILE, name="rutile", properties={"energy_per_atom": -3.5, "note": "a b"}, history=HISTORY)


def framework() -> Structure:
    crystal = curated()["MIL-53"]
    bonds = perceive_bonds(crystal)
    return Structure(crystal, name="mof", bonds=bonds, charges=np.linspace(-1, 1, crystal.n_atoms))


@pytest.mark.parametrize("make", [unit, framework, lambda: Structure(expand(ROCK_SALT), name="salt")])
def test_the_invariant_holds_and_travels(make) -> None:
    structure = make()
    assert_structure(structure)
    for again in (
        pickle.loads(pickle.dumps(structure)),
        copy.deepcopy(structure),
        Structure.from_block(structure.block),
        structure.renamed("other").renamed(structure.name),
    ):
        assert_structure(again)
        assert again == structure and hash(again) == hash(structure)
        assert again.space_group == structure.space_group and again.n_atoms == structure.n_atoms


def test_what_is_written_is_what_the_commands_write() -> None:
    assert unit().to_cif() == format_asym_unit(RUTILE, "rutile", HISTORY, {"energy_per_atom": "-3.5", "note": "a b"})
    crystal = expand(ROCK_SALT)
    assert Structure(crystal, name="salt").to_cif(created="2026-01-01") == format_crystal(
        crystal, "salt", created="2026-01-01"
    )
    assert "crystaltool 0.1.0" in unit().to_cif() and "crystaltool 0.1.0" not in unit().to_cif(provenance=False)


def test_a_block_that_was_read_keeps_all_that_it_says() -> None:
    text = format_asym_unit(RUTILE, "rutile", HISTORY, {"target": "7"}, "2026-01-01")
    text = text.replace("_cell_volume", "_journal_year 1999\n_cell_volume")
    read = Structure.from_block(parse_block(text, "in.cif", 12))
    assert read.source == "in.cif" and read.to_cif() == text
    more = read.with_properties(energy=1.5)
    assert more.properties == {"target": "7", "energy": "1.5"} and more.space_group == 136
    assert "_journal_year 1999" in more.to_cif() and read.properties == {"target": "7"}
    bare = read.to_cif(provenance=False)
    assert "_audit" not in bare and "_journal_year 1999" in bare and parse_block(bare).properties == {"target": "7"}
    assert read.unit is not None and read.unit.group == 136


def test_nothing_changes_it() -> None:
    structure = unit()
    with pytest.raises(AttributeError):
        structure.name = "x"
    with pytest.raises(TypeError):
        structure.properties["a"] = "b"  # ty: ignore[invalid-assignment]
    for array in (structure.lattice, structure.crystal.frac_coords, framework().charges):
        with pytest.raises(ValueError):
            array[...] = 0
    lattice = np.array(RUTILE.lattice)
    structure.block.crystal.lattice.sum()
    np.testing.assert_array_equal(RUTILE.lattice, lattice)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bonds": perceive_bonds(expand(ROCK_SALT))}, "not in an asymmetric unit"),
        ({"charges": np.zeros(3)}, r"charges of the shape \(3,\), expected \(2,\)"),
        ({"properties": {"Energy": 1}}, "property name 'Energy'"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Structure(ROCK_SALT, **options)


def test_ase_and_pymatgen_there_and_back() -> None:
    """Against the programs' own readers of the CIF that is written."""
    ase_io = pytest.importorskip("ase.io")
    from io import StringIO

    from pymatgen.core import Structure as PymatgenStructure

    structure = unit()
    atoms, theirs = structure.to_ase(), structure.to_pymatgen()
    read = ase_io.read(StringIO(structure.to_cif()), format="cif")
    np.testing.assert_allclose(np.sort(atoms.get_all_distances(mic=True).ravel()),
                               np.sort(read.get_all_distances(mic=True).ravel()), atol=1e-6)  # fmt: skip
    assert theirs.matches(PymatgenStructure.from_str(structure.to_cif(), fmt="cif"))
    for again in (Structure.from_ase(atoms), Structure.from_pymatgen(theirs)):
        assert again.name == "rutile" and again.numbers.tolist() == structure.numbers.tolist()
        np.testing.assert_allclose(again.crystal.frac_coords, structure.crystal.frac_coords, atol=1e-7)
        assert_structure(again)
    assert framework().to_ase().get_initial_charges()[-1] == pytest.approx(1.0)
    assert Structure.from_ase(atoms, properties={"energy": 2}).properties == {"energy": "2"}


def test_what_is_no_crystal_is_refused() -> None:
    ase = pytest.importorskip("ase")
    from pymatgen.core import Lattice
    from pymatgen.core import Structure as PymatgenStructure

    with pytest.raises(InputError, match="three directions"):
        Structure.from_ase(ase.Atoms("Cu", cell=[3, 3, 30], pbc=(True, True, False)))
    disordered = PymatgenStructure(Lattice.cubic(3.0), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    with pytest.raises(InputError, match="disordered"):
        Structure.from_pymatgen(disordered)
    with pytest.raises(InputError, match="volume"):
        Structure.from_ase(ase.Atoms("Cu", cell=[[3, 0, 0], [0, -3, 0], [0, 0, 3]], pbc=True))


def test_nan_is_refused_when_made() -> None:
    with pytest.raises(InputError):
        Structure(Crystal(np.eye(3) * 4, np.array([[np.nan, 0, 0]]), np.array([11])))
