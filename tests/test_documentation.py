"""What is generated is up to date, and what the documents promise exists."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from dataclasses import fields

import pytest

from crystaltool import __version__
from crystaltool.cli.main import SUBCOMMANDS
from crystaltool.models.block_encoder import fit as blocks_fit
from crystaltool.models.mofdiff import fit as mofdiff_fit
from crystaltool.models.symmcd import fit as symmcd_fit
from tests.conftest import ROOT, tool_environment


def test_man_pages_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "build_man.py"), "--check"],
        env=tool_environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_every_command_has_a_section_with_a_pipe_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in SUBCOMMANDS:
        section = readme.split(f"**`{name}`**")
        assert len(section) == 2, f"README has no section for {name}"
        assert re.search(rf"(?m)^    .*crystaltool {name}\b", section[1].split("\n**`")[0]), name


def test_examples_name_options_that_exist(crystaltool) -> None:
    """Every `crystaltool COMMAND --option` in README and manual is an option of that command."""
    texts = [ROOT / "README.md", *(ROOT / "man" / "src").glob("*.md")]
    helps = {name: crystaltool(name, "--help").stdout for name in SUBCOMMANDS}
    for path in texts:
        for line in path.read_text().splitlines():
            for call in line.split("|") if line.startswith("    ") else []:
                words = call.split()
                if len(words) < 2 or words[0] != "crystaltool" or words[1] not in SUBCOMMANDS:
                    continue
                for word in words[2:]:
                    if re.fullmatch(r"--?[a-z][a-z-]*", word):
                        assert re.search(rf"(?m)(^|[\s,]){word}\b", helps[words[1]]), f"{path.name}: {call.strip()}"


def test_versions_agree() -> None:
    assert f"version: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert re.search(r"(?m)^torch==2\.13\.0$", (ROOT / "constraints.txt").read_text())


def test_constraints_cover_the_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [entry for group in project["optional-dependencies"].values() for entry in group]
    wanted = {re.split(r"[<>=\[]", entry)[0].lower() for entry in project["dependencies"] + extras} - {"crystaltool"}
    pinned = {line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert {name.replace("_", "-") for name in wanted} <= {name.replace("_", "-") for name in pinned}


@pytest.mark.parametrize("model", ["symmcd", "blocks", "mofdiff"])
def test_the_manual_of_train_states_every_key_of_a_configuration_and_its_default(model: str) -> None:
    default = {"symmcd": symmcd_fit, "blocks": blocks_fit, "mofdiff": mofdiff_fit}[model].DEFAULT
    text = " ".join((ROOT / "man" / "src" / "train.md").read_text().split())
    items = text.split("- `[")[1:]
    parts = {"model": default.model, "fit": default, "loop": default.loop}
    for name, part in parts.items():
        start = "loop]`:" if name == "loop" else f"{name}]` of {model}:"
        item = next(item for item in items if item.startswith(start))
        keys = {field.name for field in fields(part)} - ({"model", "loop"} if name == "fit" else {"steps"})
        for key in keys:
            value = json.dumps(getattr(part, key))
            assert re.search(rf"`{key}` \({re.escape(value)}[ ,:)]", item), f"{name} {key} {value}"


def test_every_man_page_is_installed() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    listed = {source for source in wheel["shared-data"] if source.startswith("man/")}
    assert listed == {f"man/{path.name}" for path in (ROOT / "man").glob("*.1")}


@pytest.mark.parametrize("name", ["DESIGN.md", "docs/laboratory.md", "CONTRIBUTING.md"])
def test_files_that_the_documents_name_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    named = set(re.findall(r"`([\w./-]+\.(?:py|md|toml|h5|npz))`", text))
    named |= {link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link}
    folders = ("crystaltool", "benchmarks", "checkpoints", "configs", "docs", "man", "tests", "tools")
    present = [
        str(path) for path in (*ROOT.glob("*.*"), *(path for each in folders for path in (ROOT / each).rglob("*.*")))
    ]
    missing = {one for one in named if not any(path.endswith(f"/{one.removeprefix('../')}") for path in present)}
    assert not missing


def test_the_design_stays_short() -> None:
    assert len((ROOT / "DESIGN.md").read_text().splitlines()) <= 200
