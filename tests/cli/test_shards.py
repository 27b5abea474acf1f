"""`--shard I/N`: parts of a run, one after the other, are the run, byte for byte; and `--resume` of `check`."""

from __future__ import annotations

import gzip
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from crystaltool.cli.shards import Shard, parse_shard, part_of
from crystaltool.errors import UsageError
from crystaltool.io.cif import format_crystal
from tests.checks.blocks import halite_text, textbook_text
from tests.cli.one_process import Child, Ended, one_process
from tests.cli.test_measure import STREAM as MEASURED
from tests.conftest import ROOT, TOOL, tool_environment
from tests.models.tiny import trained_folder
from tests.mof.structures import curated
from tests.textbook import TEXTBOOK

N_PARTS = 4
BLOCKS = ROOT / "tests" / "models" / "block_encoder" / "real_blocks.h5"
NAMES = [entry.name for entry in TEXTBOOK][:9]


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with one_process() as running:
        yield running


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Crystals in a folder and a compressed file; repeated names, a bad block, one without structure, twins."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "some").mkdir()
    for name in NAMES[:4]:
        (folder / "some" / f"{name}.cif").write_text(textbook_text(name))
    (folder / "some" / "empty.cif").write_text("")
    more = [
        *map(textbook_text, NAMES[4:]),
        halite_text("bad", cell="5 5 x 90 90 90"),
        "data_global\n_journal_year 2020\n\n",
    ]
    more += [textbook_text(NAMES[0]), halite_text("last"), halite_text("last")]
    (folder / "more.cif.gz").write_bytes(gzip.compress("".join(more).encode()))
    return folder


@pytest.fixture(scope="module")
def mofs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mofs")
    text = "".join(format_crystal(crystal, name) for name, crystal in sorted(curated().items())[:3])
    (folder / "mofs.cif").write_text(text + halite_text("salt"))
    return folder


def run(child: Child, folder: Path, *arguments: str | Path) -> Ended:
    done = child.run(folder, *arguments)
    assert done.code in (0, 1, 2) and "internal error" not in done.err, done.err
    return done


def parts(child: Child, folder: Path, *arguments: str | Path) -> list[Ended]:
    return [run(child, folder, *arguments, "--shard", f"{i}/{N_PARTS}") for i in range(1, N_PARTS + 1)]


STREAMS = [
    ("asym-unit", "--no-provenance"),
    ("asym-unit", "--no-provenance", "--names", "file", "-j", "2"),
    ("asym-unit", "--expand", "--no-provenance"),
    ("relax", "--forcefield", "ase:ase.calculators.lj:LennardJones", "--max-steps", "1", "--no-provenance"),
    ("view", "-e", "n_atoms > 2"),
    ("view", "--columns", "name,space_group"),
    ("view", "--format", "extxyz"),
    ("check", "--only", "cell,distance-lemat,unique"),
    ("check", "--only", "cell,unique", "--json", "-j", "2"),
    ("check", "--only", "cell,unique", "--annotate"),
    ("check", "--only", "cell,unique", "--pass"),
    ("check", "--only", "cell,unique", "--fail"),
]


@pytest.mark.parametrize("command", STREAMS, ids="-".join)
def test_parts_of_files_are_the_whole(child: Child, inputs: Path, command: tuple[str, ...]) -> None:
    sources = ("some", "more.cif.gz")
    whole = run(child, inputs, *command, *sources)
    shards = parts(child, inputs, *command, *sources)
    assert "".join(part.out for part in shards) == whole.out != ""
    assert len({part.out for part in shards}) > 1
    for word in ("more.cif.gz(", "empty.cif"):  # every bad record is one shard's
        count = sum(line.count("ERROR") for line in whole.err.splitlines() if word in line)
        assert sum(part.err.count("ERROR") for part in shards) == whole.err.count("ERROR") >= count
    renamed = [line for part in shards for line in part.err.splitlines() if "renamed" in line]
    assert renamed == [line for line in whole.err.splitlines() if "renamed" in line]


def test_parts_of_measure_are_the_whole(child: Child, tmp_path: Path) -> None:
    (tmp_path / "in.cif").write_text(MEASURED)
    whole = run(child, tmp_path, "measure", "--hull", "--no-provenance", "in.cif")
    assert (
        "".join(part.out for part in parts(child, tmp_path, "measure", "--hull", "--no-provenance", "in.cif"))
        == whole.out
    )


def test_parts_of_standard_input_are_the_whole(inputs: Path) -> None:
    text = gzip.decompress((inputs / "more.cif.gz").read_bytes())

    def out(*more: str) -> bytes:
        command = [*TOOL, "asym-unit", "--no-provenance", "-q", *more]
        return subprocess.run(
            command, input=text, capture_output=True, check=False, env=tool_environment(), timeout=300
        ).stdout

    assert out("--shard", "1/2") + out("--shard", "2/2", "-") == out() != b""


def test_parts_of_a_data_set_become_one(child: Child, inputs: Path, tmp_path: Path) -> None:
    run(child, tmp_path, "asym-unit", inputs / "some", inputs / "more.cif.gz", "--no-provenance", "-o", "whole.h5")
    for i in range(1, N_PARTS + 1):
        out = ("-o", f"part{i}.h5", "--shard", f"{i}/{N_PARTS}")
        run(child, tmp_path, "asym-unit", inputs / "some", inputs / "more.cif.gz", "--no-provenance", *out)
    names = [f"part{i}.h5" for i in range(1, N_PARTS + 1)]
    run(child, tmp_path, "asym-unit", *names, "--no-provenance", "-o", "joined.h5")
    assert (tmp_path / "joined.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    before = (tmp_path / "part1.h5").stat().st_mtime_ns
    done = run(child, tmp_path, "asym-unit", inputs / "some", "-o", "part1.h5", "--resume", "--shard", "1/4")
    assert done.code == 0 and (tmp_path / "part1.h5").stat().st_mtime_ns == before


def test_parts_of_fragment_become_one(child: Child, mofs: Path, tmp_path: Path) -> None:
    run(child, tmp_path, "fragment", mofs, "--no-provenance", "-q", "-o", "whole.h5", "--report", "whole.tsv")
    for i in (1, 2, 3):
        out = ("-o", f"part{i}.h5", "--report", f"part{i}.tsv", "--shard", f"{i}/3")
        run(child, tmp_path, "fragment", mofs, "--no-provenance", "-q", *out)
    run(child, tmp_path, "fragment", "part1.h5", "part2.h5", "part3.h5", "--no-provenance", "-o", "joined.h5")
    assert (tmp_path / "joined.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    rows = [(tmp_path / f"{name}.tsv").read_text() for name in ("part1", "part2", "part3", "whole")]
    assert "".join(rows[:3]) == rows[3]
    whole = run(child, tmp_path, "assemble", "whole.h5", "--starts", "4", "--no-provenance", "-q")
    shares = parts(child, tmp_path, "assemble", "whole.h5", "--starts", "4", "--no-provenance", "-q")
    assert "".join(part.out for part in shares) == whole.out != ""
    done = child.run(tmp_path, "fragment", "part1.h5", "part2.h5", "--shard", "1/2", "-o", "x.h5")
    assert done.code == 2 and "joined as they are" in done.err


def test_parts_of_samples_are_the_whole(child: Child, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    model = trained_folder(tmp_path / "model")
    quick = ("--steps", "5", "--attempts", "1", "--device", "cpu", "--no-provenance", "-q", "--seed", "3")
    whole = run(child, tmp_path, "sample", model, "-n", "10", *quick)
    shards = parts(child, tmp_path, "sample", model, "-n", "10", *quick)
    assert "".join(part.out for part in shards) == whole.out
    assert [part.out.count("\ndata_") + part.out.startswith("data_") for part in shards] == [2, 3, 2, 3]
    (tmp_path / "part.cif").write_text(shards[1].out[: len(shards[1].out) // 2])
    run(child, tmp_path, "sample", model, "-n", "10", *quick, "-o", "part.cif", "--resume", "--shard", "2/4")
    assert (tmp_path / "part.cif").read_text() == shards[1].out


FORMS = [(), ("--json",), ("--annotate",), ("--pass",), ("--fail",)]


@pytest.mark.parametrize("form", FORMS, ids=["table", "json", "annotate", "pass", "fail"])
@pytest.mark.parametrize("shard", [(), ("--shard", "2/2")], ids=["whole", "shard"])
def test_check_goes_on_where_it_was(
    child: Child, inputs: Path, tmp_path: Path, form: tuple[str, ...], shard: tuple[str, ...]
) -> None:
    """Output cut anywhere: the same bytes, exit code and, but where the output has structures alone, summary."""
    command = ("check", "--only", "cell,distance-lemat,unique", *form, *shard, inputs / "some", inputs / "more.cif.gz")
    whole = run(child, tmp_path, *command, "-o", "whole.txt")
    data = (tmp_path / "whole.txt").read_bytes()
    rng = random.Random(7)
    for cut in (0, 10, len(data) - 1, len(data), *(rng.randrange(len(data)) for _ in range(4))):
        (tmp_path / "part.txt").write_bytes(data[:cut])
        again = run(child, tmp_path, *command, "-o", "part.txt", "--resume")
        assert (tmp_path / "part.txt").read_bytes() == data, cut
        assert again.code == whole.code
        if form not in (("--pass",), ("--fail",)):
            assert again.err.splitlines()[-8:] == whole.err.splitlines()[-8:]


VIEWS = [
    ("-e", "n_atoms > 2"),
    ("--columns", "name,space_group,formula"),
    ("--format", "csv", "--sort", "n_atoms", "--reverse"),
    ("--format", "json", "--head", "7"),
    ("--format", "extxyz"),
    ("--format", "json", "--shard", "2/2"),
    ("--format", "poscar", "--head", "1"),
]


@pytest.mark.parametrize("words", VIEWS, ids=" ".join)
def test_view_goes_on_where_it_was(child: Child, inputs: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    """Output cut anywhere, also in a line: the same bytes, exit code and messages."""
    command = ("view", *words, inputs / "some", inputs / "more.cif.gz")
    whole = run(child, tmp_path, *command, "-o", "whole.txt")
    data = (tmp_path / "whole.txt").read_bytes()
    assert data
    rng = random.Random(7)
    for cut in (0, 3, len(data) - 1, len(data), *(rng.randrange(len(data)) for _ in range(4))):
        (tmp_path / ".part.txt.partial").write_bytes(data[:cut])
        again = run(child, tmp_path, *command, "-o", "part.txt", "--resume")
        assert (tmp_path / "part.txt").read_bytes() == data, cut
        assert (again.code, again.err) == (whole.code, whole.err)
        (tmp_path / "part.txt").unlink()


def test_view_goes_on_in_a_folder_and_of_blocks(child: Child, inputs: Path, tmp_path: Path) -> None:
    command = ("view", "--format", "poscar", inputs / "some", "-O", "out")
    run(child, tmp_path, *command)
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    kept = sorted(files)[0]
    (tmp_path / "out" / kept).write_bytes(b"as it is")
    for name in sorted(files)[1:]:
        (tmp_path / "out" / name).unlink()
    run(child, tmp_path, *command, "--resume")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == files | {kept: b"as it is"}
    rows = ("view", BLOCKS, "-o", "blocks.tsv")
    run(child, tmp_path, *rows)
    data = (tmp_path / "blocks.tsv").read_bytes()
    (tmp_path / "blocks.tsv").write_bytes(data[: len(data) // 2])
    run(child, tmp_path, *rows, "--resume")
    assert (tmp_path / "blocks.tsv").read_bytes() == data


@pytest.mark.parametrize("text", ["something else\n", "{more}extra\n", "name\tformula\n"])
def test_view_goes_on_in_its_own_output_alone(child: Child, inputs: Path, tmp_path: Path, text: str) -> None:
    command = ("view", "--columns", "name,space_group", inputs / "some", "-o", "x.tsv")
    run(child, tmp_path, *command)
    text = text.format(more=(tmp_path / "x.tsv").read_text())
    (tmp_path / "x.tsv").write_text(text)
    done = child.run(tmp_path, *command, "--resume")
    assert done.code == 2 and "not the beginning of what this run writes" in done.err
    assert (tmp_path / "x.tsv").read_text() == text
    done = child.run(tmp_path, "view", inputs / "some", "--resume")
    assert done.code == 2 and "--resume needs -o FILE or -O DIR" in done.err
    done = child.run(tmp_path, "view", "--info", inputs / "some", "--resume", "-o", "y")
    assert done.code == 2 and "--info goes with" in done.err


def test_an_output_of_something_else_is_no_start(child: Child, inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[1]\n")
    done = child.run(tmp_path, "check", "--json", "--resume", "-o", "x.json", inputs / "some")
    assert done.code == 2 and "check --json did not write" in done.err and (tmp_path / "x.json").read_text() == "[1]\n"
    (tmp_path / "x.cif").write_text(textbook_text(NAMES[-1]) * 2)
    done = child.run(tmp_path, "check", "--pass", "--resume", "-o", "x.cif", inputs / "some")
    assert done.code == 2 and "the input does not hold" in done.err


@pytest.mark.parametrize("text", ["0/4", "5/4", "a/b", "1", "1/", "-1/4", "1/0", "1.0/2", "1/2/3", ""])
@pytest.mark.parametrize(
    "command", ["check", "relax", "measure", "asym-unit", "assemble", "sample", "fragment", "view"]
)
def test_a_bad_shard_is_one_line(child: Child, inputs: Path, tmp_path: Path, text: str, command: str) -> None:
    more = {"measure": ("--pores",), "sample": (), "view": ()}.get(command, ())
    source = "symmcd" if command == "sample" else inputs / "more.cif.gz"
    done = child.run(tmp_path, command, source, *more, "--shard", text)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(f"crystaltool {command}: ERROR, --shard is {text!r}, expected I/N")


def test_shares_are_contiguous_even_and_complete() -> None:
    for n in (0, 1, 7, 100):
        for count in (1, 2, 7, 13):
            shares = [Shard(i, count).share(n) for i in range(1, count + 1)]
            assert [item for share in shares for item in share] == list(range(n))
            assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_what_comes_before_is_read_in_silence() -> None:
    said, silent = [], []

    def read() -> Iterator[int]:
        for item in range(6):
            if not silent:
                said.append(item)
            yield item

    class Silence:
        def __enter__(self) -> None:
            silent.append(1)

        def __exit__(self, *_: object) -> None:
            silent.pop()

    assert list(part_of(Shard(2, 3), read, Silence)) == [(0, False), (1, False), (2, True), (3, True)]
    assert said == [2, 3]
    assert list(part_of(parse_shard(None), read, Silence)) == [(item, True) for item in range(6)]
    with pytest.raises(UsageError):
        parse_shard("3/2")
