"""What a terminal would obey is shown, not sent, in every form of output that is meant to be read."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from crystaltool.io.printable import json_line, printable
from crystaltool.view.render import csv_line, tsv_line
from tests.io.blocks import halite

EVIL = "a\x1b[2J\x1b]0;owned\x07\x9b31m\u202eb"


@pytest.mark.parametrize("write", [lambda text: tsv_line([text, "x"]), lambda text: csv_line([text, "x"]), json_line])
def test_one_line_of_what_can_be_printed(write: Callable[[str], str]) -> None:
    line = write(EVIL)
    assert line.endswith("\n") and line[:-1].replace("\t", " ").isprintable() and "owned" in line


def test_json_keeps_the_text() -> None:
    assert json.loads(json_line({"name": EVIL, "é": "Å"})) == {"name": EVIL, "é": "Å"}
    assert "é" in json_line("é")


def test_tables_keep_what_is_printable() -> None:
    assert tsv_line(["é Å", "a\tb"]) == "é Å\ta b\n" and csv_line(["é", 'a"b', "a\nb"]) == 'é,"a""b","a\nb"\n'
    assert printable("é\x1b") == "é\\x1b"


OPTIONS = ("--info", "--columns name,source", "--columns source --format csv", "--format json")


@pytest.mark.parametrize("options", OPTIONS)
def test_names_of_files_and_members_do_not_steer(crystaltool: Callable, tmp_path: Path, options: str) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(
            f"{EVIL}.cif", halite("inside").replace("loop_", "_audit_update_record\n;\nx\x1b[2J\n;\nloop_", 1)
        )
    (tmp_path / f"{EVIL}.zip").write_bytes(packed.getvalue())
    done = crystaltool("view", *options.split(), f"{EVIL}.zip")
    assert done.returncode == 0 and all(line.replace("\t", " ").isprintable() for line in done.stdout.split("\n")), done
