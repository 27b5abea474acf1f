"""The tutorials and recipes of the site run as they are printed, each page in order, in sizes of a test."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.documents.conftest import Shell
from tests.documents.snippets import commands, smaller, snippets

DOCS = ROOT / "docs"

GIVEN = {
    "tutorials/oxides": [],
    "tutorials/own-data": ["structures"],
    "tutorials/cluster": [],
    "tutorials/mofs": ["frameworks"],
    "tutorials/pipe": [],
    "howto/install": [],
    "howto/choose": ["structures", "structures.cif", "mine", "train.h5", "new.cif", "measured.cif"],
    "howto/energies": ["copper.cif"],
    "howto/blocks": ["frameworks", "my_linker.mol2"],
    "howto/reproducible": ["structures.cif", "train.h5", "blocks.h5"],
    "howto/machine": [],
    "howto/upgrade": [],
}
"""Pages, and what their readers have before they begin; everything else comes from the page."""

SIZES = {"mofs": {"n": 1, "relax_steps": None}}
"""Other sizes than usual: one MOF, but a sound one, since a simulation follows."""

ELSEWHERE = {
    "python": "tests/verbs/test_scripts.py",
    "design": "tests/cli/test_design.py",
}
"""Pages whose snippets other tests run."""


def pages() -> set[str]:
    """All pages that have snippets of shell or Python, without what is generated."""
    paths = [path for path in DOCS.rglob("*.md") if path.parent.name != "commands"]
    found = {path for path in paths if any(each.language in ("sh", "python") for each in snippets(path))}
    return {str(path.relative_to(DOCS).with_suffix("")) for path in found}


def test_no_page_is_overlooked() -> None:
    not_run = {page for page in pages() if all(each.reason for each in shell_or_python(page))}
    assert pages() - set(GIVEN) - set(ELSEWHERE) == not_run
    assert all((ROOT / path).is_file() for path in ELSEWHERE.values())


def shell_or_python(page: str) -> list:
    """The snippets of a page that are to be run."""
    return [each for each in snippets(DOCS / f"{page}.md") if each.language in ("sh", "python")]


def table(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file."""
    with path.open() as file:
        return list(csv.DictReader(file))


def oxides(folder: Path) -> None:
    """A list with energies, and as many POSCAR files."""
    rows = table(folder / "list.csv")
    assert rows and all("O" in row["formula"] and -3 < float(row["e_above_hull"]) < 20 for row in rows)
    assert len(list((folder / "poscars").iterdir())) == len(rows)


def own_data(folder: Path) -> None:
    """All of the given structures judged, and samples of a model that was trained on them."""
    verdicts = [json.loads(line) for line in (folder / "verdicts.jsonl").read_text().splitlines()]
    assert {each["structure"] for each in verdicts} == {path.stem for path in (folder / "structures").iterdir()}
    assert (folder / "new.cif").read_text().count("\ndata_") == 1  # two, one of them at the very beginning
    assert (folder / "runs" / "mine" / "model.safetensors").is_file()


def cluster(folder: Path) -> None:
    """A verdict of each shard."""
    assert len((folder / "checked.jsonl").read_text().splitlines()) == 2
    assert (folder / "relaxed.cif").read_text().count("data_symmcd") == 2


def mofs(folder: Path) -> None:
    """Capacities of sound MOFs."""
    rows = table(folder / "capacities.csv")
    assert rows and all(0 <= float(row["co2_working_capacity"]) < 50 for row in rows)


def pipe(folder: Path) -> None:
    """The names of the given structures, through extended XYZ and jq."""
    assert set((folder / "sound.txt").read_text().split()) == {path.stem for path in (folder / "structures").iterdir()}


LEAVES = {"oxides": oxides, "own-data": own_data, "cluster": cluster, "mofs": mofs, "pipe": pipe}
"""What a tutorial must have left in its folder."""


@pytest.mark.slow
@pytest.mark.parametrize("page", GIVEN)
def test_the_page_runs(page: str, shell: Shell, copy: Callable[..., Path]) -> None:
    folder = copy(GIVEN[page])
    name = page.split("/")[1]
    for snippet in shell_or_python(page):
        if snippet.reason:
            continue
        if snippet.language == "python":
            shell.check(f"script {shlex.quote(snippet.text)}", folder)
            continue
        for command in commands(snippet.text):
            shell.check(smaller(command, **SIZES.get(name, {})), folder)
    if name in LEAVES:
        LEAVES[name](folder)
