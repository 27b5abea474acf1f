"""Hostile archives and names: nothing leaves its folder, fills memory, steers a terminal or writes into a page."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import pty
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np

from benchmarks.faults.judge import judge
from benchmarks.faults.server import MAX_SECONDS, ROOT, STDOUT, Server

MEGABYTE = 2**20
EVIL = (
    "\x1b[2J\x1b]0;owned\x07",
    "<script>alert(1)</script>",
    "\x9b31mred",
    "\u202eabc",
    "../../up",
    "=cmd()",
    "a'b\"c",
)
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
STEERS = re.compile("\x1b\\[2J|\x1b\\]0;|\x07|\x9b|\u202e")
"""What a terminal must not get, among the sequences that the tool itself writes there."""

READERS = (
    "asym-unit {} -O out", "asym-unit {} -o out.h5", "check {}", "view --info {}", "stats {}", "fragment {} -o out.h5",
    "check --only novel --reference {} SEEDS/structures.cif",
)  # fmt: skip
FORMS = (
    "asym-unit {}", "asym-unit {} -O out", "asym-unit --names file {} -o out.h5", "check {}", "check --json {}",
    "check --annotate {}", "view {}", "view --columns name,formula,source {}", "view --columns name --format csv {}",
    "view --format json {}", "view --format extxyz {}", "view --format poscar {} -O out", "view --info {}",
    "stats {}", "stats --format json {}", "stats --html out.html {}", "fragment {} -o out.h5 --report out.tsv",
    "relax --forcefield ase:ase.calculators.lj:LennardJones --max-steps 0 {}", "measure --pores {}",
)  # fmt: skip
ON_TERMINALS = ("view {}", "check {}", "stats {}", "view --info {}")


def zipped(members: dict[str, bytes]) -> bytes:
    """A zip archive."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def tarred(members: dict[str, bytes], kind: bytes = tarfile.REGTYPE, target: str = "") -> bytes:
    """A tar archive of members of a kind."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content), kind, target
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def long_name(kind: bytes, size: int) -> bytes:
    """The head of a tar member whose name is `size` bytes of zeros."""
    info = tarfile.TarInfo("././@LongLink")
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def bomb(head: bytes, size: int, unit: bytes = bytes(MEGABYTE), tail: bytes = b"") -> bytes:
    """Gzip of many repetitions."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1) as handle:
        handle.write(head)
        for _ in range(size // len(unit)):
            handle.write(unit)
        handle.write(tail)
    return packed.getvalue()


def hdf5_bomb(n: int) -> bytes:
    """A data set of zeros that take a thousandth of their size."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.attrs["crystaltool_format"], file.attrs["kind"], file.attrs["history"] = 1, "asym-unit", ""
        big = file.create_dataset("lattice", (n, 3, 3), "f8", chunks=(2**17, 3, 3), compression="gzip")
        for start in range(0, n, 2**17):
            big[start : start + 2**17] = 0.0
        for name in ("group", "n_orbits", "numbers", "positions"):
            file.create_dataset(name, data=np.ones(n, np.int16), compression="gzip")
        file.create_dataset("free_coords", data=np.zeros((n, 3)), compression="gzip")
        file.create_dataset("names", data=np.zeros(n, "S1"), compression="gzip")
    return memory.getvalue()


def central_directory(size: int) -> bytes:
    """A gzipped zip whose list of members is said to be long."""
    end = b"PK\x05\x06" + bytes(4) + b"\xff\xff\xff\xff" + size.to_bytes(4, "little") + bytes(4) + bytes(2)
    return bomb(b"PK\x03\x04", size, tail=end)


def archives(cif: bytes) -> Iterator[tuple[str, str, Callable[[], bytes]]]:
    """Name, ending, content."""
    outside = dict.fromkeys(("../../escape.cif", "/tmp/escape.cif", "..\\..\\escape.cif", "a/../../escape.cif"), cif)
    evil = {f"{name.replace('/', '_')}.cif": cif for name in EVIL}
    yield "zip, members outside", ".zip", lambda: zipped(outside)
    yield "tar, members outside", ".tar", lambda: tarred(outside)
    yield "zip, hostile names", ".zip", lambda: zipped(evil)
    yield "tar, hostile names", ".tar", lambda: tarred(evil)
    yield "tar, symbolic links", ".tar", lambda: tarred({"a.cif": b""}, tarfile.SYMTYPE, "/etc/passwd")
    yield "tar, hard links", ".tar", lambda: tarred({"a.cif": b""}, tarfile.LNKTYPE, "../../etc/passwd")
    yield "tar, devices", ".tar", lambda: tarred({"a.cif": b""}, tarfile.CHRTYPE)
    yield "tar, pipes", ".tar", lambda: tarred({"a.cif": b""}, tarfile.FIFOTYPE)
    nested = cif
    for _ in range(6):
        nested = zipped({"a.zip": nested})
    yield "zip within zip, six deep", ".zip", lambda: nested
    yield "20,000 members", ".zip", lambda: zipped({f"{i}.cif": b"" for i in range(20_000)})
    yield "zip of 3 GB of zeros", ".zip", lambda: _big_zip(bytes(MEGABYTE))
    yield "zip of 3 GB of blanks", ".zip", lambda: _big_zip(b" " * MEGABYTE)
    yield "gzip of 3 GB of zeros", ".cif.gz", lambda: bomb(b"data_x\n", 3 << 30)
    yield "gzip of 3 GB without line ends", ".cif.gz", lambda: bomb(b"data_x\n", 3 << 30, b"x" * MEGABYTE)
    yield "gzip of 0.5 GB of empty lines", ".cif.gz", lambda: bomb(b"data_x\n", 1 << 29, b"\n" * MEGABYTE)
    yield "gzip of 0.5 GB of an open field", ".cif.gz", lambda: bomb(b"data_x\n;\n", 1 << 29, b"ab\n" * 2**18)
    yield "gzip of 0.2 GB of one loop", ".cif.gz", lambda: bomb(b"data_x\nloop_\n_a\n", 200 << 20, b"1 \n" * 2**18)
    yield "gzip within gzip", ".cif.gz", lambda: gzip.compress(bomb(b"data_x\n", 3 << 30))
    yield "xz of 3 GB", ".cif.xz", lambda: _stream_bomb(lzma.LZMACompressor(preset=0))
    yield "bzip2 of 1 GB", ".cif.bz2", lambda: _stream_bomb(bz2.BZ2Compressor(1), 1 << 30)
    yield "CSV with a field of 1 GB", ".csv.gz", lambda: bomb(b"material_id,cif\nx,", 1 << 30, b"x" * MEGABYTE)
    yield "CSV with 100 M fields", ".csv.gz", lambda: bomb(b"material_id,cif\nx,", 100 << 20, b"," * MEGABYTE)
    yield "tar, a name of 3 GB", ".tar.gz", lambda: bomb(long_name(tarfile.GNUTYPE_LONGNAME, 3 << 30), 3 << 30)
    yield "tar, a pax header of 3 GB", ".tar.gz", lambda: bomb(long_name(tarfile.XHDTYPE, 3 << 30), 3 << 30)
    yield "zip, a list of members of 3 GB", ".zip.gz", lambda: central_directory(3 << 30)
    yield "HDF5, 4 GB of zeros", ".h5", lambda: hdf5_bomb(40 << 20)


def _big_zip(unit: bytes) -> bytes:
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("a.cif", "w", force_zip64=True) as handle,
    ):
        for _ in range(3 << 10):
            handle.write(unit)
    return packed.getvalue()


def _stream_bomb(compressor, size: int = 3 << 30) -> bytes:
    return b"".join([*(compressor.compress(b" " * MEGABYTE) for _ in range(size // MEGABYTE)), compressor.flush()])


def run_hostile(work: Path) -> str:
    """Archives through every reader, names through every form of output; a table."""
    server, files, base = Server(), work / "files", work / "hostile"
    made = work / "archives"
    made.mkdir(exist_ok=True)
    rows, faults = (
        ["| input | runs | exit 0 | 2 | faults | longest, s | most memory, GB |", "|---|---|---|---|---|---|---|"],
        [],
    )
    cif = (files / "mine" / sorted(os.listdir(files / "mine"))[0]).read_bytes()
    runs = []
    for name, ending, content in archives(cif):
        source = made / (re.sub(r"\W+", "-", name) + ending)
        if not source.exists():
            source.write_bytes(content())
        runs.append((name, source, READERS))
    runs.append(("hostile names in a block, its values, columns, files", write_names(made / "names", cif), FORMS))
    for name, source, lines in runs:
        ended, n_faulty = [], 0
        for text in lines:
            shutil.rmtree(base, ignore_errors=True)
            folder = base / "a" / "b"
            folder.mkdir(parents=True)
            arguments = [w.replace("SEEDS", str(files)).replace("{}", str(source)) for w in text.split(" ")]
            result = server.run(folder, arguments)
            found = judge(arguments[0], result, folder, set()) + outside_of(folder, base) + forms(folder, text)
            ended.append(result)
            n_faulty += bool(found)
            faults += [f"- {name}, `{text}`: exit {result.code}, {'; '.join(found)}"] if found else []
        codes = [one.code for one in ended]
        most = max(one.memory for one in ended) / 2**30
        seconds = max(one.seconds for one in ended)
        rows.append(
            f"| {name} | {len(ended)} | {codes.count(0)} | {codes.count(2)} | {n_faulty} | {seconds:.1f} | {most:.2f} |"
        )
        print(rows[-1], file=sys.stderr, flush=True)
    steered = [text for text in ON_TERMINALS if STEERS.search(on_terminal(text.replace("{}", str(made / "names"))))]
    rows.append(f"| the same on a terminal | {len(ON_TERMINALS)} | | | {len(steered)} | | |")
    faults += [f"- on a terminal, `{text}`: a sequence of the input reaches it" for text in steered]
    server.close()
    return "\n".join([*rows, "", *faults])


def outside_of(folder: Path, base: Path) -> list[str]:
    """Whatever was written outside of the folder."""
    found = [path for path in base.rglob("*") if path.is_file() and folder not in path.parents]
    return [f"wrote {path}" for path in (*found, Path("/tmp/escape.cif"), Path("/etc/escape.cif")) if path.exists()]


def forms(folder: Path, text: str) -> list[str]:
    """What is wrong with outputs: control characters, tables with torn rows, JSON that does not parse, live HTML."""
    faults = []
    for path in folder.rglob("*"):
        if CONTROL.search(path.name):
            faults.append("a file name with control characters")
        if not path.is_file() or path.suffix == ".h5":
            continue
        content = path.read_bytes().decode("utf-8", "replace")
        if path.suffix != ".html" and (found := CONTROL.search(content)):
            faults.append(f"{path.name} has the character {found[0]!r}")
        if path.name == STDOUT and ("json" in text):
            try:
                [json.loads(line) for line in content.splitlines()] if "stats" not in text else json.loads(
                    content or "{}"
                )
            except ValueError:
                faults.append("no JSON")
        if path.suffix == ".html" and "<script>alert" in content:
            faults.append("a live script in the page")
        torn = path.suffix == ".tsv" or (path.name == STDOUT and re.match(r"check \{|view --columns \S+ \{", text))
        if torn and len({line.count("\t") for line in content.splitlines()}) > 1:
            faults.append(f"{path.name}: rows of different lengths")
    return faults


def write_names(folder: Path, cif: bytes) -> Path:
    """A folder of files that have hostile text wherever text is carried."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    text = cif.decode()
    for i, evil in enumerate(EVIL):
        name, bare = evil.replace("/", "_"), evil.replace('"', "")
        tags = f"data_{name}\n_crystaltool_note '{evil}'\n_crystaltool_{i}{name} 1\n"
        tags += f"_audit_update_record\n;\n2026-11-28 {evil}\n;\n"
        body = text.split("\n", 1)[1]
        row = ",".join(f'"{cell}"' for cell in (bare, text.replace('"', "'"), 1, bare))
        lattice = 'Lattice="3 0 0 0 3 0 0 0 3" pbc="T T T"'
        contents = {
            "cif": tags + body,
            "csv": f'material_id,cif,"{bare}",note\n{row}\n',
            "xyz": f'1\n{lattice} name="{name}" note={name}\nCu 0 0 0\n',
            "vasp": f"{evil}\n1.0\n3 0 0\n0 3 0\n0 0 3\nCu\n1\nDirect\n0 0 0 {evil}\n",
        }
        for ending, content in contents.items():
            (folder / f"{name}{i}.{ending}").write_text(content)
    return folder


def on_terminal(arguments: str) -> str:
    """What the command writes to a terminal."""
    reader, writer = pty.openpty()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "100", "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-m", "crystaltool", *arguments.split(" ")], stdin=subprocess.DEVNULL, stdout=writer,
        stderr=writer, env=environment,
    )  # fmt: skip
    os.close(writer)
    content = b""
    while True:
        try:
            part = os.read(reader, 65536)
        except OSError:
            break
        if not part:
            break
        content += part
    process.wait(MAX_SECONDS * 10)
    os.close(reader)
    return content.decode("utf-8", "replace")
