"""The stability network learns what is stable, and sampling follows it without a change of groups or of the batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from crystaltool.asymunit import AsymUnit, expand
from crystaltool.errors import CheckpointError, InputError, UsageError
from crystaltool.io.hdf5 import write_asym_units
from crystaltool.measure.hull import load_hull
from crystaltool.models.symmcd.checkpoint import LoadedSymmCD, load_symmcd
from crystaltool.models.symmcd.fit import FitConfig, fit_symmcd
from crystaltool.models.symmcd.known_sites import KNOWN_SITES, KnownSites
from crystaltool.models.symmcd.model import SymmCD
from crystaltool.models.symmcd.request import Request
from crystaltool.models.symmcd.sampling import SamplerConfig, plan_for, sample_symmcd
from crystaltool.models.symmcd.stability import Guide, composition, hull_energy
from crystaltool.models.symmcd.templates import TEMPLATES
from crystaltool.nn.stability_network import EDGES, log_probability, stability_loss
from tests.models.test_sampling import assert_same_bits
from tests.models.tiny import SIZES, batch_of, random_model, short_run, small_table, textbook_table, write_table

JUDGING = replace(SIZES, stability_width=16, stability_layers=1)
FEW = SamplerConfig(calls=8, attempts=1, site_candidates=6)
NOTHING = KnownSites(np.zeros(0, dtype=np.uint64))


class Oxides(Guide):
    """Takes sites with oxygen where there are any, in place of a network."""

    def log_weights(self, model: SymmCD, batch) -> torch.Tensor:
        return torch.where((batch.numbers == 8).any(1), 0.0, -50.0).double()


@pytest.fixture(scope="module")
def untrained() -> SymmCD:
    return random_model()


def sampled(model: SymmCD, n: int, guide: Guide | None, batch_size: int = 20, **request) -> list[AsymUnit]:
    plan = plan_for(model, Request.parse(**request), guide)
    return list(sample_symmcd(model, range(n), plan, 3, FEW, batch_size))


def test_probabilities_are_those_of_the_intervals() -> None:
    scores = torch.randn(5, len(EDGES) + 1, dtype=torch.float64)
    share = scores.softmax(1).numpy()
    for i, edge in enumerate(EDGES):
        found = log_probability(scores, edge).exp().numpy()
        np.testing.assert_allclose(found, share[:, : i + 1].sum(1), rtol=1e-12)


def test_energies_fall_into_the_interval_that_counts_them() -> None:
    """A network sure of the interval of an energy gives it probability 1 at every edge above and 0 below."""
    for energy in (-0.4, -0.15, -0.01, 0.0, 1e-4, 0.1, 0.100001, 2.0):
        place = int(np.searchsorted(EDGES, energy))
        scores = torch.full((1, len(EDGES) + 1), -50.0).double()
        scores[0, place] = 0.0
        loss, log = stability_loss(torch.tensor([-1.0]).double(), scores, torch.tensor([-1.0]), torch.tensor([energy]))
        assert float(loss) < 1e-6 and float(log["formation_error"]) == 0
        for edge in EDGES:
            assert (float(log_probability(scores, edge)) > -1) == (energy <= edge)


def test_an_energy_that_is_not_given_is_not_learned_from() -> None:
    scores = torch.zeros(2, len(EDGES) + 1, requires_grad=True)
    formation = torch.tensor([-1.0, -2.0])
    loss, _ = stability_loss(torch.zeros(2), scores, formation, torch.tensor([float("nan"), 0.05]))
    loss.backward()
    assert scores.grad is not None and not scores.grad[0].any() and scores.grad[1].any()


def test_the_hull_of_sites_is_that_of_their_atoms() -> None:
    batch, hull = batch_of(textbook_table()), load_hull()
    for row, unit in enumerate(textbook_table()):
        mask = batch.mask[row].numpy()
        shares = composition(batch.position[row].numpy()[mask], batch.numbers[row].numpy()[mask])
        numbers = expand(unit).numbers
        assert dict(shares) == pytest.approx({int(z): float(np.mean(numbers == z)) for z in set(numbers.tolist())})
        expected = -hull.stability(numbers, 0.0).above_hull + hull.stability(numbers, 0.0).formation
        assert hull_energy(hull, shares) == pytest.approx(expected, abs=1e-9)


def test_an_element_without_reference_has_no_hull() -> None:
    assert hull_energy(load_hull(), ((84, 1.0),)) is None


def test_sampling_follows_the_guide(untrained: SymmCD) -> None:
    guide = Oxides(0.0, NOTHING, load_hull())
    free, led = sampled(untrained, 60, None), sampled(untrained, 60, guide)
    with_oxygen = [sum(8 in unit.numbers for unit in units) for units in (free, led)]
    assert with_oxygen[1] > 2 * with_oxygen[0]
    assert [unit.group for unit in free] == [unit.group for unit in led]
    assert [len(unit.numbers) for unit in free] == [len(unit.numbers) for unit in led]


def test_importance_resampling_meets_the_wanted_distribution() -> None:
    """Of n draws one by its weight: with two outcomes the share is that of the binomial sum, whatever the networks."""
    model = random_model()
    n, k = 400, FEW.site_candidates
    plain = sampled(model, n, None, 200, space_group=["221"])
    share = np.mean([8 in unit.numbers for unit in plain])
    led = sampled(model, n, Oxides(0.0, NOTHING, load_hull()), 200, space_group=["221"])
    expected = 1 - (1 - share) ** k
    found = np.mean([8 in unit.numbers for unit in led])
    assert abs(found - expected) < 0.1


def test_the_batch_changes_nothing() -> None:
    model = random_model(sizes=JUDGING)
    guide = Guide(0.0, NOTHING, load_hull())
    whole = sampled(model, 13, guide, 13)
    for batch_size in (1, 4):
        assert_same_bits(whole, sampled(model, 13, guide, batch_size))


def test_known_sites_are_passed_over() -> None:
    model = random_model(sizes=JUDGING)
    plain = sampled(model, 40, Guide(0.0, NOTHING, load_hull()), space_group=["225"])
    known = KnownSites(np.unique(np.array([_hash(unit) for unit in plain], dtype=np.uint64)))
    again = sampled(model, 40, Guide(0.0, known, load_hull()), space_group=["225"])
    assert sum(known.has(unit.group, unit.positions, unit.numbers) for unit in again) < 5


def _hash(unit: AsymUnit) -> int:
    from crystaltool.models.symmcd.known_sites import sites_hash

    return sites_hash(unit.group, unit.positions, unit.numbers)


# ---- training


def energies(n: int) -> dict[str, np.ndarray]:
    """Every other crystal is stable; formation energies tell nothing."""
    return {
        "formation_energy_per_atom": np.full(n, -1.0),
        "e_above_hull": np.where(np.arange(n) % 2, 0.4, -0.01),
    }


def judging_run(epochs: int) -> FitConfig:
    model = replace(JUDGING, site_dropout=0.0)
    run = short_run(epochs, warmup=5, save_every=1000, ema_decay=0.9)
    return replace(run, model=model, parts=("stability",), batch_size=8)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model without a stability network."""
    folder = tmp_path_factory.mktemp("base")
    plain = replace(short_run(2), model=replace(SIZES, site_dropout=0.0))
    fit_symmcd(write_table(folder / "data.h5", small_table()), folder / "run", plain, device="cpu", threads=1)
    return folder / "run"


@pytest.fixture(scope="module")
def judge(base: Path, tmp_path_factory: pytest.TempPathFactory) -> LoadedSymmCD:
    folder = tmp_path_factory.mktemp("judge")
    write_asym_units(folder / "labelled.h5", small_table(), properties=energies(len(small_table())))
    fit_symmcd(folder / "labelled.h5", folder / "run", judging_run(150), device="cpu", threads=1, init=base)
    return load_symmcd(folder / "run")


def test_training_tells_stable_from_unstable(judge: LoadedSymmCD) -> None:
    batch = batch_of(small_table())
    wanted = energies(len(small_table()))
    hull = torch.as_tensor(wanted["formation_energy_per_atom"] - wanted["e_above_hull"])
    with torch.no_grad():
        formation, scores = judge.model.stability_scores(batch, hull)
    probability = log_probability(scores, 0.0).exp().numpy()
    assert (probability[::2] > 0.9).all() and (probability[1::2] < 0.1).all()
    np.testing.assert_allclose(formation.numpy(), -1.0, atol=0.1)


def test_the_other_networks_stay_and_with_them_what_is_known(base: Path, judge: LoadedSymmCD) -> None:
    before, after = load_symmcd(base), judge
    kept = after.model.state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in before.model.state_dict().items())
    assert len(after.known) == len(before.known) > 0


def test_a_run_without_the_network_leaves_it_out(base: Path, tmp_path: Path) -> None:
    """Weights that judge sites may begin a run whose configuration knows of no such thing."""
    folder = tmp_path / "judge"
    write_asym_units(tmp_path / "labelled.h5", small_table(), properties=energies(len(small_table())))
    fit_symmcd(tmp_path / "labelled.h5", folder, judging_run(1), device="cpu", threads=1, init=base)
    plain = replace(short_run(1), model=replace(SIZES, site_dropout=0.0))
    fit_symmcd(tmp_path / "labelled.h5", tmp_path / "run", plain, device="cpu", threads=1, init=folder)
    assert load_symmcd(tmp_path / "run").model.stability is None
    wider = replace(judging_run(1), model=replace(JUDGING, site_dropout=0.0, stability_width=32))
    with pytest.raises(CheckpointError, match="other sizes"):
        fit_symmcd(tmp_path / "labelled.h5", tmp_path / "no", wider, device="cpu", threads=1, init=folder)


def test_templates_come_along(base: Path, tmp_path: Path) -> None:
    data = tmp_path / "labelled.h5"
    write_asym_units(data, small_table(), properties=energies(len(small_table())))
    fit_symmcd(data, tmp_path / "run", judging_run(1), device="cpu", threads=1, init=base)
    for name in (TEMPLATES, KNOWN_SITES):
        assert (tmp_path / "run" / name).read_bytes() == (base / name).read_bytes()


def test_data_without_energies_are_refused(tmp_path: Path) -> None:
    data = write_table(tmp_path / "data.h5", small_table())
    with pytest.raises(InputError, match="no column formation_energy_per_atom"):
        fit_symmcd(data, tmp_path / "run", judging_run(1), device="cpu", threads=1)
    columns = energies(len(small_table()))
    columns["formation_energy_per_atom"][3] = np.nan
    write_asym_units(tmp_path / "gap.h5", small_table(), properties=columns)
    with pytest.raises(InputError, match=r"1 of .* crystals have no formation_energy_per_atom"):
        fit_symmcd(tmp_path / "gap.h5", tmp_path / "run", judging_run(1), device="cpu", threads=1)


def test_a_model_without_the_network_cannot_aim(base: Path) -> None:
    loaded = load_symmcd(base)
    with pytest.raises(UsageError, match="cannot aim at e_above_hull"):
        loaded.plan(config=replace(loaded.sampler, above_hull=(0.0,)))
    assert loaded.plan().guide is None


def test_the_part_needs_its_network() -> None:
    with pytest.raises(UsageError, match="stability_width is 0"):
        replace(judging_run(1), model=SIZES)
