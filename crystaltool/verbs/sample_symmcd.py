"""SymmCD from Python and from the shell: conditions in, structures out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from crystaltool.asymunit import AsymUnit
from crystaltool.defaults import BATCH_SIZE, N_SAMPLES
from crystaltool.errors import UsageError
from crystaltool.io.provenance import extend_history
from crystaltool.models.symmcd.checkpoint import LoadedSymmCD, load_symmcd
from crystaltool.models.symmcd.draws import LARGEST_SEED
from crystaltool.models.symmcd.plan import Plan
from crystaltool.models.symmcd.request import Request
from crystaltool.models.symmcd.sampling import SamplerConfig, faults, sample_symmcd
from crystaltool.structure import Structure

TARGET, NEW_TEMPLATE = "e_above_hull", "new_template"
TRAINING = "train"
"""The word for the templates of the training data."""


@dataclass(frozen=True)
class SampleSettings:
    """All that decides the structures of a run: the checkpoint, what is asked for, seed, network calls and device."""

    checkpoint: str
    request: Request
    seed: int
    steps: int | None
    attempts: int | None
    candidates: int | None
    aim: tuple[tuple[str, Any], ...]
    device: str

    def check(self) -> None:
        """Refuse what cannot be sampled, before anything is.

        Raises:
            UsageError: a seed or a number of calls out of range, conditions that nothing meets, or candidates where
                there is nothing to weigh.
        """
        if not 0 <= self.seed <= LARGEST_SEED:
            raise UsageError(f"seed is {self.seed}, expected 0 to {LARGEST_SEED}")
        sampler(self, load(self.checkpoint, self.device)).split()
        if not plan(self).weighs and self.candidates is not None:
            raise UsageError(
                "--candidates: there is nothing to weigh, no stability, elements, formula or numbers of atoms are asked"
                " for"
            )


@lru_cache(maxsize=1)
def load(checkpoint: str, device: str) -> LoadedSymmCD:
    """The model of this process."""
    return load_symmcd(Path(checkpoint), device)


@lru_cache(maxsize=1)
def plan(settings: SampleSettings) -> Plan:
    """What the request leaves open for the model of this process.

    Raises:
        UsageError: as `LoadedSymmCD.plan`.
    """
    loaded = load(settings.checkpoint, settings.device)
    return loaded.plan(settings.request, sampler(settings, loaded))


def sampler(settings: SampleSettings, loaded: LoadedSymmCD) -> SamplerConfig:
    """The checkpoint's settings with those that the run changes."""
    changes = {
        "calls": settings.steps,
        "attempts": settings.attempts,
        "site_candidates": settings.candidates,
        "formula_candidates": settings.candidates,
    }
    kept = {name: value for name, value in changes.items() if value is not None}
    return replace(loaded.sampler, **kept, **dict(settings.aim))


def sample_units(settings: SampleSettings, indices: Sequence[int]) -> list[tuple[AsymUnit, int]]:
    """Some items, and the fault that all attempts have left of each; pure, for any process."""
    loaded = load(settings.checkpoint, settings.device)
    config = sampler(settings, loaded)
    units = sample_symmcd(loaded.model, indices, plan(settings), settings.seed, config, len(indices))
    return [(unit, faults(unit) if config.exact else 0) for unit in units]


def structure_of(settings: SampleSettings, unit: AsymUnit, item: int, call: str | None) -> Structure:
    """The structure of an item; `call` is what the history says of it, None leaves no history."""
    if call is None:
        return Structure(unit, name=unit.name)
    loaded = load(settings.checkpoint, settings.device)
    origin = (f"weights sha256:{loaded.sha256[:16]}", settings.device)
    return Structure(unit, name=unit.name, history=extend_history((), call, item, origin))


class SymmCDSampler:
    """SymmCD, ready to sample inorganic crystals.

    Args:
        checkpoint: its folder. device: where networks run.
    """

    def __init__(self, checkpoint: Path, device: str) -> None:
        self.checkpoint, self.device = checkpoint, device
        load(str(checkpoint), device)

    def sample(
        self,
        n: int = N_SAMPLES,
        *,
        seed: int = 0,
        target: Mapping[str, float] | None = None,
        steps: int | None = None,
        attempts: int | None = None,
        candidates: int | None = None,
        batch_size: int = BATCH_SIZE,
        **conditions: Any,
    ) -> Iterator[Structure]:
        """New crystals, as `crystaltool sample symmcd`; structure i depends on the seed and on i alone.

        Args:
            n: how many. seed: of all.
            target: {"e_above_hull": EV}: aim at crystals at most so far above the hull, eV/atom; beside it
                {"new_template": W}: take templates that the training data do not have e^W times as often.
            steps: network calls a structure. attempts: how often one is drawn at most.
            candidates: choices of sites that are weighed; all three by default the checkpoint's own.
            batch_size: structures of a network call; never changes results.
            conditions: hold in every structure; the fields of `crystaltool.models.symmcd.request.Request`, as its
                `make` takes them: space_group, elements, require, exclude, formula, n_atoms, primitive, n_elements,
                template (`train` for those of the training data).

        Raises:
            UsageError: conditions that contradict each other or that nothing meets, or numbers out of range; before
                anything is drawn.
        """
        request, aim = self._request(conditions), aim_of(target)
        settings = SampleSettings(str(self.checkpoint), request, seed, steps, attempts, candidates, aim, self.device)
        if n < 1 or batch_size < 1:
            raise UsageError(f"n is {n} and batch_size {batch_size}, expected 1 or more")
        settings.check()
        words = {"n": n, "seed": seed, **conditions, "target": target and dict(target), "steps": steps}
        words |= {"attempts": attempts, "candidates": candidates}
        if not isinstance(words.get("template", ""), str):
            words["template"] = "given"
        call = " ".join(["sample symmcd", *(f"{k}={v}" for k, v in words.items() if v is not None)])
        return self._structures(settings, n, batch_size, call)

    def _structures(self, settings: SampleSettings, n: int, batch_size: int, call: str) -> Iterator[Structure]:
        for start in range(0, n, batch_size):
            items = range(start, min(start + batch_size, n))
            for item, (unit, _) in zip(items, sample_units(settings, items), strict=True):
                yield structure_of(settings, unit, item, call)

    def _request(self, conditions: dict[str, Any]) -> Request:
        if conditions.get("template") == TRAINING:
            from crystaltool.models.symmcd.templates import read_templates

            conditions = {**conditions, "template": read_templates(self.checkpoint)}
        try:
            return Request.make(**conditions)
        except TypeError as error:  # an unknown name
            raise UsageError(f"conditions of sample: {error}") from None


def aim_of(target: Mapping[str, float] | None) -> tuple[tuple[str, Any], ...]:
    """The sampler's settings that a target changes, of the keys `e_above_hull` and `new_template`; none for None.

    Raises:
        UsageError: another property, no number, or new templates without stability, which weighs them.
    """
    if target is None:
        return ()
    known = set(target) <= {TARGET, NEW_TEMPLATE} and TARGET in target
    if not known or not all(math.isfinite(value) for value in target.values()):
        raise UsageError(
            f"target {dict(target)}, expected {{{TARGET!r}: NUMBER}} (eV/atom) of a symmcd model, and with it"
            f" {{{NEW_TEMPLATE!r}: NUMBER}} or not"
        )
    aim = (("above_hull", (float(target[TARGET]),)),)
    return aim + tuple((name, float(value)) for name, value in target.items() if name == NEW_TEMPLATE)
