"""`crystaltool stats`: streams in, text or JSON out, and the ways it can go wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checks.blocks import textbook_text
from tests.cli.one_process import Child, one_process

STREAM = "\n".join(textbook_text(name) for name in ("halite", "rutile", "corundum"))
OTHER = "\n".join(textbook_text(name) for name in ("halite", "wurtzite"))
BROKEN = "data_broken\n_cell_length_a 5\n\n"


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with one_process() as running:
        yield running


@pytest.fixture
def stats(child: Child, tmp_path: Path):
    (tmp_path / "in.cif").write_text(STREAM)
    (tmp_path / "other.cif").write_text(OTHER)

    def run(*arguments: str | Path, code: int = 0) -> tuple[str, list[str]]:
        ended = child.run(tmp_path, "stats", *arguments)
        assert ended.code == code, ended.err
        return ended.out, ended.err.splitlines()

    return run


def test_text(stats) -> None:
    out, err = stats("in.cif")
    assert out.startswith("in.cif: 3 structures (3 inorganic), 3 formulas\n") and not err
    assert re.search(r"(?m)^136 P 42/m n m +1 +33\.3 %$", out)
    assert "Checks" not in out and max(map(len, out.splitlines())) <= 80


def test_beside_another_set(stats) -> None:
    out, _ = stats("--against", "other.cif", "in.cif")
    assert "Distances of the crystals from other.cif" in out and "density, g/cm3; Wasserstein" in out
    assert max(map(len, out.splitlines())) <= 80


def test_json_is_one_object_and_jobs_change_nothing(stats) -> None:
    alone = stats("--format", "json", "--check", "in.cif", "--against", "other.cif")[0]
    assert alone == stats("--format", "json", "--check", "in.cif", "--against", "other.cif", "-j", "2")[0]
    found = json.loads(alone)
    assert found["structures"] == 3 and found["against"]["structures"] == 2
    assert found["checks"]["charge"] == {"pass": 3, "fail": 0, "not_judged": 0}
    assert found["distances"]["n_valid"] == 3 and found["distances"]["d_sg"] > 0


def test_a_bad_record_is_counted(stats, tmp_path) -> None:
    (tmp_path / "bad.cif").write_text(STREAM + "\n" + BROKEN)
    out, err = stats("bad.cif", code=2)
    assert out.startswith("bad.cif: 3 structures (3 inorganic), 3 formulas; 1 could not be read\n")
    assert len(err) == 1 and "data_broken: ERROR" in err[0]
    stats("--fail-fast", "bad.cif", "-o", "never.txt", code=2)
    assert not (tmp_path / "never.txt").exists()


def test_declared_groups(stats) -> None:
    out = stats("--declared", "in.cif")[0]
    assert "Templates" not in out and "136 P 42/m n m" in out


def test_hostile_names_stay_text(stats, tmp_path) -> None:
    text = textbook_text("halite").replace("_cell_length_a", "_crystaltool_note 'a\x1b[31mb'\n_cell_length_a", 1)
    (tmp_path / "hostile.cif").write_text(text)
    out = stats("hostile.cif")[0]
    assert "\x1b" not in out and "\\x1b[31mb" in out


def test_both_sets_cannot_be_standard_input(stats) -> None:
    assert "standard input cannot be both" in stats("--against", "-", "-", code=2)[1][0]


def test_an_output_file_appears_whole_and_is_not_replaced(stats, tmp_path) -> None:
    stats("in.cif", "-o", "out.txt")
    assert (tmp_path / "out.txt").read_text() == stats("in.cif")[0]
    assert "exists" in stats("in.cif", "-o", "out.txt", code=2)[1][0]
    assert "other.cif" in stats("in.cif", "--against", "other.cif", "-o", "other.cif", "--overwrite", code=2)[1][0]
