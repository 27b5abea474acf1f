"""`crystaltool stats`: streams in, text or JSON out, and the ways it can go wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import crystaltool as ct
from crystaltool.errors import UsageError
from crystaltool.io.cif import format_crystal
from tests.checks.blocks import textbook_text
from tests.cli.one_process import Child, one_process
from tests.mof.structures import curated

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


@pytest.mark.parametrize("words", [(), ("--check",), ("--declared",), ("--against", "other.cif", "--check")])
def test_python_gives_the_same_numbers(stats, tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "in.cif").write_text(STREAM + curated_text())
    shell = json.loads(stats("--format", "json", "in.cif", *words)[0])
    against = ct.read(tmp_path / "other.cif") if "--against" in words else None
    found = ct.stats(ct.read(tmp_path / "in.cif"), against, check="--check" in words, declared="--declared" in words)
    for each in (shell, found, shell.get("against", {}), found.get("against", {})):
        each.pop("label", None)
    assert json.loads(json.dumps(found)) == shell and found["structures"] == 4
    with pytest.raises(UsageError, match="expected a Structure"):
        ct.stats(iter(["in.cif"]))  # an iterator: the tests' type checks do not look into it


def curated_text() -> str:
    """A metal-organic framework."""
    name, crystal = sorted(curated().items())[0]
    return "\n" + format_crystal(crystal, name)


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


def test_a_page_is_a_file_and_text_stands_beside_it_if_asked_for(stats, tmp_path) -> None:
    assert stats("in.cif", "--html", "page.html") == ("", [])
    page = (tmp_path / "page.html").read_text()
    assert page.startswith("<!DOCTYPE html>") and page.endswith("</html>\n") and "in.cif" in page
    assert "exists" in stats("in.cif", "--html", "page.html", code=2)[1][0]
    stats("in.cif", "--html", "page.html", "--overwrite", "-o", "out.txt", "--pictures", "0")
    assert (tmp_path / "out.txt").read_text() == stats("in.cif")[0]
    assert len((tmp_path / "page.html").read_text()) < len(page)


def test_the_order_is_the_pages(stats, tmp_path) -> None:
    assert "--html" in stats("in.cif", "--sort", "density", code=2)[1][0]
    assert "name of a file" in stats("in.cif", "--html", "-", code=2)[1][0]
    _, err = stats("in.cif", "--html", "page.html", "--sort", "e_abov_hull")
    assert err == ["crystaltool stats: WARNING, no structure has e_abov_hull"]
    stats("in.cif", "--html", "dense.html", "--sort", "density", "--reverse")
    content = (tmp_path / "dense.html").read_text().split('id="content">')[1].split("</script>")[0]
    densities = [
        {name: value for name, value, _ in each["values"]}["density"] for each in json.loads(content)["pictures"]
    ]
    assert densities == sorted(densities, reverse=True) and len(densities) == 3


def test_of_nothing_there_is_no_page_but_text(stats, tmp_path) -> None:
    (tmp_path / "empty.cif").write_text("")
    _, err = stats("empty.cif", "--html", "never.html", code=2)
    assert len(err) == 2 and "empty.cif: ERROR, empty" in err[0]
    assert err[1] == "crystaltool stats: WARNING, never.html is not written: nothing could be read"
    stats("empty.cif", "--html", "never.html", "-o", "out.txt", code=2)
    assert not (tmp_path / "never.html").exists() and (tmp_path / "out.txt").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_page_that_fails_leaves_nothing(stats, tmp_path) -> None:
    (tmp_path / "bad.cif").write_text(BROKEN + STREAM)
    stats("bad.cif", "--fail-fast", "--html", "never.html", code=2)
    assert not (tmp_path / "never.html").exists()
