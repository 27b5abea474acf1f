"""`crystaltool fragment`: the file, the table of verdicts, properties, refusals, workers, exit codes."""

from __future__ import annotations

import csv
import gzip
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from crystaltool.crystal import Crystal
from crystaltool.io.cif import format_crystal
from crystaltool.io.hdf5 import read_history
from crystaltool.mof import blocks as noun
from crystaltool.mof.rebuild import to_crystal
from crystaltool.mof.table import read_mofs
from tests.cli.one_process import Child, one_process
from tests.conftest import TOOL, tool_environment
from tests.mof.structures import CURATED, TEREPHTHALATE, add_atoms, curated, cyanides

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "fragment.tsv"

REFUSED = {
    "layers": cyanides("xy"),
    "filled": add_atoms(cyanides(edge=10.2), [(5.0, 5.0, 5.0)], [8]),
    "overlapping": add_atoms(cyanides(), [(0.0, 0.0, 0.2)], [8]),
    "metal-free": cyanides(metal=8),
    "atom": Crystal(np.eye(3) * 3, np.zeros((1, 3)), np.array([29])),
}
DISORDERED = """data_disordered
_cell_length_a 5
_cell_length_b 5
_cell_length_c 5
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Zn1 Zn 0 0 0 0.5
C1 C 0.5 0 0 1
"""


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    """One process for the whole module."""
    with one_process() as running:
        yield running


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def mixed(folder: Path) -> Path:
    """Good ones, refused ones and an unreadable one in one file."""
    path = folder / "mixed.cif"
    text = "".join(format_crystal(crystal, name) for name, crystal in REFUSED.items())
    path.write_text(text + CURATED.read_text() + DISORDERED)
    return path


def test_verdicts_are_as_in_the_golden_file(child: Child, tmp_path: Path) -> None:
    """Regenerate it with the command line below, after a look at what changed."""
    ended = child.run(tmp_path, "fragment", "-q", "--report", "verdicts.tsv", "-o", "blocks.h5", mixed(tmp_path))
    assert (tmp_path / "verdicts.tsv").read_text() == GOLDEN.read_text()
    assert ended.code == 2  # the disordered one could not be read
    assert ended.err.count("\n") == 1 and "data_disordered: ERROR" in ended.err


def test_blocks_file_holds_the_frameworks_and_gives_their_atoms_back(child: Child, tmp_path: Path) -> None:
    ended = child.run(tmp_path, "fragment", "--max-connections", "24", "-o", "blocks.h5", CURATED)
    assert ended.code == 0, ended.err
    table = read_mofs(tmp_path / "blocks.h5")
    assert table.names == tuple(curated())
    assert TEREPHTHALATE in table.identity_names
    assert table.arrays["identities/ecfp4"].any(axis=1).all()
    for index, crystal in enumerate(curated().values()):
        again, _ = to_crystal(table[index])
        apart = again.frac_coords[:, None] - crystal.frac_coords
        distances = np.linalg.norm((apart - np.round(apart)) @ crystal.lattice, axis=2)
        assert distances.min(axis=1).max() < 1e-3
        orders = np.concatenate([block.bond_orders for block in table[index].blocks if block.kind == noun.LINKER])
        assert set(orders) <= {1.0, 1.5, 2.0, 3.0}
    assert "fragment" in read_history(tmp_path / "blocks.h5")[-1]


def test_refusals_are_named_and_are_no_errors(child: Child, tmp_path: Path) -> None:
    (tmp_path / "in.cif").write_text(
        "".join(format_crystal(crystal, name) for name, crystal in {**REFUSED, "good": cyanides()}.items())
    )
    ended = child.run(tmp_path, "fragment", "-o", "blocks.h5", "in.cif")
    assert ended.code == 0
    for name, reason in (("layers", "dimension"), ("filled", "dimension"), ("overlapping", "overlap")):
        assert f"data_{name}: WARNING, refused ({reason})" in ended.err
    assert "1 of 6 structures are usable MOFs" in ended.err
    assert read_mofs(tmp_path / "blocks.h5").names == ("good",)
    assert child.run(tmp_path, "fragment", "-q", "-o", "quiet.h5", "in.cif").err == ""


def test_no_usable_mof_at_all_is_trouble_and_leaves_the_verdicts_alone(child: Child, tmp_path: Path) -> None:
    (tmp_path / "in.cif").write_text(format_crystal(REFUSED["layers"], "layers"))
    ended = child.run(tmp_path, "fragment", "-q", "--report", "r.tsv", "-o", "blocks.h5", "in.cif")
    assert ended.code == 2
    assert "no usable MOF among 1 structure(s); refused: dimension 1" in ended.err
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != "") == ["in.cif", "r.tsv"]
    assert [(row["name"], row["verdict"], row["reason"]) for row in rows(tmp_path / "r.tsv")] == [
        ("layers", "refused", "dimension")
    ]


def test_an_ending_of_another_format_is_a_warning(child: Child, tmp_path: Path) -> None:
    (tmp_path / "good.cif").write_text(format_crystal(cyanides(), "good"))
    ended = child.run(tmp_path, "fragment", "good.cif", "-o", "blocks.cif")
    assert (ended.code, ended.err) == (
        0,
        "crystaltool fragment: WARNING, blocks.cif will hold HDF5, whatever its ending\n",
    )
    assert len(read_mofs(tmp_path / "blocks.cif")) == 1


def test_guests_are_left_out_on_demand(child: Child, tmp_path: Path) -> None:
    filled = add_atoms(curated()["MOF-5"], [(0.0, 0.0, 0.0)], [18])
    (tmp_path / "in.cif").write_text(format_crystal(filled, "filled"))
    assert child.run(tmp_path, "fragment", "-q", "-o", "blocks.h5", "in.cif").code == 2
    assert child.run(tmp_path, "fragment", "-q", "--guests", "remove", "-o", "blocks.h5", "in.cif").code == 0
    assert read_mofs(tmp_path / "blocks.h5")[0].n_atoms == 106


def test_properties_travel_by_name_of_block_or_file(child: Child, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("id,source,uptake [mmol/g]\nMOF-5,x,2.5\nmil,y,1.5\n")
    (tmp_path / "mil.cif").write_text(format_crystal(curated()["MIL-53"], "whatever"))
    ended = child.run(
        tmp_path, "fragment", "-q", "--properties", "table.csv", "--names", "file", "-o", "a.h5", "mil.cif"
    )
    assert ended.code == 0, ended.err
    table = read_mofs(tmp_path / "a.h5")
    assert table.names == ("mil",)
    assert table.properties["uptake [mmol per g]"].tolist() == [1.5]
    child.run(tmp_path, "fragment", "-q", "--properties", "table.csv", "-o", "b.h5", CURATED)
    both = read_mofs(tmp_path / "b.h5")
    known = dict(zip(both.names, both.properties["uptake [mmol per g]"], strict=True))
    assert known["MOF-5"] == 2.5 and np.isnan(known["HKUST-1"])


def test_workers_give_the_same_file(child: Child, tmp_path: Path) -> None:
    source = mixed(tmp_path)
    for jobs, name in (("1", "one.h5"), ("2", "two.h5")):
        assert child.run(tmp_path, "fragment", "-q", "--no-provenance", "-j", jobs, "-o", name, source).code == 2
    with h5py.File(tmp_path / "one.h5") as one, h5py.File(tmp_path / "two.h5") as two:
        keys: list[str] = []
        one.visititems(lambda key, item: keys.append(key) if isinstance(item, h5py.Dataset) else None)
        assert len(keys) > 20
        for key in keys:
            assert np.array_equal(one[key][...], two[key][...]), key


def test_from_standard_input_to_standard_output(tmp_path: Path) -> None:
    packed = gzip.compress(CURATED.read_bytes())
    ended = subprocess.run(
        [*TOOL, "fragment", "-q"], input=packed, capture_output=True, cwd=tmp_path, env=tool_environment(), check=False
    )
    assert ended.returncode == 0, ended.stderr
    (tmp_path / "out.h5").write_bytes(ended.stdout)
    assert len(read_mofs(tmp_path / "out.h5")) == 6  # UiO-66 has too many connection points


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--report", "x.h5", "-o", "x.h5"), "--report and -o name the same file"),
        (("--report", "in.cif", "--overwrite", "-o", "x.h5"), "in.cif"),
        (("--properties", "missing.csv", "-o", "x.h5"), "missing.csv"),
        (("--guests", "keep", "-o", "x.h5"), "keep"),
        (("--max-blocks", "1", "-o", "x.h5"), "max-blocks"),
    ],
)
def test_contradictions_and_missing_files_are_trouble(
    child: Child, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    source = format_crystal(cyanides(), "good")
    (tmp_path / "in.cif").write_text(source)
    ended = child.run(tmp_path, "fragment", *arguments, "in.cif")
    assert ended.code == 2
    assert message in ended.err and "Traceback" not in ended.err
    assert not (tmp_path / "x.h5").exists()
    assert (tmp_path / "in.cif").read_text() == source


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; import crystaltool.cli.fragment;"
        "print([name for name in ('numpy', 'rdkit', 'scipy', 'h5py', 'gemmi') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=tool_environment())
    assert ended.stdout.strip() == "[]"
