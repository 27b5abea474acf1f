"""What a person sees on a terminal: one line of progress for a pipe, the summary and the first failures of `check`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.checks.blocks import P1_SITES, halite_text, textbook_text
from tests.cli.screen import drawn_by, on_terminal, screen

pytest.importorskip("fcntl")

BROKEN = "data_broken\n_cell_length_a 3\n"


def overlapping(name: str) -> str:
    sites = P1_SITES.replace("Cl1 Cl 1 0.5 0 0", "Cl1 Cl 1 0.05 0 0")
    return halite_text(name, sites=sites, operations=["x,y,z"], group="1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With eight good blocks, and the same with one that cannot be read between them."""
    blocks = [textbook_text("halite").replace("data_halite", f"data_halite{i}") for i in range(8)]
    (tmp_path / "good.cif").write_text("".join(blocks))
    (tmp_path / "bad.cif").write_text("".join([*blocks[:4], BROKEN, *blocks[4:]]))
    return tmp_path


# ---- one line of progress


@pytest.mark.parametrize("between", ["", "cat | "])
def test_the_first_stage_at_work_draws(folder, between):
    """The later ones are slower, and silent until those before them have ended."""
    pipe = (
        f"tool first --slow 0.1 good.cif | {between}tool second --slow 0.5 | {between}tool third --slow 1.0 > out.cif"
    )
    written, code = on_terminal(pipe, folder)
    expected = [["first", "second", "third"]]
    if between:  # behind a foreign program a stage cannot see those before it: it may take the turn of the second
        expected.append(["first", "third"])
    assert code == 0 and drawn_by(written) in expected
    assert not "".join(screen(written)) and (folder / "out.cif").read_text().count("data_") == 8
    assert not list(folder.glob("*.lock"))


def test_a_stage_behind_a_foreign_program_draws(folder):
    written, _ = on_terminal("cat good.cif | tool first --slow 0.2 > out.cif", folder)
    assert drawn_by(written) == ["first"]


def test_two_pipes_on_one_terminal_take_turns(folder):
    line = "tool first --slow 0.1 good.cif > a.cif & tool second --slow 0.6 good.cif > b.cif; wait"
    written, _ = on_terminal(line, folder)
    # If the slow one started sooner, the quick one has ended before its turn comes.
    assert drawn_by(written) in (["first", "second"], ["second"])


def test_a_stage_that_is_killed_leaves_the_turn_to_the_next(folder):
    line = "(tool first --slow 0.3 good.cif & sleep 2.5; kill -9 $!) | tool second --slow 0.5 > out.cif"
    written, _ = on_terminal(line, folder)
    assert drawn_by(written) == ["first", "second"]


def test_a_quiet_stage_is_not_waited_for(folder):
    written, _ = on_terminal("tool first -q --slow 0.3 good.cif | tool second > out.cif", folder)
    assert drawn_by(written) == ["second"]


def test_messages_and_blocks_stand_on_lines_of_their_own(folder):
    """While another stage draws: an error of the second, and the blocks that it prints on the terminal."""
    written, code = on_terminal("tool first --slow 0.5 good.cif | cat - bad.cif | tool second", folder)
    seen = screen(written)
    assert code == 2 and drawn_by(written)
    assert next(line for line in seen if "data_broken: ERROR, " in line).startswith("crystaltool second: -(")
    # 16 blocks; the bar of another process may be drawn in the very moment in which one is written.
    assert sum(line.startswith("data_halite") for line in seen) >= 13
    assert sum("━" in line for line in seen) <= 3 and "\x1b[2K" in written


# ---- check


def test_on_a_terminal_check_prints_failures_and_summary(folder):
    (folder / "many.cif").write_text("".join(overlapping(f"o{i}") for i in range(12)) + textbook_text("rutile"))
    written, code = on_terminal("tool check many.cif", folder)
    remarks = [line for line in screen(written) if line.startswith("crystaltool check: ")]
    assert len(remarks) == 6 and remarks[-1].endswith("NOTE, 7 more remarks of these kinds, -v prints them")
    seen = [line for line in screen(written) if line not in remarks]
    assert code == 1 and max(map(len, seen)) < 80
    failures = [line for line in seen if ": distance-" in line]
    assert len(failures) == 20 and failures[0] == "o0: distance-cdvae, Na1-Cl1 0.282 A"
    assert seen[20] == "4 more failures: --table prints all verdicts, --fail the structures"
    heading = next(i for i, line in enumerate(seen) if line.startswith("check "))
    rows = {line.split()[0]: line.split()[1:4] for line in seen[heading + 1 :] if line and line[0].isalpha()}
    assert rows["distance-cdvae"] == ["1", "12", "0"] and rows["all"] == ["1", "12", "0"]
    assert rows["exact-group"] == ["1", "0", "12"]  # in P 1: not judged
    assert len(rows) == 12 and len(seen) < 45


def test_the_summary_has_at_most_twenty_rows(folder):
    """A MOF and a crystal, every check of both kinds and more: those that fail stay."""
    framework = (Path(__file__).parents[1] / "data" / "curated_mofs.cif").read_text()
    (folder / "mixed.cif").write_text(framework + overlapping("bad") + textbook_text("rutile"))
    written, _ = on_terminal("tool check mixed.cif", folder)
    seen = screen(written)
    heading = next(i for i, line in enumerate(seen) if line.startswith("check "))
    rows = [line for line in seen[heading + 1 :] if "%" in line]
    assert len(rows) <= 20 and rows[-1].startswith("all ")
    assert any(line.startswith("distance-cdvae") for line in rows)
    assert any("more checks, failed by" in line for line in seen)


def test_the_whole_table_comes_when_asked_for_or_when_nobody_looks(folder):
    (folder / "two.cif").write_text(textbook_text("halite") + overlapping("bad"))
    on_terminal("tool check -q two.cif > table.tsv", folder)
    table = (folder / "table.tsv").read_text()
    assert table.count("\n") == 1 + 2 * 11 and "bad\tdistance-cdvae\tfail" in table
    written, _ = on_terminal("tool check -q --table two.cif", folder)
    assert written.replace("\r\n", "\n").replace("\r\x1b[2K", "") == table
    on_terminal("tool check -q two.cif -o file.tsv", folder)
    assert (folder / "file.tsv").read_text() == table


def test_without_failures_the_summary_stands_alone(folder):
    written, code = on_terminal("tool check good.cif", folder)
    seen = [line for line in screen(written) if line]
    assert code == 0 and seen[0].split() == ["check", "pass", "fail", "rate", "rule"]
    assert on_terminal("tool check -q good.cif", folder) == ("", 0)


def test_nobody_steers_the_terminal_through_a_name(folder):
    (folder / "evil.cif").write_text(overlapping("x").replace("data_x", "data_x\x1b[2J"))
    written, _ = on_terminal("tool check evil.cif", folder)
    assert "\x1b[2J" not in written
