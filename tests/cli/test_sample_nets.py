"""`crystaltool sample mofdiff`, the net first: nets and blocks as asked for, the same however it is run, one line for
every wish that cannot be met."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from crystaltool.mof.blocks import LINKER, NODE
from crystaltool.mof.catalogue import build_catalogue, read_catalogue, write_catalogue
from crystaltool.mof.labelled_net import net_of_mof
from crystaltool.mof.net_names import name_of
from crystaltool.mof.table import MOFTable, read_mofs, tabulate, write_mofs
from tests.cli.one_process import Child, Ended, one_process
from tests.conftest import ROOT
from tests.models.mofdiff.tiny import real_mofs

QUICK = ("--device", "cpu", "-q")
SHIPPED = ROOT / "checkpoints" / "mofdiff"


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with one_process() as running:
        yield running


@pytest.fixture
def sample(child: Child, tmp_path: Path) -> Callable[..., Ended]:
    def run(*arguments: str | Path | int) -> Ended:
        return child.run(tmp_path, "sample", "mofdiff", *map(str, arguments), *QUICK)

    return run


def names_of(table: MOFTable) -> set[str]:
    """RCSR symbols of the nets, from the edges as they were written."""
    found = set()
    for index in range(len(table)):
        mof = table[index]
        assert mof.edges is not None
        found.add(name_of(_net(mof)))
    return found


def _net(mof):
    from crystaltool.mof.net import net_of_graph

    return net_of_graph(mof.n_blocks, mof.edges.blocks, mof.edges.images)


def test_nets_of_the_catalogue_filled_with_neutral_blocks(sample: Callable, tmp_path: Path) -> None:
    assert sample("-n", 4, "--seed", 11, "-o", "four.h5").code == 0
    table = read_mofs(tmp_path / "four.h5")
    assert table.has_nets and not table.posed
    assert set(table.names) <= {f"mofdiff-s11-{i:06d}" for i in range(4)} and len(set(table.names)) >= 3
    keys = {key.partition(".")[0] for key in read_catalogue(SHIPPED / "nets" / "nets.h5").keys}
    for index in range(len(table)):
        mof = table[index]
        assert _net(mof).text in keys
        assert {"predicted_co2_wc", "predicted_density", "decoding_score", "candidate"} <= mof.properties.keys()
    assert max(table.properties["candidate"]) <= 2


def test_batches_and_processes_change_nothing(sample: Callable, tmp_path: Path) -> None:
    assert sample("-n", 3, "--seed", 4, "-o", "a.h5", "--batch-size", 1).code == 0
    assert sample("-n", 3, "--seed", 4, "-o", "b.h5").code == 0
    first, second = (read_mofs(tmp_path / name) for name in ("a.h5", "b.h5"))
    assert first.names == second.names
    for name, values in first.arrays.items():
        assert values.tobytes() == second.arrays[name].tobytes(), name


def test_wishes_hold_in_every_decoding(sample: Callable, tmp_path: Path) -> None:
    smiles = "OC(=O)c1ccc(cc1)-c1ccc(cc1)C(=O)O"
    done = sample("-n", 2, "--net", "pcu", "--metal", "Zn", "--linker", smiles, "-o", "mine.h5")
    assert (done.code, done.err) == (0, "")
    table = read_mofs(tmp_path / "mine.h5")
    assert len(table) >= 2 and names_of(table) == {"pcu"}
    for index in range(len(table)):
        blocks = table[index].blocks
        metals = {z for b in blocks if b.kind == NODE for z in b.numbers.tolist() if z > 20}
        assert metals == {30}
        linkers = {b.identity for b in blocks if b.kind == LINKER}
        assert linkers == {"*<-O=C([O-]->*)c1ccc(-c2ccc(C(=O->*)[O-]->*)cc2)cc1"}


def test_nodes_and_nets_of_a_file(sample: Callable, tmp_path: Path) -> None:
    mof = next(one for one in real_mofs() if one.name == "MOF-5")
    write_mofs(tmp_path / "own.h5", tabulate([mof]))
    assert sample("-n", 1, "--net", "own.h5", "--node", "own.h5", "-o", "out.h5").code == 0
    table = read_mofs(tmp_path / "out.h5")
    assert names_of(table) == {"pcu"}
    assert {b.n_atoms for b in table[0].blocks if b.kind == NODE} == {5}
    assert sample("-n", 1, "--node", "OZn4", "-o", "named.h5").code == 0
    named = read_mofs(tmp_path / "named.h5")
    assert {b.identity.partition("_")[0] for b in named[0].blocks if b.kind == NODE} == {"OZn4"}


def test_a_target_raises_what_is_predicted(sample: Callable, tmp_path: Path) -> None:
    common = ("-n", 4, "--seed", 5, "--candidates", 1)
    assert sample(*common, "-o", "plain.h5").code == 0
    assert sample(*common, "--target", "co2_wc=max", "--draws", 16, "-o", "best.h5").code == 0
    plain, best = (read_mofs(tmp_path / f"{name}.h5").properties["predicted_co2_wc"] for name in ("plain", "best"))
    assert best.mean() > plain.mean()


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        (("--net", "xyz"), "no file, and no net of this name"),
        (("--net", "hxl"), "no net of this name among"),
        (("--metal", "Xx"), "no symbol of a metal"),
        (("--metal", "C"), "no symbol of a metal"),
        (("--node", "Qq9"), "no file, and no node"),
        (("--linker", "CCO"), "0 connection points"),
        (("--linker", "no such thing"), "no SMILES"),
        (("--net", "free", "--metal", "Zn"), "do not go with --net free"),
        (("--steps", "9"), "--net free"),
        (("--metal", "Na", "--node", "OZn4"), "no net of those asked for"),
    ],
)
def test_a_wish_that_cannot_be_met_is_one_line(sample: Callable, tmp_path: Path, wishes: tuple, words: str) -> None:
    done = sample("-n", 1, *wishes, "-o", "out.h5")
    assert (done.code, done.out) == (2, "") and words in done.err
    assert done.err.startswith("crystaltool sample: ERROR, ") and done.err.count("\n") == 1
    assert not (tmp_path / "out.h5").exists()


def test_wishes_are_for_mofs_alone(child: Child, tmp_path: Path) -> None:
    for wish in (("--net", "pcu"), ("--metal", "Zn"), ("--linker", "C"), ("--node", "OZn4")):
        done = child.run(tmp_path, "sample", "symmcd", "-n", "1", *wish)
        assert done.code == 2 and f"{wish[0]} does not go with symmcd models" in done.err


def test_edges_go_through_files(tmp_path: Path) -> None:
    """A file whose edges do not fit its blocks is refused."""
    mof = next(one for one in real_mofs() if one.name == "MOF-5")
    catalogue = build_catalogue([mof])
    target = io.BytesIO()
    write_catalogue(target, catalogue)
    assert read_catalogue(target).keys == (net_of_mof(mof).key(),)
    from dataclasses import replace

    from crystaltool.errors import InputError
    from crystaltool.mof.blocks import Edges

    ends = mof.connections
    assert ends is not None
    unposed = replace(mof, rotations=None, connections=None, edges=Edges(ends.blocks, ends.images))
    write_mofs(tmp_path / "edges.h5", tabulate([unposed]))
    again = read_mofs(tmp_path / "edges.h5")[0].edges
    assert again is not None and (again.blocks == ends.blocks).all() and (again.images == ends.images).all()
    with h5py.File(tmp_path / "edges.h5", "r+") as file:
        file["edges/blocks"][0] = np.array([90, 91])
    with pytest.raises(InputError, match="edge"):
        read_mofs(tmp_path / "edges.h5")
