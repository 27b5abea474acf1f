"""Assembly where the net is known: it closes, keeps the net, and takes what it is given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crystaltool.errors import InputError
from crystaltool.lattice import parameters_to_matrix
from crystaltool.mof.assemble import Assembly, AssemblyConfig, assemble, assemble_best, assemble_many
from crystaltool.mof.assemble.compare import rmsd
from crystaltool.mof.blocks import CoarseMOF, Edges, assert_coarse
from crystaltool.mof.fragment import fragment
from crystaltool.mof.perception import perceive_bonds
from crystaltool.mof.table import read_mofs, tabulate, write_mofs
from tests.mof.assemble.nets import cubic_net, unposed
from tests.mof.structures import curated

QUICK = AssemblyConfig(starts=16, rounds=2, generations=8)
TRICLINIC = parameters_to_matrix(13.0, 15.0, 17.0, 71.0, 83.0, 104.0)


def known(posed: CoarseMOF, noise: float = 0.0, seed: int = 0) -> CoarseMOF:
    """Without rotations and connections, with its net; centres moved by noise, A."""
    assert posed.connections is not None
    shifts = np.random.default_rng(seed).normal(size=(posed.n_blocks, 3)) * noise
    return replace(
        posed,
        rotations=None,
        connections=None,
        centres=posed.centres + shifts @ np.linalg.inv(posed.lattice),
        edges=Edges(posed.connections.blocks, posed.connections.images),
    )


def bonds_of(mof: CoarseMOF) -> list[tuple[int, ...]]:
    ends = mof.connections or mof.edges
    assert ends is not None
    return sorted((*blocks, *image) for blocks, image in zip(ends.blocks.tolist(), ends.images.tolist(), strict=True))


@pytest.mark.parametrize("name", ["MOF-5", "HKUST-1", "ZIF-8"])
@pytest.mark.parametrize("noise", [0.0, 0.4])
def test_well_known_frameworks_close_on_their_nets(name: str, noise: float) -> None:
    crystal = curated()[name]
    posed = fragment(crystal, perceive_bonds(crystal))
    given = known(posed, noise)
    assert_coarse(given)
    result = assemble(given, QUICK)
    assert result.good, result.message
    assert result.closure_max < 0.5
    assert bonds_of(result.mof) == bonds_of(given)
    if noise == 0.0:
        assert rmsd(posed, result.mof) < 0.5  # the methyl groups of ZIF-8 may point either way


def test_a_far_cell_is_found_where_the_free_search_fails() -> None:
    """Cells and centres 25 % too large: nearest images mislead, edges do not."""
    posed = assemble(cubic_net(TRICLINIC), QUICK).mof
    given = known(posed)
    blown = replace(given, lattice=1.25 * given.lattice)
    result = assemble(blown, QUICK)
    assert result.good and result.closure_max < 0.1, result.message
    assert abs(np.linalg.det(result.mof.lattice) / np.linalg.det(posed.lattice) - 1) < 0.2


def test_a_mof_comes_out_alike_alone_and_among_others() -> None:
    posed = assemble(cubic_net(TRICLINIC), QUICK).mof
    given = known(posed, 0.3, 1)
    alone = assemble_many([given], QUICK, seed=4, items=[(7,)])[0]
    among = assemble_many(
        [unposed(posed, 0.1, 2), known(posed, 0.2, 3), given], QUICK, seed=4, items=[(1,), (2,), (7,)]
    )
    assert alone.mof.lattice.tobytes() == among[2].mof.lattice.tobytes()
    assert alone.mof.centres.tobytes() == among[2].mof.centres.tobytes()


def test_the_first_sound_decoding_is_taken() -> None:
    posed = assemble(cubic_net(TRICLINIC), QUICK).mof
    bad = known(posed)
    bad = replace(bad, blocks=tuple(replace(b, cart_coords=b.cart_coords * 0.01) for b in bad.blocks))
    fine, better = known(posed, 0.3, 1), known(posed, 0.0)
    result = assemble_best([fine, better], QUICK)
    assert result.good
    assert np.allclose(result.mof.centres, assemble_best([fine], QUICK).mof.centres, atol=0.2)
    assert assemble_best([bad, better], QUICK).good
    looked_at = []

    def only_second(assembly: Assembly) -> bool:
        looked_at.append(assembly)
        return len(looked_at) == 2

    assert assemble_best([fine, better], QUICK, accept=only_second) is looked_at[1]
    assert assemble_best([fine, better], QUICK, accept=lambda _: False).good  # where none will do, the best


def test_edges_must_fit_the_blocks() -> None:
    given = known(assemble(cubic_net(TRICLINIC), QUICK).mof)
    assert given.edges is not None
    fewer = replace(given, edges=Edges(given.edges.blocks[1:], given.edges.images[1:]))
    swapped = replace(given, edges=Edges(given.edges.blocks[:, ::-1], given.edges.images))
    outside = replace(given, edges=Edges(given.edges.blocks + 50, given.edges.images))
    for mof, words in ((fewer, "edges"), (swapped, "another kind"), (outside, "edge to block")):
        with pytest.raises(InputError, match=words):
            assert_coarse(mof)


def test_rotations_that_are_given_are_begun_with(monkeypatch: pytest.MonkeyPatch) -> None:
    posed = fragment(curated()["MOF-5"], perceive_bonds(curated()["MOF-5"]))
    assert posed.rotations is not None
    given = replace(known(posed), turns=posed.rotations)
    turned = replace(given, turns=posed.rotations[:, [1, 2, 0]])
    assert_coarse(turned)
    sought = assemble(turned, QUICK)  # wrong ones do no harm
    assert sought.good and bonds_of(sought.mof) == bonds_of(given)
    monkeypatch.setattr("crystaltool.mof.assemble.known_net._starts", pytest.fail)  # nothing is left to search
    result = assemble(given, QUICK)
    assert result.good and result.closure_max < 0.1 and bonds_of(result.mof) == bonds_of(given)
    assert rmsd(posed, result.mof) < 0.1
    with pytest.raises(InputError, match="no proper rotation"):
        assert_coarse(replace(given, turns=-posed.rotations))


def test_rotations_to_begin_with_come_back_from_a_file(tmp_path: Path) -> None:
    posed = fragment(curated()["HKUST-1"], perceive_bonds(curated()["HKUST-1"]))
    with_turns, without = replace(known(posed), turns=posed.rotations), known(posed)
    for mofs, kept in (([with_turns, with_turns], True), ([with_turns, without], False)):
        write_mofs(tmp_path / "x.h5", tabulate(mofs))
        for mof in (read_mofs(tmp_path / "x.h5")[row] for row in range(2)):
            assert mof.rotations is None and mof.edges is not None
            assert (mof.turns is not None) == kept
            if mof.turns is not None:
                np.testing.assert_array_equal(mof.turns, posed.rotations)
