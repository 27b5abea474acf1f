"""`crystaltool check` from the shell: outputs, filters, exit codes, streaming."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from pathlib import Path

import pytest

from crystaltool.asymunit import reduce, tabulate
from crystaltool.io.hdf5 import write_asym_units
from tests.checks.blocks import P1_SITES, halite_text, textbook_text
from tests.conftest import ROOT, TOOL, tool_environment
from tests.textbook import BY_NAME

GOLDEN = ROOT / "tests" / "golden"
GOOD = textbook_text("halite")
OTHER = textbook_text("rutile")
OVERLAPPING = halite_text(
    "overlapping", sites=P1_SITES.replace("Cl1 Cl 1 0.5 0 0", "Cl1 Cl 1 0.05 0 0"), operations=["x,y,z"], group="1"
)
BROKEN = "data_broken\n_cell_length_a 3\n"
WRONG_GROUP = halite_text("wrong", group="221")


def rows(text: str) -> list[dict[str, str]]:
    header, *lines = text.splitlines()
    return [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]


@pytest.fixture
def reference(tmp_path) -> Path:
    """A data set of halite alone."""
    path = tmp_path / "reference.h5"
    write_asym_units(path, tabulate([reduce(BY_NAME["halite"].crystal())]))
    return path


def test_golden_table(crystaltool):
    """`crystaltool check -q < halite and overlapping`, compared byte by byte with tests/golden/check.tsv."""
    done = crystaltool("check", "-q", "--only", "cell,distance-cdvae,density,charge,formula", stdin=GOOD + OVERLAPPING)
    assert done.returncode == 1
    assert done.stdout == (GOLDEN / "check.tsv").read_text()


@pytest.mark.parametrize(
    ("stdin", "options", "code"),
    [
        (GOOD, [], 0),
        (GOOD + OVERLAPPING, [], 1),
        (GOOD + OVERLAPPING, ["--exit-zero"], 0),
        (GOOD + BROKEN, [], 2),
        (GOOD + BROKEN, ["--exit-zero"], 2),
        (OVERLAPPING + BROKEN, [], 2),
        (OVERLAPPING, ["--only", "cell"], 0),
        (WRONG_GROUP, [], 0),
        ("", [], 2),
        (GOOD, ["--only", "colour"], 2),
        (GOOD, ["--only", "novel"], 2),
        (GOOD, ["--only", ","], 2),
        (GOOD, ["--json", "--pass"], 2),
        (GOOD, ["--reference", "missing.h5"], 2),
        (GOOD + OVERLAPPING, ["--pass"], 0),
        (OVERLAPPING, ["--pass"], 1),
        (OVERLAPPING, ["--pass", "--exit-zero"], 0),
        (GOOD + OVERLAPPING, ["--fail"], 0),
        (GOOD, ["--fail"], 1),
        (GOOD + BROKEN, ["--pass"], 2),
    ],
)
def test_exit_codes(crystaltool, stdin, options, code):
    done = crystaltool("check", *options, stdin=stdin)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


def test_every_structure_has_a_line_per_check(crystaltool):
    done = crystaltool("check", stdin=GOOD + OVERLAPPING + BROKEN + OTHER)
    found = rows(done.stdout)
    assert list(found[0]) == ["structure", "check", "verdict", "value", "limit", "message"]
    assert [row["structure"] for row in found] == [n for n in ("halite", "overlapping", "rutile") for _ in range(11)]
    assert {row["check"] for row in found if row["verdict"] == "fail"} == {"distance-cdvae", "distance-lemat"}
    (error,) = [line for line in done.stderr.splitlines() if "ERROR" in line]
    assert error.startswith("crystaltool check: -(") and "data_broken: ERROR, no _cell_length_b" in error


def test_summary_on_stderr(crystaltool):
    done = crystaltool("check", stdin=GOOD + OVERLAPPING + BROKEN)
    lines = {line.split("│")[1].strip(): line for line in done.stderr.splitlines() if line.count("│") > 3}
    assert "50.00 %" in lines["distance-cdvae"] and "100.00 %" in lines["charge"] and "smact14" in done.stderr
    assert "50.00 %" in lines["all"] and "1 records could not be read" in done.stderr
    assert crystaltool("check", "-q", stdin=GOOD).stderr == ""


def test_json_lines(crystaltool):
    done = crystaltool("check", "--json", "-q", stdin=GOOD + OVERLAPPING)
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert (first["structure"], first["source"], first["line"], first["passed"]) == ("halite", "-", 1, True)
    assert not second["passed"]
    verdict = second["checks"]["distance-cdvae"]
    assert set(verdict) == {"passed", "value", "limit", "message"}
    assert verdict["value"] == pytest.approx(0.282, abs=1e-3) and verdict["passed"] is False


def test_filters_pass_blocks_through_unchanged(crystaltool):
    stream = GOOD + OVERLAPPING + OTHER
    assert crystaltool("check", "--pass", "-q", stdin=stream).stdout == GOOD + OTHER
    assert crystaltool("check", "--fail", "-q", stdin=stream).stdout == OVERLAPPING


def test_reference_adds_novel_and_unique(crystaltool, reference):
    stream = GOOD + OTHER + OTHER.replace("data_rutile", "data_again")
    for jobs in ("1", "2"):
        done = crystaltool("check", "--reference", reference, "--only", "novel,unique", "-j", jobs, stdin=stream)
        verdicts = {(row["structure"], row["check"]): row["verdict"] for row in rows(done.stdout)}
        assert done.returncode == 1
        assert verdicts == {
            ("halite", "novel"): "fail",
            ("halite", "unique"): "pass",
            ("rutile", "novel"): "pass",
            ("rutile", "unique"): "pass",
            ("again", "novel"): "pass",
            ("again", "unique"): "fail",
        }
    assert "matches rutile" in done.stdout and "matches halite" in done.stdout


def test_a_reference_that_is_no_data_set_ends_the_run_at_once(crystaltool, tmp_path):
    path = tmp_path / "no.h5"
    path.write_text("not HDF5")
    done = crystaltool("check", "--reference", path, stdin=GOOD)
    assert done.returncode == 2 and done.stdout == "" and "not a readable HDF5 file" in done.stderr


def test_jobs_do_not_change_the_output(crystaltool):
    stream = GOOD + OVERLAPPING + BROKEN + OTHER
    one, two = (crystaltool("check", "-j", jobs, "-q", stdin=stream) for jobs in "12")
    assert (one.stdout, one.returncode) == (two.stdout, two.returncode)


def test_fail_fast_stops_at_the_first_bad_record(crystaltool):
    done = crystaltool("check", "--fail-fast", "--json", stdin=GOOD + BROKEN + OTHER)
    assert done.returncode == 2 and len(done.stdout.splitlines()) == 1


def test_output_file_appears_whole(crystaltool, tmp_path):
    done = crystaltool("check", "-q", "-o", "table.tsv", stdin=GOOD)
    assert done.returncode == 0 and done.stdout == ""
    assert len(rows((tmp_path / "table.tsv").read_text())) == 11
    assert crystaltool("check", "-q", "-o", "table.tsv", stdin=GOOD).returncode == 2


def test_verdicts_come_while_the_input_is_still_open():
    child = subprocess.Popen(
        [*TOOL, "check", "--json", "-q"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=tool_environment()
    )
    try:
        child.stdin.write((GOOD + "data_next\n").encode())
        child.stdin.flush()
        ready, _, _ = select.select([child.stdout], [], [], 60)
        assert ready, "no verdict within a minute, though the next block has begun"
        assert json.loads(child.stdout.readline())["structure"] == "halite"
    finally:
        child.kill()
        child.communicate()


def test_a_reader_that_leaves_ends_the_run_quietly(tmp_path):
    path = tmp_path / "many.cif"
    path.write_text("".join(GOOD.replace("data_halite", f"data_h{i}") for i in range(200)))
    child = subprocess.Popen(
        [*TOOL, "check", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=tool_environment()
    )
    child.stdout.readline()
    child.stdout.close()
    assert child.wait(60) == 141
    assert b"Traceback" not in child.stderr.read()
    child.stderr.close()


def test_a_large_cell_is_processed_and_a_larger_one_refused(crystaltool):
    n = 18
    sites = "\n".join(
        f"Na{i} Na {x / n} {y / n} {z / n}"
        for i, (x, y, z) in enumerate((x, y, z) for x in range(n) for y in range(n) for z in range(n))
    )
    head = halite_text("large", cell="60 60 60 90 90 90", operations=["x,y,z"], group="1", formula="Na", units="5832")
    large = head[: head.index("loop_\n_atom_site")]
    large += "loop_\n_atom_site_label\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n"
    large += f"_atom_site_fract_z\n{sites}\n"
    done = crystaltool("check", "-q", stdin=large)
    assert done.returncode == 0, done.stdout + done.stderr
    more = "".join(f"Na{i}b Na 0.{i:05d} 0.5 0.5\n" for i in range(20_000))
    refused = crystaltool("check", stdin=large + more)
    assert refused.returncode == 2 and "the limit is" in refused.stderr


def test_plain_checks_load_no_heavy_library():
    """A cold `sample | check` has to end within a minute: torch, pymatgen, smact, scipy and h5py stay out."""
    code = (
        "import sys; from crystaltool.cli.main import run;"
        "code = run(['check', '-q', '-']);"
        "heavy = {'torch', 'pymatgen', 'smact', 'pandas', 'scipy', 'h5py', 'ase'} & set(sys.modules);"
        "sys.exit(f'{code} {heavy}' if code or heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=GOOD, text=True, capture_output=True, env=tool_environment(), timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_a_file_that_is_not_there_is_one_line_and_no_table(crystaltool):
    done = crystaltool("check", "nofile.cif")
    assert done.returncode == 2
    assert done.stderr == "crystaltool check: nofile.cif: ERROR, No such file or directory\n"
