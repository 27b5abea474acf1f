"""`crystaltool sample` on the wish of the user: conditions hold in what is written, and what cannot be is one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import gemmi
import pytest

from tests.cli.one_process import Child, Ended, one_process
from tests.cli.test_sample_runs import assert_one_line
from tests.models.tiny import trained_folder

QUICK = ("--steps", "5", "--attempts", "1", "--candidates", "2", "--device", "cpu", "--no-provenance")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with one_process() as running:
        yield running


@pytest.fixture
def sample(child: Child, model: Path, tmp_path: Path) -> Callable[..., Ended]:
    def run(*arguments: str | Path | int) -> Ended:
        return child.run(tmp_path, "sample", model, *map(str, arguments))

    return run


def contents(text: str) -> list[tuple[int, dict[str, int]]]:
    """Group and atoms of every block, from its list of atoms and multiplicities."""
    found = []
    for block in gemmi.cif.read_string(text):
        atoms: dict[str, int] = {}
        for symbol, count in block.find("_atom_site_", ["type_symbol", "site_symmetry_multiplicity"]):
            atoms[symbol] = atoms.get(symbol, 0) + int(count)
        found.append((int(block.find_value("_space_group_IT_number")), atoms))
    return found


def test_a_formula_in_a_group(sample: Callable) -> None:
    ended = sample("-n", 6, "--sg", "62", "--formula", "LiFePO4", "--n-atoms", "28", *QUICK)
    assert (ended.code, ended.err) == (0, "")
    assert contents(ended.out) == [(62, {"Li": 4, "Fe": 4, "P": 4, "O": 16})] * 6


def test_elements_and_numbers(sample: Callable) -> None:
    wishes = (
        "--elements",
        "Li,Fe,O,Pb",
        "--require",
        "Fe",
        "--exclude",
        "Pb",
        "--n-elements",
        "2:",
        "--n-atoms",
        ":12",
    )
    ended = sample("-n", 12, *wishes, "--primitive", *QUICK)
    assert (ended.code, ended.err) == (0, "")
    for group, atoms in contents(ended.out):
        centring = {"F": 4, "R": 3, "P": 1}.get(gemmi.find_spacegroup_by_number(group).hm[0], 2)
        assert {"Fe"} < set(atoms) <= {"Li", "Fe", "O"} and sum(atoms.values()) <= 12 * centring


@pytest.mark.parametrize("how", [("--batch-size", "3"), ("--batch-size", "2", "--jobs", "2")], ids=" ".join)
def test_batches_and_jobs_change_no_byte(sample: Callable, how: tuple[str, ...]) -> None:
    wishes = ("-n", 7, "--formula", "SrTiO3", "--n-atoms", ":20", *QUICK)
    whole = sample(*wishes)
    assert whole.code == 0 and whole.out.count("data_") == 7
    assert sample(*wishes, *how).out == whole.out


@pytest.mark.parametrize("cut", [0.3, 0.8])
def test_a_resumed_run_ends_in_the_same_bytes(sample: Callable, tmp_path: Path, cut: float) -> None:
    wishes = ("-n", 7, "--formula", "SrTiO3", "--n-atoms", ":20", *QUICK)
    whole = sample(*wishes).out.encode()
    (tmp_path / ".out.cif.partial").write_bytes(whole[: int(cut * len(whole))])
    ended = sample(*wishes, "--resume", "-o", tmp_path / "out.cif", "--batch-size", 3)
    assert ended.code == 0, ended.err
    assert (tmp_path / "out.cif").read_bytes() == whole


ROCK_SALT = """data_{name}
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M '{group}'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na Na 0 0 0
Cl Cl {x} {x} {x}
"""


def test_templates_of_a_file_and_of_the_training_data(sample: Callable, tmp_path: Path) -> None:
    (tmp_path / "salt.cif").write_text(ROCK_SALT.format(name="a", group="F m -3 m", x=0.5))
    ended = sample("-n", 4, "--template", "salt.cif", "--elements", "Mg,O", "--n-elements", 2, *QUICK)
    assert (ended.code, ended.err) == (0, "")
    assert contents(ended.out) == [(225, {"Mg": 4, "O": 4})] * 4
    ended = sample("-n", 6, "--template", "train", "--sg", 225, *QUICK[:4], *QUICK[6:])
    assert (ended.code, ended.err) == (0, "")
    letters = [
        sorted(site[0] for site in block.find(["_atom_site_Wyckoff_symbol"]))
        for block in gemmi.cif.read_string(ended.out)
    ]
    assert {tuple(row) for row in letters} <= {("a",), ("a", "b"), ("a", "c"), ("a", "b", "c"), ("a", "c", "e")}


def test_what_of_a_file_cannot_be_read_is_reported_and_the_rest_used(sample: Callable, tmp_path: Path) -> None:
    good = ROCK_SALT.format(name="a", group="F m -3 m", x=0.5)
    bad = ROCK_SALT.format(name="b", group="F m -3 m", x="half")
    (tmp_path / "two.cif").write_text(good + bad)
    ended = sample("-n", 2, "--template", "two.cif", "-o", "out.cif", *QUICK[:4], *QUICK[6:])
    assert ended.code == 2 and "two.cif" in ended.err and "half" in ended.err
    assert (tmp_path / "out.cif").read_text().count("data_symmcd-sg225") == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("--sg", "225", "--formula", "LiFePO4", "--n-atoms", ":28"),
            "space group 225 cannot hold LiFePO4 with 1:28 atoms",
        ),
        (("--formula", "lifepo4"), "--formula is 'lifepo4', expected"),
        (("--formula", "NaCl", "--exclude", "Cl"), "--formula holds Cl, --elements or --exclude forbids that"),
        (("--elements", ""), "--elements is '', expected elements"),
        (("--elements", "Lithium"), "'Lithium' is no element"),
        (("--n-atoms", "40:10"), "--n-atoms is '40:10'"),
        (("--n-elements", "0"), "--n-elements is '0'"),
        (("--primitive",), "there is no --n-atoms"),
        (("--n-atoms", "2", "--n-elements", "3"), "no space group can hold"),
        (("--template", "nowhere.cif"), "nowhere.cif"),
        (("--candidates", "4"), "--candidates: there is nothing to weigh"),
        (("--template", "train", "--sg", "199"), "no template of space group 199"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_is_one_line_before_anything_is_written(
    sample: Callable, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    assert words in sample(*arguments, "-n", 1, "-o", "out.cif", "--device", "cpu").err
    assert not list(tmp_path.glob("*.cif"))
    if "nowhere.cif" not in arguments:
        assert_one_line(sample(*arguments, "-n", 1, "--device", "cpu"), words)


def test_a_checkpoint_without_templates_says_what_to_give(child: Child, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((model / name).read_bytes())
    assert_one_line(child.run(tmp_path, "sample", folder, "--template", "train"), "--template FILE")
