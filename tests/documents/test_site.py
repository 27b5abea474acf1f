"""The documentation site builds from what is here, has a place for every public name and command, loads nothing."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import crystaltool as ct
from crystaltool.cli.main import SUBCOMMANDS
from tests.conftest import ROOT, tool_environment

BUILD = ROOT / "tools" / "build_docs.py"


@pytest.fixture(scope="module")
def build_docs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_docs", BUILD)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("furo", reason="the docs extra is not installed")
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = subprocess.run(
        [sys.executable, str(BUILD), str(folder)], env=tool_environment(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_command_and_every_option_has_its_place(site: Path, crystaltool) -> None:
    for name in SUBCOMMANDS:
        text = (site / "reference" / "commands" / f"crystaltool-{name}.html").read_text()
        for option in set(re.findall(r"(?m)^  (?:-\w, )?(--[a-z-]+)", crystaltool(name, "--help").stdout)):
            assert option in text, f"{name} {option}"


def test_every_public_name_is_documented(site: Path) -> None:
    text = (site / "reference" / "api.html").read_text()
    names = set(ct.__all__) - {"__version__"}
    assert {name for name in names if not re.search(rf'id="crystaltool\.(\w+\.)*{name}"', text)} == set()


def test_equations_are_drawn_by_the_browser(site: Path) -> None:
    pages = [path.read_text() for path in (site / "theory").glob("*.html")]
    assert len(pages) > 6 and not any(re.search("<script[^>]*[Mm]ath[Jj]ax", text) for text in pages)
    equations = [text.count("<math") for text in pages]
    assert sorted(equations)[1] > 0  # all but their list


def test_every_page_can_be_reached(site: Path) -> None:
    """The contents beside each page, which is what a reader sees, list all of them."""
    listed = set(re.findall(r'class="reference internal" href="([^"#]+)"', (site / "index.html").read_text()))
    sources = {str(path.relative_to(ROOT / "docs").with_suffix(".html")) for path in (ROOT / "docs").rglob("*.md")}
    assert sources - listed - {"index.html"} == set()


def test_the_build_sees_what_is_broken(build_docs: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "b.html").write_text('<h1 id="here">b</h1>')
    good = '<a href="b.html#here">x</a><a href="https://example.org">y</a><img src="data:image/png;base64,AA">'
    (tmp_path / "a.html").write_text(good)
    assert build_docs.faults(tmp_path) == []
    bad = '<a href="b.html#there"></a><a href="c.html"></a><script src="https://example.org/x.js"></script>'
    (tmp_path / "a.html").write_text(bad + '<link rel="stylesheet" href="//example.org/x.css">')
    (tmp_path / "x.css").write_text(
        '@import "https://example.org/y.css"; a {background: url(http://example.org/z.png)}'
    )
    assert len(build_docs.faults(tmp_path)) == 6
