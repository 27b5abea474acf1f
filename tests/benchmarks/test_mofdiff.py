"""`benchmarks/mofdiff.py`: nets of the catalogue filled at random, and what MOFs share with known ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.mofdiff import catalogue_nets
from benchmarks.mofdiff_shares import alike, composition, likeness
from crystaltool.models.weights import find_checkpoint
from crystaltool.mof.blocks import NODE
from crystaltool.mof.labelled_net import net_of_mof
from crystaltool.mof.table import tabulate
from tests.models.mofdiff.tiny import real_mofs


def test_compositions_are_ratios_without_what_identities_may_lack(tmp_path: Path) -> None:
    assert composition("Cu2 H24 C14 N4 O6") == (("C", 7), ("Cu", 1)) == composition("C28 Cu4 O9")
    assert composition("C7 Cu Cl") != composition("C7 Cu")
    (tmp_path / "a.cif").write_text("data_a\n_chemical_formula_sum 'Zn4 C24 H12 O13'\n")
    (tmp_path / "b.cif").write_text("data_b\n_chemical_formula_sum 'Zn4 C48 H24 O13'\n")
    samples = "data_x\n_chemical_formula_sum  'Zn8 C48 H20 O30'\n"
    assert [path.name for path in alike(tmp_path, samples)] == ["a.cif"]


def test_likeness_counts_nodes_linkers_and_nets() -> None:
    mofs = real_mofs()
    table = tabulate(mofs)
    keys = Counter(net_of_mof(mof).key() for mof in mofs)
    found = likeness(table, keys)
    single = [len({block.identity for block in mof.blocks if block.kind == NODE}) == 1 for mof in mofs]
    assert found["one kind of metal node"] == sum(single)
    assert found["a known net"] == len(mofs)
    alone = sum(1 for count in keys.values() if count == 1)
    assert alone and likeness(table, keys, itself=1)["a known net"] == len(mofs) - alone


def test_nets_of_the_catalogue_come_with_their_bonds() -> None:
    draw = catalogue_nets(find_checkpoint("mofdiff"), np.random.default_rng(0))
    for _ in range(5):
        net, places = draw()
        assert net.edges is not None
        ends = np.bincount(net.edges.blocks.ravel(), minlength=len(places))
        assert ends.tolist() == [connections for _, _, connections, _ in places]
        assert len(net.centres) == len(places)
