"""The wheel and the source distribution hold what they should, and the tool runs from the wheel's own files."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from crystaltool import __version__
from tests.conftest import ROOT, tool_environment


def run(*arguments: str | Path, folder: Path = ROOT, **more: str) -> str:
    """Output of Python on these arguments."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env=tool_environment() | more,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="what builds the package is not installed")
    folder = tmp_path_factory.mktemp("dist")
    run("-m", "hatchling", "build", "-d", folder)
    return folder


@pytest.fixture(scope="module")
def unpacked(built: Path) -> Path:
    with zipfile.ZipFile(built / f"crystaltool-{__version__}-py3-none-any.whl") as wheel:
        wheel.extractall(built / "site")
    return built / "site"


def files(folder: Path) -> set[str]:
    """Paths below a folder of the checkout that belong to the package."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {str(path.relative_to(folder)) for path in paths}


def test_the_wheel_holds_code_weights_and_manual(unpacked: Path) -> None:
    package = unpacked / "crystaltool"
    assert files(ROOT / "checkpoints") == files(package / "checkpoints")
    assert files(ROOT / "crystaltool") == {name for name in files(package) if not name.startswith("checkpoints/")}
    assert (package / "py.typed").exists()
    assert {path.name for path in (ROOT / "man").glob("*.1")} == {path.name for path in unpacked.rglob("man1/*.1")}
    assert not (unpacked / "tests").exists()
    scripts = next(unpacked.glob("*.dist-info/entry_points.txt")).read_text()
    assert "crystaltool = crystaltool.cli.main:main" in scripts


def test_the_source_distribution_can_be_built_again(built: Path, tmp_path: Path) -> None:
    with tarfile.open(built / f"crystaltool-{__version__}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    source = tmp_path / f"crystaltool-{__version__}"
    for name in ("tools/build_man.py", "man/src/sample.md", "docs/conf.py", "tests/conftest.py", "constraints.txt"):
        assert (source / name).is_file(), name
    run("-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "again", folder=source)
    names = []
    for folder in (built, tmp_path / "again"):
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
            names.append(sorted(wheel.namelist()))
    assert names[0] == names[1]


def test_the_tool_runs_from_the_wheel(unpacked: Path, tmp_path: Path) -> None:
    """Weights are those inside; nothing of the checkout is in reach."""
    where = f"{unpacked}{os.pathsep}"
    code = "from crystaltool.models.weights import find_checkpoint as find; print(find('symmcd-fast'))"
    found = run("-c", code, folder=tmp_path, PYTHONPATH=where)
    assert found.strip() == str(unpacked / "crystaltool" / "checkpoints" / "symmcd-fast")
    sampled = run("-m", "crystaltool", "sample", "symmcd-fast", "-n", "1", folder=tmp_path, PYTHONPATH=where)
    assert sampled.startswith("data_symmcd")
