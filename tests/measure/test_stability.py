"""Whose energy is taken: the block's only if it is of the potential asked for, else a single point of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crystaltool.errors import InputError, UsageError
from crystaltool.io.cif import format_asym_unit, format_crystal, parse_block
from crystaltool.measure.hull import FILLED_NAME, SHIPPED_HULLS, SHIPPED_NAME, load_hull
from crystaltool.measure.stability import (
    HULL_PROPERTIES,
    check_hull,
    energy_of,
    hull_properties,
    measure_stability,
    primitive_cell,
    stated_distance,
    stated_energy,
)
from tests.forcefield.units import ROCK_SALT, RUTILE

OURS = "1 crystaltool 0.2.0 | relax x.cif | chgnet 0.4.2 model 0.3.0"
OLDER = "1 crystaltool 0.2.0 | relax x.cif | chgnet 0.2.0 model 0.2.0"
RELAXED = {"energy_per_atom": "-3.4", "relax_forcefield": "chgnet"}


def block(properties: dict[str, str], history: tuple[str, ...] = (), unit=ROCK_SALT):
    return parse_block(format_asym_unit(unit, "salt", history, properties))


@pytest.mark.parametrize(
    ("properties", "history", "potential", "expected"),
    [
        (RELAXED, (), "chgnet", -3.4),
        (RELAXED, (OURS,), "chgnet", -3.4),
        (RELAXED, (OLDER,), "chgnet", None),
        (RELAXED, (OLDER, OURS.replace("1 ", "2 ", 1)), "chgnet", -3.4),
        (RELAXED, (OURS, "2 crystaltool 0.2.0 | check x.cif"), "chgnet", -3.4),
        (RELAXED, (), "mp2020", None),
        (RELAXED | {"relax_forcefield": "uff"}, (), "chgnet", None),
        ({"energy_per_atom": "-3.4"}, (), "chgnet", None),
        (RELAXED | {"energy_per_atom": "low"}, (), "chgnet", None),
        ({"relax_forcefield": "chgnet"}, (), "chgnet", None),
    ],
)
def test_an_energy_is_taken_from_the_block_if_it_is_of_the_potential(properties, history, potential, expected) -> None:
    assert stated_energy(block(properties, history), potential) == expected


def test_what_fits_no_hull_is_refused() -> None:
    assert check_hull("chgnet", None).name == FILLED_NAME
    assert check_hull("mp2020", None).name == SHIPPED_NAME == check_hull("chgnet", SHIPPED_NAME).name
    for hull_file in (None, *SHIPPED_HULLS):
        with pytest.raises(UsageError, match="energies of 'mace' do not stand beside the hull mp2020"):
            check_hull("mace", hull_file)
    for hull_file in (None, "h.csv"):
        with pytest.raises(UsageError, match="energies of uff compare structures of equal bonds"):
            check_hull("uff", hull_file)


def test_an_energy_that_nobody_has_is_said() -> None:
    with pytest.raises(InputError, match="the block states no energy of 'mp2020'"):
        energy_of(block(RELAXED), "mp2020")
    with pytest.raises(InputError, match="the hull mp2020-chgnet has no reference energy of Po"):
        measure_stability(block(RELAXED, unit=replace(ROCK_SALT, numbers=np.array([84, 17]))))


def test_distances_that_belong_to_another_energy_are_not_taken() -> None:
    relaxed = block(RELAXED)
    found, energy = measure_stability(relaxed)
    values = hull_properties(found, energy, load_hull())
    assert tuple(values) == HULL_PROPERTIES and values["hull_energy_source"] == "relaxed"
    assert float(values["e_above_hull"]) == pytest.approx(found.above_hull, abs=1e-6)
    assert stated_distance(block(RELAXED | values)) == values
    assert stated_distance(block(values)) == values  # measured by a single point, never relaxed
    assert stated_distance(block(RELAXED | values | {"energy_per_atom": "-3.5"})) is None  # relaxed afterwards
    assert stated_distance(relaxed) is None
    assert stated_distance(block(values | {"e_above_hull": "nan"})) is None


@pytest.mark.parametrize("unit", [ROCK_SALT, RUTILE], ids=["centred", "primitive"])
def test_a_single_point_is_the_energy_of_the_cell_as_it_is(unit) -> None:
    pytest.importorskip("chgnet", reason="the mlip extra is not installed")
    from crystaltool.forcefield.interface import single_point
    from crystaltool.forcefield.registry import load_force_field

    declared = block({}, unit=unit)
    listed = parse_block(format_crystal(declared.crystal, "listed"))
    field = load_force_field("chgnet")
    full = field.evaluate(listed.crystal).energy / listed.crystal.n_atoms
    assert single_point(field, listed.crystal) / listed.crystal.n_atoms == pytest.approx(full, abs=1e-5)
    centring = {225: 4, 136: 1}[unit.group]
    assert primitive_cell(declared).n_atoms == declared.crystal.n_atoms / centring
    assert primitive_cell(listed) is listed.crystal
    for each in (declared, listed):
        found = energy_of(each, "chgnet")
        assert found.per_atom == pytest.approx(full, abs=1e-5) and found.source == "single-point"
        assert "model 0.3.0" in found.version


def test_coinciding_atoms_have_no_energy() -> None:
    crystal = block({}).crystal
    close = replace(
        crystal, frac_coords=np.where(np.arange(8)[:, None] == 4, crystal.frac_coords[0] + 0.05, crystal.frac_coords)
    )
    with pytest.raises(InputError, match=r"two atoms are closer than 0.5 A"):
        energy_of(parse_block(format_crystal(close, "close")), "chgnet")
