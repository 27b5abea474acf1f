"""Completion on Tab, as docs/howto/install.md sets it up, in the shells themselves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from crystaltool.cli.main import SUBCOMMANDS
from tests.conftest import ROOT, TOOL, tool_environment


def set_up(shell: str) -> str:
    """The printed line that turns it on."""
    text = (ROOT / "docs" / "howto" / "install.md").read_text()
    found = re.search(rf'eval "\$\(_CRYSTALTOOL_COMPLETE=source_{shell} crystaltool\)"', text)
    assert found, shell
    return found[0]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which `crystaltool` is this checkout's."""
    script = tmp_path / "crystaltool"
    words = " ".join(f"'{word}'" for word in map(str, TOOL))
    script.write_text(f'#!/bin/bash\nexec {words} "$@"\n')
    script.chmod(0o755)
    return tool_environment(PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


def run(shell: list[str], code: str, environment: dict[str, str]) -> list[str]:
    done = subprocess.run([*shell, code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def in_bash(line: str, environment: dict[str, str]) -> list[str]:
    """What Tab offers at the end of a line."""
    words = line.split(" ")
    code = f"""{set_up("bash")}
    COMP_WORDS=({" ".join(f"'{word}'" for word in words)}); COMP_CWORD={len(words) - 1}
    complete -p crystaltool > /dev/null && _crystaltool_completion crystaltool; echo "${{COMPREPLY[@]}}" """
    return run(["bash", "--norc", "-c"], code, environment)


def test_bash_completes_commands_and_options(environment: dict[str, str]) -> None:
    assert set(in_bash("crystaltool ", environment)) == set(SUBCOMMANDS)
    assert in_bash("crystaltool re", environment) == ["relax"]
    assert in_bash("crystaltool relax --force", environment) == ["--forcefield"]


def test_zsh_is_told_commands_and_options(environment: dict[str, str]) -> None:
    """What zsh evaluates on Tab."""
    for line, word in (("crystaltool re", "relax"), ("crystaltool relax --force", "--forcefield")):
        asked = environment | {"_TYPER_COMPLETE_ARGS": line, "_CRYSTALTOOL_COMPLETE": "complete_zsh"}
        assert f'"{word}"' in " ".join(run(["bash", "-c"], "crystaltool", asked))
    asked = environment | {"_CRYSTALTOOL_COMPLETE": "source_zsh"}
    assert "compdef" in run(["bash", "-c"], "crystaltool", asked)


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_takes_the_set_up(environment: dict[str, str]) -> None:
    code = f"autoload -U compinit; compinit -u -D; {set_up('zsh')}; print $_comps[crystaltool]"
    assert run(["zsh", "-f", "-c"], code, environment) == ["_crystaltool_completion"]
