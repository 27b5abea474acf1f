"""Training and sampling on a GPU; skipped where there is none. `tools/gpu_check.sh` runs them on a bare host."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from crystaltool.models.symmcd.checkpoint import load_symmcd
from crystaltool.models.symmcd.fit import FitConfig, fit_symmcd
from crystaltool.models.symmcd.sampling import SamplerConfig
from crystaltool.training.loop import LoopConfig
from tests.models.test_sampling import assert_legal, sampled
from tests.models.tiny import ATOM_SIZES, SIZES, batch_of, random_model, small_table, textbook_table, write_table

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@pytest.mark.parametrize("sizes", [SIZES, ATOM_SIZES], ids=["orbits", "atoms"])
def test_a_gpu_computes_what_a_cpu_does(sizes) -> None:
    batch = batch_of(textbook_table())
    model = random_model(1, sizes=sizes)
    sigma = torch.full((len(batch.group),), 0.05, dtype=torch.float64)
    k_t = torch.zeros_like(batch.k)
    expected = model.denoise_geometry(batch, batch.free_coords, k_t, sigma, sigma)
    there = batch.to("cuda")
    found = model.cuda().denoise_geometry(there, there.free_coords, k_t.cuda(), sigma.cuda(), sigma.cuda())
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.cpu(), other, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("sizes", [SIZES, ATOM_SIZES], ids=["orbits", "atoms"])
def test_trains_resumes_and_samples_on_a_gpu(tmp_path: Path, sizes) -> None:
    data = write_table(tmp_path / "data.h5", small_table(), copies=4)
    loop = LoopConfig(steps=1, learning_rate=3e-3, warmup=5, log_every=1, save_every=2, bfloat16=True)
    for epochs, resume in ((2, False), (2, True)):
        fit_symmcd(data, tmp_path / "run", FitConfig(sizes, loop, epochs, 16), device="cuda", resume=resume)
    loaded = load_symmcd(tmp_path / "run", "cuda")
    for unit in sampled(loaded.model, 8, config=SamplerConfig(calls=12, attempts=1)):
        assert_legal(unit)
