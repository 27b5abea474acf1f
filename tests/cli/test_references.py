"""`crystaltool check --reference`: everything that `asym-unit` reads, several at once, and what cannot be compared."""

from __future__ import annotations

import csv
import gzip
import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from crystaltool.asymunit import reduce, tabulate
from crystaltool.io.cif import format_crystal
from crystaltool.io.hdf5 import write_asym_units
from tests.checks.blocks import textbook_text
from tests.cli.one_process import Child, Ended, one_process
from tests.mof.structures import curated, cyanides, shuffled
from tests.textbook import BY_NAME

HALITE, RUTILE, PYRITE = (textbook_text(name) for name in ("halite", "rutile", "pyrite"))
MIL53 = format_crystal(curated()["MIL-53"], "mil-53")
MIL47 = format_crystal(curated()["MIL-47"], "mil-47")
AGAIN = format_crystal(shuffled(curated()["MIL-53"], 4), "again")


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with one_process() as running:
        yield running


def novel(ended: Ended) -> dict[str, str]:
    """Verdict by structure."""
    return {line.split("\t")[0]: line.split("\t")[2] for line in ended.out.splitlines()[1:]}


def as_csv(*texts: str) -> str:
    target = io.StringIO()
    writer = csv.writer(target)
    writer.writerow(["", "material_id", "band_gap", "cif"])
    writer.writerows([index, f"row-{index}", 1.5, text] for index, text in enumerate(texts))
    return target.getvalue()


def write_folder(path: Path) -> None:
    path.mkdir()
    (path / "a.cif").write_text(HALITE)
    (path / "b.cif.gz").write_bytes(gzip.compress(MIL53.encode()))
    (path / "notes.txt").write_text("no structure")


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.cif", HALITE)
        archive.writestr("b.cif", MIL53)


def write_tar(path: Path) -> None:
    with tarfile.open(path, "w:xz") as archive:
        for name, text in (("a.cif", HALITE), ("b.cif", MIL53)):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))


def write_data_set(path: Path) -> None:
    write_asym_units(path, tabulate([reduce(BY_NAME["halite"].crystal()), reduce(curated()["MIL-53"])]))


def write_packed_data_set(path: Path) -> None:
    write_data_set(path.with_suffix(".tmp"))
    path.write_bytes(gzip.compress(path.with_suffix(".tmp").read_bytes()))


FORMS = {
    "known.cif": lambda path: path.write_text(HALITE + MIL53),
    "known.cif.gz": lambda path: path.write_bytes(gzip.compress((HALITE + MIL53).encode())),
    "known.csv": lambda path: path.write_text(as_csv(HALITE, MIL53)),
    "known.csv.gz": lambda path: path.write_bytes(gzip.compress(as_csv(HALITE, MIL53).encode())),
    "folder": write_folder,
    "known.zip": write_zip,
    "known.tar.xz": write_tar,
    "known.h5": write_data_set,
    "known.h5.gz": write_packed_data_set,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_input_of_asym_unit_is_a_reference(child: Child, tmp_path: Path, form: str) -> None:
    """Of both kinds of structures; the one that is known is known in every form."""
    FORMS[form](tmp_path / form)
    (tmp_path / "in.cif").write_text(HALITE + RUTILE + AGAIN + MIL47)
    ended = child.run(tmp_path, "check", "-q", "--only", "novel", "--reference", form, "in.cif")
    assert (ended.code, ended.err) == (1, "")
    assert novel(ended) == {"halite": "fail", "rutile": "pass", "again": "fail", "mil-47": "pass"}
    assert child.run(tmp_path, "asym-unit", "-q", form, "-o", "readable.h5").code == 0


def test_all_references_count(child: Child, tmp_path: Path) -> None:
    for name, text in {"a.cif": HALITE, "b.csv": as_csv(RUTILE), "c.cif": MIL53, "d.cif": MIL47}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "in.cif").write_text(HALITE + RUTILE + PYRITE + AGAIN + MIL47)
    assert child.run(tmp_path, "fragment", "-q", "-o", "c.h5", "c.cif").code == 0
    names = ("a.cif", "b.csv", "c.h5", "d.cif")
    references = [word for name in names for word in ("--reference", name)]
    for jobs in "12":
        ended = child.run(tmp_path, "check", "-q", "-j", jobs, "--only", "novel", *references, "in.cif")
        assert (ended.code, ended.err) == (1, "")
        verdicts = {"halite": "fail", "rutile": "fail", "pyrite": "pass", "again": "fail", "mil-47": "fail"}
        assert novel(ended) == verdicts
        assert "no match among 2 references" in ended.out and "matches row-0" in ended.out


def test_what_the_reference_holds_nothing_of_is_an_error(child: Child, tmp_path: Path) -> None:
    (tmp_path / "salts.cif").write_text(HALITE + RUTILE)
    (tmp_path / "mofs.cif").write_text(MIL53)
    (tmp_path / "in.cif").write_text(PYRITE + MIL47)
    for reference, done, refused in (("salts.cif", "pyrite", "mil-47"), ("mofs.cif", "mil-47", "pyrite")):
        ended = child.run(tmp_path, "check", "--only", "novel,unique", "--reference", reference, "in.cif")
        found = {tuple(line.split("\t")[:3]) for line in ended.out.splitlines()[1:]}
        assert ended.code == 2 and {(done, "novel", "pass"), (done, "unique", "pass")} <= found
        assert not any(line[:2] == (refused, "novel") for line in found)
        assert f"data_{refused}: ERROR, novelty cannot be judged: this is " in ended.err


def test_what_has_no_identity_is_compared_with_its_like(child: Child, tmp_path: Path) -> None:
    """A layer cannot be cut into the blocks of a framework; as a crystal it is known or new."""
    layer = format_crystal(cyanides("xy"), "layer")
    wider = format_crystal(cyanides("xy", metal=29), "copper")
    (tmp_path / "known.cif").write_text(MIL53 + layer)
    (tmp_path / "in.cif").write_text(layer + wider + wider.replace("data_copper", "data_same") + AGAIN)
    call = ("check", "--kind", "mof", "--only", "novel,unique", "-q", "--reference", "known.cif", "in.cif")
    found = {tuple(line.split("\t")[:3]) for line in child.run(tmp_path, *call).out.splitlines()[1:]}
    assert {name for name, check, verdict in found if (check, verdict) == ("novel", "pass")} == {"copper", "same"}
    assert {name for name, check, verdict in found if (check, verdict) == ("unique", "fail")} == {"same"}


def test_bad_records_of_a_reference_are_reported_and_the_rest_counts(child: Child, tmp_path: Path) -> None:
    (tmp_path / "known.cif").write_text("data_broken\n_cell_length_a 3\n" + HALITE)
    (tmp_path / "in.cif").write_text(HALITE)
    ended = child.run(tmp_path, "check", "-q", "--only", "novel", "--reference", "known.cif", "in.cif")
    assert ended.code == 2 and novel(ended) == {"halite": "fail"}
    why = "not compared with: no _cell_length_b, the cell is missing"
    assert ended.err == f"crystaltool check: known.cif(1) data_broken: ERROR, {why}\n"


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("none.cif", "none.cif: nothing to compare with: No such file or directory"),
        ("POSCAR", "POSCAR: 1 positions, expected 8"),
        ("empty", "the folder holds no structure files"),
    ],
)
def test_a_reference_with_nothing_in_it_ends_the_run(child: Child, tmp_path: Path, reference: str, words: str) -> None:
    (tmp_path / "POSCAR").write_text("NaCl\n1.0\n5.6 0 0\n0 5.6 0\n0 0 5.6\nNa Cl\n4 4\nDirect\n0 0 0\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "in.cif").write_text(HALITE)
    ended = child.run(tmp_path, "check", "--reference", reference, "in.cif")
    assert (ended.code, ended.out) == (2, "") and words in ended.err and ended.err.count("\n") == 1


def test_standard_input_is_one_thing(crystaltool, tmp_path: Path) -> None:
    (tmp_path / "in.cif").write_text(HALITE)
    done = crystaltool("check", "-q", "--only", "novel", "--reference", "-", "in.cif", stdin=HALITE)
    assert done.returncode == 1 and "matches halite" in done.stdout
    done = crystaltool("check", "--reference", "-", stdin=HALITE)
    assert done.returncode == 2 and "cannot be both" in done.stderr
