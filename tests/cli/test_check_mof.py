"""`crystaltool check` on metal-organic frameworks from the shell: kinds, references, pores, bad input."""

from __future__ import annotations

import importlib.util
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from crystaltool.checks.registry import MOF_RULES
from crystaltool.crystal import Crystal
from crystaltool.io.cif import format_crystal
from crystaltool.mof.fragment import Limits, fragment
from crystaltool.mof.identity import identify
from crystaltool.mof.perception import perceive_bonds
from crystaltool.mof.table import TableBuilder, write_mofs
from tests.checks.blocks import textbook_text
from tests.mof.structures import curated, cyanides, shuffled

HALITE = textbook_text("halite")
MIL53 = format_crystal(curated()["MIL-53"], "mil-53")
MIL47 = format_crystal(curated()["MIL-47"], "mil-47")
AGAIN = format_crystal(shuffled(curated()["MIL-53"], 4), "again")
WIDE = Limits(blocks=100, atoms=1000, connections=100)
NO_BONDS = format_crystal(cyanides(""), "atom")
DISORDERED = MIL47.replace("data_mil-47", "data_disordered").replace("_atom_site_fract_z", "_atom_site_occupancy", 1)


def table(text: str) -> dict[str, dict[str, str]]:
    """Verdicts by structure and check."""
    head, *lines = text.splitlines()
    assert head.split("\t") == ["structure", "check", "verdict", "value", "limit", "message"]
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for line in lines:
        name, check, verdict, *_ = line.split("\t")
        found[name][check] = verdict
    return found


@pytest.fixture
def mofs_h5(tmp_path) -> Path:
    """MIL-53 as `fragment` writes it."""
    crystal = curated()["MIL-53"]
    mof = fragment(crystal, perceive_bonds(crystal), WIDE)
    builder = TableBuilder()
    names = [identify(block) for block in mof.blocks]
    from dataclasses import replace

    blocks = tuple(replace(block, identity=name.text) for block, name in zip(mof.blocks, names, strict=True))
    builder.add(replace(mof, blocks=blocks, name="known"), [name.bits for name in names])
    path = tmp_path / "known.h5"
    write_mofs(path, builder.table())
    return path


def test_a_mixed_stream_gets_the_checks_of_each_kind(crystaltool):
    done = crystaltool("check", stdin=MIL53 + HALITE)
    found = table(done.stdout)
    assert done.returncode == 0
    assert list(found["mil-53"]) == ["formula", "multiplicities", *(rule.name for rule in MOF_RULES)]
    assert "charge" in found["halite"] and "overlap" not in found["halite"]
    assert set(found["mil-53"].values()) == {"pass"}
    assert "high-charge" in done.stderr and "distance-lemat" in done.stderr


def test_a_framework_is_held_to_what_it_declares(crystaltool):
    assert "_chemical_formula_sum 'C8 H5 Al O5'" in MIL53
    done = crystaltool("check", "-q", stdin=MIL53.replace("C8 H5 Al O5", "C8 H Al O5"))
    found = table(done.stdout)["mil-53"]
    assert done.returncode == 1 and [name for name, word in found.items() if word == "fail"] == ["formula"]


def test_kind_overrides_what_is_recognised(crystaltool):
    found = table(crystaltool("check", "-q", "--kind", "mof", stdin=HALITE).stdout)["halite"]
    assert found["has-carbon"] == found["has-hydrogen"] == "fail" and found["has-metal"] == "pass"
    done = crystaltool("check", "-q", "--kind", "rock", stdin=HALITE)
    assert done.returncode == 2 and "expected inorganic or mof" in done.stderr and done.stdout == ""


def test_stated_bonds_make_a_framework_but_are_not_believed(crystaltool):
    """A cyanide without hydrogen is judged as a MOF once it states its bonds; one that claims bonds which are not there
    fails all the same."""
    apart = cyanides("xyz", edge=7.0)
    bonds = perceive_bonds(cyanides("xyz"))
    done = crystaltool("check", "-q", stdin=format_crystal(apart, "apart", bonds=bonds))
    found = table(done.stdout)["apart"]
    assert done.returncode == 1
    assert found["has-hydrogen"] == found["connected-3d"] == "fail" and found["has-metal"] == "pass"


def test_only_runs_on_all_kinds(crystaltool):
    found = table(crystaltool("check", "-q", "--only", "overlap,density", stdin=MIL53 + HALITE).stdout)
    assert found == {name: {"density": "pass", "overlap": "pass"} for name in ("mil-53", "halite")}


def test_novel_and_unique_against_blocks(crystaltool, mofs_h5):
    """A framework in another cell setting is the same; of halite's kind the reference has nothing."""
    done = crystaltool("check", "--reference", mofs_h5, "--json", stdin=MIL53 + MIL47 + AGAIN + HALITE)
    first, second, third, salt = (json.loads(line) for line in done.stdout.splitlines())
    assert done.returncode == 2
    assert not first["checks"]["novel"]["passed"] and "known" in first["checks"]["novel"]["message"]
    assert first["checks"]["unique"]["passed"] and first["kind"] == "mof"
    assert second["checks"]["novel"]["passed"] and second["checks"]["unique"]["passed"]
    assert second["identity"].count(";") == 2 and "V" in second["identity"]
    assert third["identity"] == first["identity"]
    assert not third["checks"]["unique"]["passed"] and "mil-53" in third["checks"]["unique"]["message"]
    assert "novel" not in salt["checks"] and not salt["passed"] and "kind" not in salt
    assert "this is an inorganic crystal, the reference holds metal-organic frameworks only" in salt["error"]
    assert "data_halite: ERROR, novelty cannot be judged" in done.stderr and done.stderr.count("ERROR") == 1


def test_novel_against_cifs_and_what_has_no_identity(crystaltool, tmp_path):
    path = tmp_path / "known.cif"
    path.write_text(MIL53)
    sheet = format_crystal(cyanides("xy"), "sheet")
    done = crystaltool("check", "--kind", "mof", "--reference", path, "--json", "-j", "2", stdin=AGAIN + sheet)
    again, flat = (json.loads(line)["checks"] for line in done.stdout.splitlines())
    assert not again["novel"]["passed"] and "mil-53" in again["novel"]["message"]
    assert not flat["novel"]["passed"] and flat["novel"]["message"].startswith("no identity: ")


def test_a_reference_without_structures_ends_the_run(crystaltool, tmp_path):
    path = tmp_path / "known.cif"
    path.write_text("nothing")
    done = crystaltool("check", "--reference", path, stdin=MIL53)
    assert done.returncode == 2 and done.stdout == "" and "known.cif: nothing to compare with: not CIF" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_reference_without_frameworks_says_nothing_of_them(crystaltool, tmp_path):
    path = tmp_path / "known.cif"
    path.write_text(HALITE)
    done = crystaltool("check", "--reference", path, "--pass", stdin=MIL53 + HALITE.replace("data_", "data_other-"))
    assert done.returncode == 2 and done.stdout == ""
    assert "this is a metal-organic framework, the reference holds inorganic crystals only" in done.stderr


def test_unassembled_blocks_are_no_reference(crystaltool, tmp_path):
    from dataclasses import replace

    crystal = curated()["MIL-53"]
    mof = replace(fragment(crystal, perceive_bonds(crystal), WIDE), rotations=None, connections=None)
    builder = TableBuilder()
    builder.add(mof)
    path = tmp_path / "sampled.h5"
    write_mofs(path, builder.table())
    done = crystaltool("check", "--reference", path, stdin=MIL53)
    assert done.returncode == 2 and "not assembled" in done.stderr


def test_bad_frameworks_are_reported_and_the_rest_is_judged(crystaltool):
    """One atom, atoms on top of each other, a disordered block, and then a sound one."""
    crystal = curated()["MIL-53"]
    frac = crystal.frac_coords.copy()
    frac[1] = frac[0] + 0.01  # nearer and they were one atom
    overlapping = format_crystal(Crystal(crystal.lattice, frac, crystal.numbers, "x"), "overlapping")
    done = crystaltool("check", "--kind", "mof", stdin=NO_BONDS + overlapping + DISORDERED + MIL53)
    found = table(done.stdout)
    assert done.returncode == 2 and "disordered" in done.stderr
    assert found["atom"]["lone-molecule"] == "fail" and found["atom"]["connected-3d"] == "fail"
    assert found["overlapping"]["overlap"] == "fail"
    assert set(found["mil-53"].values()) == {"pass"}


def test_json_states_the_identity_always(crystaltool):
    done = crystaltool(
        "check", "-q", "--json", "--only", "overlap", stdin=MIL53 + format_crystal(cyanides("xy"), "sheet")
    )
    framework, flat = (json.loads(line) for line in done.stdout.splitlines())
    assert framework["identity"].count(";") == 2 and "Al" in framework["identity"]
    assert flat.get("identity") is None


def test_pores(crystaltool):
    done = crystaltool("check", "-q", "--pores", stdin=MIL47 + MIL53)
    if importlib.util.find_spec("pyzeo") is None:
        assert done.returncode == 2 and "crystaltool[pore]" in done.stderr
    else:
        found = table(done.stdout)
        assert found["mil-47"]["pore-diameter"] == "pass"
        assert found["mil-53"]["pore-diameter"] == "fail"  # the narrow form


def test_a_zeo_that_dies_leaves_the_rule_alone_without_a_verdict(monkeypatch):
    """Zeo++ ends the process that calls it; ours goes on."""
    from crystaltool.checks.mof import pores
    from crystaltool.checks.mof.coordination import Coordination
    from crystaltool.measure import pores as zeo

    monkeypatch.setattr(zeo, "_CHILD", "import os; os._exit(1)")
    monkeypatch.setattr(zeo, "require_zeo", lambda: None)
    verdict = pores.check_pore_diameter(Coordination(cyanides()), str)
    assert not verdict.judged and verdict.message == "not judged: Zeo++ found no diameters"
    monkeypatch.setattr(zeo, "_CHILD", "open(__import__('sys').argv[2], 'w').write('x 9.5 3.25 9.0')")
    verdict = pores.check_pore_diameter(Coordination(cyanides()), str)
    assert verdict.passed and verdict.value == 3.25


def test_lattice_is_no_obstacle_to_pores():
    """The cell in Zeo++'s file: a primitive cubic framework of edge 20 A with nothing in it but a wire."""
    pytest.importorskip("pyzeo")
    from crystaltool.checks.mof.pores import pore_diameters

    wire = Crystal(np.eye(3) * 20.0, np.array([[0.0, 0.0, z / 8] for z in range(8)]), np.full(8, 6), "wire")
    largest, limiting = pore_diameters(wire)
    assert 20 * np.sqrt(2) - 4 < largest < 20 * np.sqrt(2) and limiting == pytest.approx(largest, abs=0.6)
