"""`crystaltool view`: golden command lines, streams, formats, HDF5, and every way it can go wrong."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from crystaltool.cli.view import TABULAR, FormatName
from crystaltool.io.cif import format_asym_unit, parse_block
from crystaltool.io.stream import iter_blocks, iter_raw
from crystaltool.mof.table import TableBuilder, read_mofs, write_mofs
from crystaltool.view.fields import FIELDS, Record
from crystaltool.view.render import TABLES
from crystaltool.view.rows import EMBEDDING_KIND
from tests.cli.one_process import Child, one_process
from tests.conftest import ROOT
from tests.forcefield.units import ROCK_SALT, RUTILE, cubic, unit_of

HALITE = format_asym_unit(ROCK_SALT, "halite", ("1 elsewhere 1.0 | made",), {"e_above_hull": "0.02", "note": "a, b"})
TITANIA = format_asym_unit(RUTILE, "rutile", (), {"e_above_hull": "-0.1"})
POLONIUM = format_asym_unit(unit_of(221, cubic(3.35), [("Po", "a", ())]), "polonium")
NO_CELL = "data_broken\n_cell_length_a 5\n\n"
STREAM = HALITE + POLONIUM + TITANIA
BLOCKS = ROOT / "tests" / "models" / "block_encoder" / "real_blocks.h5"
MOFS = ROOT / "tests" / "data" / "curated_mofs.cif"


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with one_process() as running:
        yield running


@pytest.fixture
def view(child: Child, tmp_path: Path):
    (tmp_path / "in.cif").write_text(STREAM)

    def run(*arguments: str | Path, code: int = 0) -> tuple[str, list[str]]:
        ended = child.run(tmp_path, "view", *arguments)
        assert ended.code == code, ended.err
        return ended.out, ended.err.splitlines()

    return run


def test_without_options_blocks_come_out_byte_for_byte(view) -> None:
    assert view("in.cif") == (STREAM, [])
    assert view("--format", "cif", "-e", 'name == "polonium"', "in.cif") == (POLONIUM, [])


GOLDEN = {
    ("--columns", "name,formula,reduced_formula,space_group", "--sort", "e_above_hull", "--format", "csv"): (
        "name,formula,reduced_formula,space_group\n"
        "rutile,O4Ti2,O2Ti,136\nhalite,Cl4Na4,ClNa,225\npolonium,Po,Po,221\n"
    ),
    ("--columns", "name,e_above_hull", "--sort", "e_above_hull", "--reverse"): (
        "name\te_above_hull\nhalite\t0.02\nrutile\t-0.1\npolonium\t\n"
    ),
    ("--columns", "name,crystal_system,space_group_symbol,n_sites,n_atoms", "--head", "1", "-e", "n_sites > 1"): (
        "name\tcrystal_system\tspace_group_symbol\tn_sites\tn_atoms\nhalite\tcubic\tF m -3 m\t2\t8\n"
    ),
    ("--columns", "name,note,elements", "--format", "csv", "-e", "has(note)"): (
        'name,note,elements\nhalite,"a, b",Cl Na\n'
    ),
    ("--columns", "name,note,elements", "--format", "json", "--head", "2"): (
        '{"name": "halite", "note": "a, b", "elements": ["Cl", "Na"]}\n'
        '{"name": "polonium", "note": null, "elements": ["Po"]}\n'
    ),
    ("--columns", "name,kind", "-e", 'formula == "NaCl"'): "name\tkind\nhalite\tinorganic\n",
    ("--columns", "name", "-e", "elements <= {Ti, O, Po} and not has(e_above_hull)"): "name\npolonium\n",
    ("--columns", "name", "-e", "e_above_hull != 0.02"): "name\nrutile\n",
    ("--columns", "name", "-e", 'n_atoms > 100', "--format", "csv"): "name\n",
    ("--columns", "name,a,alpha", "-e", "3 < a < 4"): "name\ta\talpha\npolonium\t3.35\t90\n",
}  # fmt: skip


@pytest.mark.parametrize("arguments", GOLDEN, ids=" ".join)
def test_golden_command_lines(view, arguments) -> None:
    assert view(*arguments, "in.cif") == (GOLDEN[arguments], [])


def test_default_columns_and_units(view) -> None:
    out, _ = view("--format", "csv", "-e", "has(e_above_hull)", "in.cif")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert list(rows[0]) == ["name", "reduced_formula", "space_group", "n_atoms", "volume", "density", "e_above_hull"]
    (halite,) = (row for row in rows if row["name"] == "halite")
    crystal = parse_block(HALITE).crystal
    assert float(halite["volume"]) == pytest.approx(crystal.volume)
    assert float(halite["density"]) == pytest.approx(4 * (22.990 + 35.45) / 6.02214076e23 / crystal.volume * 1e24, 1e-4)


def test_json_has_every_field_that_needs_no_bonds(view) -> None:
    found = [json.loads(line) for line in view("--format", "json", "in.cif")[0].splitlines()]
    assert set(FIELDS) - set(found[0]) == {"kind", "nodes", "linkers", "net", "identity"}
    assert found[0]["note"] == "a, b" and found[2]["e_above_hull"] == -0.1 and "e_above_hull" not in found[1]


def test_a_field_is_worked_out_only_if_it_is_asked_for(view, tmp_path: Path) -> None:
    (tmp_path / "bad.cif").write_text(HALITE + NO_CELL + TITANIA)
    out, err = view("-e", 'name != "halite"', "bad.cif")
    assert out == NO_CELL + TITANIA and err == []
    out, err = view("-e", "volume > 1", "--columns", "name", "bad.cif", code=2)
    assert out == "name\nhalite\nrutile\n"
    place = f"bad.cif({HALITE.count(chr(10)) + 1}) data_broken"
    assert err == [f"crystaltool view: {place}: ERROR, no _cell_length_b, the cell is missing"]


def test_tags_and_atoms_say_the_same() -> None:
    paths = [str(path) for path in sorted((ROOT / "tests" / "data").rglob("*.cif"))]
    n = 0
    for raw in iter_raw(paths):
        record = Record(raw) if hasattr(raw, "text") else None
        try:
            block = record and record.block
        except Exception:
            continue
        if record and block:
            n += 1
            assert record.get("n_atoms") == block.crystal.n_atoms, raw.source
            assert record.space_group == block.declared_group, raw.source
            assert record.n_sites == len(block.site_labels), raw.source
            assert record.volume == pytest.approx(block.crystal.volume), raw.source
            assert record.properties == {key: value for key, value in block.properties.items() if value}
    assert n > 60


def test_streams_and_compressed_files(crystaltool, view, tmp_path: Path) -> None:
    (tmp_path / "in.cif.gz").write_bytes(gzip.compress(STREAM.encode()))
    assert view("--head", "1", "in.cif.gz")[0] == HALITE
    done = crystaltool("view", "--sort", "e_above_hull", "--head", "1", stdin=STREAM)
    assert (done.returncode, done.stdout) == (0, TITANIA)


def test_best_of_many_is_what_sorting_all_gives(view, tmp_path: Path) -> None:
    texts = [format_asym_unit(ROCK_SALT, f"s{k}", (), {"v": str((k * 7919) % 401)}) for k in range(1000)]
    (tmp_path / "many.cif").write_text("".join(texts))
    for more in ((), ("--reverse",)):
        everything = view("--sort", "v", *more, "--columns", "name,v", "many.cif")[0].splitlines()
        assert (
            view("--sort", "v", "--head", "5", *more, "--columns", "name,v", "many.cif")[0].splitlines()
            == everything[:6]
        )
        rows = [(int(v), int(name[1:])) for name, v in (line.split("\t") for line in everything[1:])]
        assert rows == sorted(rows, key=lambda row: -row[0] if more else row[0])


def test_other_formats_are_read_by_ase_and_by_us(view, tmp_path: Path) -> None:
    from ase.io import read

    (tmp_path / "out.xyz").write_text(view("--format", "extxyz", "in.cif")[0])
    found = read(tmp_path / "out.xyz", ":")
    assert [atoms.info["name"] for atoms in found] == ["halite", "polonium", "rutile"]
    assert found[0].info["e_above_hull"] == 0.02 and len(found[0]) == 8
    assert [block.name for block in iter_blocks([str(tmp_path / "out.xyz")])] == ["halite", "polonium", "rutile"]
    view("--format", "poscar", "-O", "folder", "in.cif")
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == [
        "halite.vasp",
        "polonium.vasp",
        "rutile.vasp",
    ]
    assert len(read(tmp_path / "folder" / "halite.vasp")) == 8
    out, err = view("--format", "poscar", "in.cif", code=2)
    assert out == "" and "name a folder with -O DIR" in err[0]
    assert view("--format", "poscar", "--head", "1", "in.cif")[0].startswith("halite\n1.0\n")


def test_a_folder_that_has_files_names_both_ways_on(view, tmp_path: Path) -> None:
    view("--format", "poscar", "-O", "k3", "in.cif")
    (tmp_path / "k3" / "rutile.vasp").unlink()
    (error,) = view("--format", "poscar", "-O", "k3", "in.cif", code=2)[1]
    assert error.endswith("output k3/halite.vasp exists (--resume goes on, --overwrite replaces it)")
    view("--format", "poscar", "-O", "k3", "--resume", "in.cif")
    assert (tmp_path / "k3" / "rutile.vasp").exists()


@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_a_table_that_view_wrote_is_called_one(view, form: str) -> None:
    view("--columns", "name,formula,density", "--format", form, "in.cif", "-o", "content")
    (error,) = view("content", code=2)[1]
    assert "content(1): ERROR, it seems to be a table without a column 'cif', so it holds no structures;" in error


def test_mofs_have_linkers(view) -> None:
    out, _ = view("-e", '"O=C([O-])c1ccc(C(=O)[O-])cc1" in linkers', "--columns", "name,nodes", MOFS)
    assert "MOF-5\tOZn4" in out and "UiO-66\tO4Zr3" in out and "HKUST-1" not in out


def test_building_blocks_are_listed_by_identity(view, tmp_path: Path) -> None:
    from crystaltool.mof.table import read_mofs

    rows = list(csv.DictReader(io.StringIO(view("--format", "csv", BLOCKS)[0])))
    table = read_mofs(BLOCKS)
    assert sum(int(row["n_blocks"]) for row in rows) == table.n_blocks
    assert {row["identity"] for row in rows} == set(table.identity_names)
    linkers = view("-e", 'kind == "linker"', "--columns", "identity,n_blocks", BLOCKS)[0].splitlines()[1:]
    assert len(linkers) == sum(row["kind"] == "linker" for row in rows) > 0
    for whole in (("--format", "cif"), ("--format", "extxyz"), ("--format", "poscar", "--head", "1"), ("-O", "rows")):
        out, err = view(*whole, BLOCKS, code=2)
        assert out == "" and len(err) == 1 and "building blocks are no structures" in err[0]
    _, err = view("-e", "volume > 3", BLOCKS, code=2)
    assert "expression, column 1: no field volume" in err[0]
    _, err = view("--columns", "name", BLOCKS, "in.cif", code=2)
    assert "structures among building blocks" in err[0]


def test_counts_of_fragmented_mofs(child: Child, tmp_path: Path) -> None:
    (tmp_path / "mof.cif").write_text(_mof5())
    assert child.run(tmp_path, "fragment", "-q", "-o", "b.h5", "mof.cif").code == 0
    ended = child.run(tmp_path, "view", "--columns", "kind,identity,count,n_mofs", "b.h5")
    rows = [line.split("\t") for line in ended.out.splitlines()[1:]]
    linkers = [row for row in rows if row[0] == "linker"]
    nodes = [row for row in rows if row[0] == "node"]
    assert len(linkers) == len(nodes) == 1 and int(linkers[0][2]) == 3 * int(nodes[0][2]) and linkers[0][3] == "1"
    assert "*<-[O-]" in linkers[0][1] or "[O-]" in linkers[0][1]
    info = child.run(tmp_path, "view", "--info", "b.h5").out
    assert "kind: mof-blocks\nformat: HDF5, version 1\nmofs: 1\n" in info and "| fragment -q -o b.h5 mof.cif" in info


def test_info_tells_samples_from_their_candidates(child: Child, tmp_path: Path) -> None:
    (tmp_path / "mof.cif").write_text(_mof5())
    assert child.run(tmp_path, "fragment", "-q", "-o", "b.h5", "mof.cif").code == 0
    builder = TableBuilder()
    for _ in range(3):
        builder.add(read_mofs(tmp_path / "b.h5")[0])
    write_mofs(tmp_path / "candidates.h5", builder.table())
    assert "\nmofs: 3\nsamples: 1\n" in child.run(tmp_path, "view", "--info", "candidates.h5").out
    assert "samples" not in child.run(tmp_path, "view", "--info", "b.h5").out


def _mof5() -> str:
    return next(raw.text for raw in iter_raw([str(MOFS)]) if raw.name == "MOF-5")


def test_data_sets_are_structures(child: Child, view, tmp_path: Path) -> None:
    assert child.run(tmp_path, "asym-unit", "-q", "-o", "set.h5", "in.cif").code == 0
    assert (
        view("--columns", "name,e_above_hull", "set.h5")[0]
        == "name\te_above_hull\nhalite\t0.02\npolonium\t\nrutile\t-0.1\n"
    )
    info = json.loads(view("--info", "--format", "json", "set.h5")[0])
    assert (info["kind"], info["structures"], info["format"]) == ("asym-unit", 3, "HDF5, version 1")


def test_info_of_text(view) -> None:
    out, _ = view("--info", "in.cif")
    assert out == (
        "file: in.cif\nkind: structures\nformat: CIF\nstructures: 3\nvalues: e_above_hull (2), note (1)\n"
        "history:\n  1 elsewhere 1.0 | made (1)\n"
    )


def test_info_of_a_folder_and_of_an_archive_is_one_summary(child: Child, view, tmp_path: Path) -> None:
    folder = tmp_path / "all" / "deep"
    folder.mkdir(parents=True)
    assert child.run(tmp_path, "asym-unit", "-q", "--no-provenance", "-o", "all/set.h5", "in.cif").code == 0
    for name in ("a.cif", "b.cif"):
        shutil.copy(tmp_path / "in.cif", folder / name)
    (folder / "c.xyz").write_text(view("--format", "extxyz", "in.cif")[0])
    same = (
        "files: 4\nkinds: structures (3), asym-unit (1)\nformats: CIF (2), extended XYZ (1), HDF5, version 1 (1)\n"
        "structures: 12\nvalues: e_above_hull (6), note (3)\nhistory:\n  1 elsewhere 1.0 | made (2)\n"
    )
    assert view("--info", "all")[0] == "folder: all\n" + same
    shutil.make_archive(str(tmp_path / "all"), "zip", tmp_path, "all")
    assert view("--info", "all.zip")[0] == "archive: all.zip\n" + same
    both = view("--info", "--format", "json", "all/", "in.cif")[0].splitlines()
    assert [json.loads(line).get("structures") for line in both] == [12, 3]


def test_embeddings(view, tmp_path: Path) -> None:
    import numpy as np

    from crystaltool.models.block_encoder import embedding_file

    assert embedding_file.EMBEDDING_KIND == EMBEDDING_KIND
    vectors = np.zeros((2, 32), dtype=np.float32)
    vectors[1, :2] = 3.0, 4.0
    embedding_file.write_embeddings(
        tmp_path / "e.h5", embedding_file.BlockEmbeddings(vectors, np.array([0, 5]), "a" * 64, "b" * 64)
    )
    assert view("e.h5")[0] == "name\tblock\tidentity_row\tnorm\ne-0\t0\t0\t0\ne-1\t1\t5\t5\n"
    assert "embeddings: 2\nnumbers each: 32\n" in view("--info", "e.h5")[0]


def test_verdicts_of_check_can_be_asked_for(child: Child, view, tmp_path: Path) -> None:
    near = format_asym_unit(unit_of(221, cubic(1.0), [("Po", "a", ())]), "near", (), {"check_old": "pass"})
    (tmp_path / "two.cif").write_text(HALITE + near)
    ended = child.run(tmp_path, "check", "-q", "--annotate", "--exit-zero", "-o", "judged.cif", "two.cif")
    assert ended.code == 0
    good, bad = iter_blocks([str(tmp_path / "judged.cif")])
    assert good.properties["check_all"] == "pass" and good.properties["check_distance_lemat"] == "pass"
    assert good.properties["e_above_hull"] == "0.02" and good.history == parse_block(HALITE).history
    assert bad.properties["check_distance_lemat"] == "fail" and "check_old" not in bad.properties
    assert view("-e", 'check_all == "fail"', "--columns", "name", "judged.cif")[0] == "name\nnear\n"
    assert child.run(tmp_path, "check", "--annotate", "--json", "two.cif").code == 2


WRONG = {
    ("-e", "volume >"): "expression, column 9: expected a field, number or text, found the end",
    ("-e", "Volume > 3"): "expression, column 1: no field Volume, did you mean volume?",
    ("--columns", "name,Volume"): "--columns: no field 'Volume', did you mean volume?",
    ("--columns", ","): "--columns names no field",
    ("--columns", "name,name"): "--columns names name twice",
    ("--columns", "name", "--format", "cif"): "--columns writes a table, --format cif whole structures",
    ("--format", "csv", "-O", "x"): "--format csv writes one table, -O a file a structure",
    ("--format", "xyz"): "ERROR, Invalid value for '--format': 'xyz' is not one of 'cif', 'csv'",
    ("--reverse",): "--reverse is of use with --sort only",
    ("--info", "--sort", "a"): "--info goes with --format json and -o alone",
    ("--sort", "No"): "--sort: no field 'No'",
    ("--sort", "Nope"): "--sort: no field 'Nope'; structures have name, source",
    ("-e", 'kind == "linker"'): "expression, column 9: kind is never 'linker', only inorganic, mof",
    ("-e", 'crystal_system == "kubic"'): "column 19: crystal_system is never 'kubic', only triclinic, monoclinic",
}


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_usage_errors_are_one_line(view, tmp_path: Path, arguments) -> None:
    out, err = view(*arguments, "in.cif", code=2)
    assert out == "" and len(err) == 1 and WRONG[arguments] in err[0] and not (tmp_path / "x").exists()


def test_a_field_that_no_structure_has_is_a_warning(view) -> None:
    assert view("-e", "e_above_hul < 1", "in.cif") == (
        "",
        ["crystaltool view: WARNING, no structure has e_above_hul, did you mean e_above_hull?"],
    )


@pytest.mark.parametrize(
    ("name", "begin"), [("a.vasp", b"halite\n1.0\n"), ("a.XYZ", b"8\n"), ("a.csv", b"name,"), ("a.cif", b"data_halite")]
)
def test_the_ending_tells_the_format(view, tmp_path: Path, name: str, begin: bytes) -> None:
    columns = ("--columns", "name,formula") if name.endswith("csv") else ()
    view("--head", "1", *columns, "-o", name, "in.cif")
    assert (tmp_path / name).read_bytes().startswith(begin)


def test_a_name_that_is_like_none_gets_the_place_of_the_names(view) -> None:
    _, err = view("--sort", "nope", "in.cif")
    where = "fields: man crystaltool-view; values of a file: crystaltool view --info FILE"
    assert err == [f"crystaltool view: WARNING, no structure has nope ({where})"]


def test_fields_of_few_texts_in_any_case(view) -> None:
    assert view("-e", 'crystal_system == "Tetragonal"', "in.cif") == (TITANIA, [])
    linkers = view("-e", 'kind == "Linker"', BLOCKS)[0]
    assert linkers == view("-e", 'kind == "linker"', BLOCKS)[0] and linkers.count("\n") > 1
    (error,) = view("-e", 'kind == "mof"', BLOCKS, code=2)[1]
    assert error.endswith("kind is never 'mof', only node, linker, bridge")


def test_formats_of_the_option_are_those_of_the_table() -> None:
    assert list(TABLES) == list(TABULAR)
    assert [form.value for form in FormatName] == ["cif", "csv", "tsv", "json", "extxyz", "poscar"]


def test_the_manual_names_every_field() -> None:
    manual = (ROOT / "man" / "src" / "view.md").read_text()
    assert not [name for name in FIELDS if not re.search(rf"`{name}`", manual)]
