"""Full disks, read-only folders and readers that go away, at every command and every kind of output.

The disks are file systems in memory of a given size (`mount`, so this part wants root): true errors of the kernel.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path

from benchmarks.faults.commands import LENNARD_JONES
from benchmarks.faults.judge import judge
from benchmarks.faults.server import STDERR, Server

FREE_KB = (0, 4, 12, 40, 120)
"""Room on the disk: nothing, then enough for a part of what is written."""

STREAMS = (
    "asym-unit SEEDS/structures.cif",
    "asym-unit --expand SEEDS/structures.cif",
    "fragment SEEDS/framework.cif",
    "embed SEEDS/models/run-blocks SEEDS/one.h5",
    "embed blocks SEEDS/one.h5 --nearest 2 --by embedding --among SEEDS/library.h5",
    "sample SEEDS/models/run-symmcd -n 3",
    "sample SEEDS/models/run-mofdiff -n 1",
    "assemble --starts 2 SEEDS/samples.h5",
    f"relax {LENNARD_JONES} SEEDS/structures.cif",
    "measure --pores SEEDS/framework.cif",
    "check SEEDS/structures.cif",
    "check --json SEEDS/structures.cif",
    "check --annotate SEEDS/structures.cif",
    "view SEEDS/structures.cif",
    "view --format csv SEEDS/structures.cif",
    "view --format extxyz SEEDS/structures.cif",
    "view --info SEEDS/structures.cif",
    "stats SEEDS/structures.cif",
    "stats --format json SEEDS/structures.cif",
)
"""Commands that write standard output, or `-o FILE`."""

FILES = (
    "asym-unit SEEDS/structures.cif -o DISK/out.h5",
    "asym-unit SEEDS/structures.cif -o DISK/out.cif.gz",
    "asym-unit SEEDS/structures.cif -O DISK/out",
    "asym-unit SEEDS/structures.cif --resume -o DISK/out.cif",
    "fragment SEEDS/framework.cif -o DISK/out.h5 --report DISK/out.tsv",
    "fragment SEEDS/framework.cif -o out.h5 --report DISK/out.tsv",
    "embed SEEDS/models/run-blocks SEEDS/one.h5 -o DISK/out.h5 --library DISK/lib.h5",
    "train symmcd SEEDS/train.h5 -o DISK/run --config SEEDS/tiny-symmcd.toml",
    "train blocks SEEDS/blocks.h5 -o DISK/run --config SEEDS/tiny-blocks.toml",
    "train mofdiff SEEDS/blocks.h5 --embeddings SEEDS/embeddings.h5 -o DISK/run --config SEEDS/tiny-mofdiff.toml",
    "train mofdiff SEEDS/blocks.h5 --part nets --library SEEDS/library.h5 -o DISK/run --config SEEDS/tiny-nets.toml",
    "train blocks SEEDS/blocks.h5 --part order -o DISK/run",
    "sample SEEDS/models/run-symmcd -n 3 -O DISK/out",
    "view --format poscar SEEDS/structures.cif -O DISK/out",
    "stats --html DISK/out.html SEEDS/structures.cif",
)


def run_places(work: Path) -> str:
    """All commands; a table."""
    server, folder, files = Server(), work / "place", work / "files"
    rows, faults = [], []

    def try_line(text: str, disk: Path | None, stdout: str | int = "/dev/null") -> tuple[int, list[str]]:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        arguments = [word.replace("SEEDS", str(files)).replace("DISK", str(disk)) for word in text.split()]
        ended = server.run(folder, arguments, stdout=stdout, learn=learning)
        resumed, gone = "--resume" in arguments, isinstance(stdout, int)
        found = judge(arguments[0], ended, folder, set(), resumed, gone)
        said = (folder / STDERR).read_text(errors="replace")
        if disk is not None:
            found += _left_on(disk, ended.code, resumed)
        if ended.code == 2 and not any(words in said for words in SAID):
            found.append(f"does not name the reason: {said.strip()[-200:]}")
        if found:
            faults.append(f"- `{text}`, {place}: exit {ended.code}, {'; '.join(found)}")
        return ended.code, found

    learning, place = True, "a disk with room"
    rooms = [("a disk with room", 100_000, False), *((f"{kb} kB free", kb, False) for kb in FREE_KB)]
    for place, kb, read_only in [*rooms, ("a read-only folder", 1000, True)]:
        ended = []
        for text in (*(f"{line} -o DISK/out{_ending(line)}" for line in STREAMS), *FILES):
            with disk_of(kb, read_only) as disk:
                ended.append(try_line(text, disk))
        rows.append(_row(place, ended))
        learning = False
    for place, stdout in (("standard output is full", "/dev/full"), ("the reader is gone", 0), ("`| head -c 1`", 1)):
        rows.append(_row(place, [try_line(text, None, stdout) for text in STREAMS]))
    server.close()
    head = ["| place | commands | exit 0 | 2 | 141 | other | faults |", "|---|---|---|---|---|---|---|"]
    return "\n".join([*head, *rows, "", *faults])


SAID = ("No space left on device", "Read-only file system", "Unable to", "write failed")


def _ending(line: str) -> str:
    return (
        ".h5"
        if line.startswith(("fragment", "embed", "sample SEEDS/models/run-mofdiff")) and "nearest" not in line
        else ".cif"
    )


def _left_on(disk: Path, code: int, resumed: bool) -> list[str]:
    left = [path.relative_to(disk) for path in disk.rglob("*") if path.is_file() and path.name != "ballast"]
    hidden = [path for path in left if path.name.startswith(".") and not (resumed and path.suffix == ".partial")]
    return [f"left {path}" for path in hidden] + (
        [f"left {path} with exit 2" for path in left if code == 2 and path.stem == "out"]
    )


def _row(place: str, ended: list[tuple[int, list[str]]]) -> str:
    codes = [code for code, _ in ended]
    known = [codes.count(code) for code in (0, 2, 141)]
    faulty = sum(bool(found) for _, found in ended)
    return f"| {place} | {len(codes)} | {' | '.join(map(str, known))} | {len(codes) - sum(known)} | {faulty} |"


@contextlib.contextmanager
def disk_of(kb: int, read_only: bool) -> Generator[Path]:
    """A file system with so much room for data."""
    place = Path("/tmp") / "faults-disk"
    place.mkdir(exist_ok=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={max(kb, 4)}k,nr_inodes=200", "faults", str(place)], check=True
    )
    try:
        if kb == 0:
            (place / "ballast").write_bytes(bytes(4096))
        if read_only:
            subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)
