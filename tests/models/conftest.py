"""Models that several tests of this folder look at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from crystaltool.models.symmcd.checkpoint import LoadedSymmCD, load_symmcd
from crystaltool.models.symmcd.fit import fit_symmcd
from tests.models.tiny import SIZES, short_run, small_table, textbook_table, write_table


@pytest.fixture(scope="session")
def overfitted(tmp_path_factory: pytest.TempPathFactory) -> LoadedSymmCD:
    """A small model that has learned the textbook crystals by heart, read back from its checkpoint.

    Sites from all of them, then geometry from those of at most three orbits: the sixteen of kyanite would take an hour.
    """
    folder: Path = tmp_path_factory.mktemp("overfitted")
    sizes = replace(SIZES, site_width=48, site_heads=4, site_dropout=0.0, geometry_width=32, pair_width=16)
    config = replace(
        short_run(60, warmup=20, log_every=100, save_every=1000, ema_decay=0.95), model=sizes, batch_size=27
    )
    sites = replace(config, parts=("sites",), loop=replace(config.loop, learning_rate=4e-3))
    geometry = replace(config, parts=("geometry",), epochs=60, loop=replace(config.loop, learning_rate=6e-3))
    every = write_table(folder / "every.h5", textbook_table(), 12)  # more than ten of each crystal system
    small = write_table(folder / "small.h5", small_table(), 12)
    fit_symmcd(every, folder / "sites", sites, device="cpu", threads=1)
    fit_symmcd(small, folder / "both", geometry, device="cpu", threads=1, init=folder / "sites")
    return load_symmcd(folder / "both")
