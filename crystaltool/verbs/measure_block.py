"""What `measure` does with one block; pure, for any process."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from crystaltool.checks.stability import STABLE
from crystaltool.checks.verdict import OF_ALL_CHECKS, verdict_key
from crystaltool.defaults import POTENTIAL
from crystaltool.errors import UsageError
from crystaltool.measure.adsorption.gases import Gas, find_gas
from crystaltool.measure.adsorption.names import ESTIMATED, is_adsorption_key
from crystaltool.measure.adsorption.uptake import Run, check_conditions, measure_adsorption

if TYPE_CHECKING:
    from crystaltool.io.cif import CifBlock
    from crystaltool.models.mofdiff.checkpoint import LoadedMOFDiff

MOST_CYCLES = 1000.0


@dataclass(frozen=True)
class AdsorptionSettings:
    """Gases, pressures in bar, temperature in K, source of the framework's charges, accepted moves a molecule; whether
    a formula is taken in place of the simulation."""

    gases: tuple[Gas, ...]
    pressures: tuple[float, ...]
    temperature: float
    charges: str
    cycles: float
    estimate: bool = False


@dataclass(frozen=True)
class MeasureSettings:
    """What a worker must know.

    `probe` (radius in A), `adsorption` and `model` are None where they are not asked for.
    """

    hull: bool = False
    potential: str = POTENTIAL
    hull_file: str | None = None
    probe: float | None = None
    adsorption: AdsorptionSettings | None = None
    model: str | None = None
    seed: int = 0


@dataclass
class _Found:
    """What was measured so far: values, notes for the history, warnings, charges to write."""

    properties: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    charges: np.ndarray | None = None


def adsorption_settings(
    gases: list[str], pressure: str, temperature: float, charges: str, cycles: float, estimate: bool = False
) -> AdsorptionSettings | None:
    """The options of --adsorption; None where no gas is named.

    Raises:
        UsageError: no such gas or source of charges, a pressure that is no number, a liquid, other impossible values;
            an estimate of what cannot be estimated.
    """
    from crystaltool.checks.mof.adsorption_charges import SOURCES

    names = [name for text in gases for name in text.split(",") if name.strip()]
    found = tuple({gas.name: gas for gas in map(find_gas, names)}.values())
    if charges not in SOURCES:
        raise UsageError(f"--charges is {charges!r}, expected {', '.join(SOURCES)}")
    try:
        pressures = tuple(sorted(float(text) for text in pressure.split(",") if text.strip()))
    except ValueError:
        raise UsageError(f"--pressure is {pressure!r}, expected numbers of bar with commas between them") from None
    if not (np.isfinite(cycles) and 1 <= cycles <= MOST_CYCLES):
        raise UsageError(f"--cycles is {cycles:g}, expected 1 to {MOST_CYCLES:g}")
    check_conditions(found, pressures, temperature)
    if estimate:
        _check_estimate(found, pressures, charges)
    return AdsorptionSettings(found, pressures, temperature, charges, cycles, estimate) if found else None


def _check_estimate(gases: tuple[Gas, ...], pressures: tuple[float, ...], charges: str) -> None:
    from crystaltool.measure.adsorption.estimate import ESTIMATED_GASES

    other = [gas.name for gas in gases if gas.name not in ESTIMATED_GASES]
    if other:
        raise UsageError(f"--estimate is fitted for {', '.join(ESTIMATED_GASES)}, not for {', '.join(other)}")
    if charges != "none":
        raise UsageError(f"--estimate is of frameworks without charges, --charges is {charges}")
    if len(pressures) < 2:
        raise UsageError("--estimate is of a working capacity, give --pressure two values at least")


def prepare(settings: MeasureSettings) -> None:
    """End the run before it begins where no structure can be measured.

    Raises:
        CrystaltoolError: a hull or checkpoint that cannot be read, an extra that is missing, an impossible probe.
    """
    if settings.hull:
        from crystaltool.measure.stability import check_hull

        check_hull(settings.potential, settings.hull_file)
    if settings.probe is not None:
        from crystaltool.measure.pores import require_zeo

        if not 0 < settings.probe < np.inf:
            raise UsageError(f"--probe is {settings.probe:g} A, expected a positive number")
        require_zeo()
    if settings.model is not None:
        _load_model(settings.model)


@cache
def _load_model(name: str) -> LoadedMOFDiff:
    from crystaltool.models.mofdiff.checkpoint import load_mofdiff
    from crystaltool.models.weights import find_checkpoint

    loaded = load_mofdiff(find_checkpoint(name))
    if not loaded.model.config.properties:
        raise UsageError(f"--model {name}: this checkpoint predicts no property")
    return loaded


def measure_block(
    settings: MeasureSettings, call: str | None, block: CifBlock, created: str | None = None
) -> tuple[str, tuple[str, ...]]:
    """The block's text with what was measured, and what to warn of.

    Args:
        settings: what to measure.
        call: what the history says of it; None leaves the history as it is.
        block: the structure.
        created: date for the block.

    Raises:
        CrystaltoolError: if the block cannot be measured.
    """
    from crystaltool.io.annotate import annotate
    from crystaltool.io.provenance import extend_history

    found = _Found()
    if settings.hull:
        _measure_hull(settings, block, found)
    if settings.model is not None:
        _predict(settings.model, block, found)
    if settings.probe is not None:
        _measure_pores(settings.probe, settings.seed, block, found)
    if settings.adsorption is not None:
        _measure_adsorption(settings.adsorption, settings.seed, block, found)
    history: tuple[str, ...] = ()
    if call is not None:
        history = extend_history(block.history, call, extra=found.notes)
    gases = settings.adsorption.gases if settings.adsorption else ()
    prefixes = tuple(f"{gas.name.lower()}_" for gas in gases)
    stable = verdict_key(STABLE)
    on_the_hull = (stable, OF_ALL_CHECKS) if settings.hull and stable in block.properties else ()
    estimated = settings.adsorption is not None and settings.adsorption.estimate

    def stale(key: str) -> bool:
        again = is_adsorption_key(key) and key.startswith(prefixes) and (ESTIMATED in key) == estimated
        return key in on_the_hull or again

    text = annotate(block, found.properties, history, created, stale, found.charges)
    return text, tuple(found.warnings)


def _measure_hull(settings: MeasureSettings, block: CifBlock, found: _Found) -> None:
    from crystaltool.measure.stability import DOUBTFUL, check_hull, hull_properties, measure_stability

    stability, energy = measure_stability(block, settings.potential, settings.hull_file)
    found.properties |= hull_properties(stability, energy, check_hull(settings.potential, settings.hull_file))
    if stability.above_hull < DOUBTFUL:
        said = f"{-stability.above_hull:.2f} eV/atom below the hull"
        found.warnings.append(f"{said}: a phase is missing from it, or {energy.potential} fails here")
    found.notes += [energy.version] if energy.version else []


def _predict(model: str, block: CifBlock, found: _Found) -> None:
    from crystaltool.models.mofdiff.properties import predict_crystal

    loaded = _load_model(model)
    values = predict_crystal(loaded.model, block.crystal, block.bonds)
    found.properties |= {f"predicted_{key}": f"{value:.6g}" for key, value in values.items()}
    found.notes.append(f"weights sha256:{loaded.sha256}")


def _measure_pores(probe: float, seed: int, block: CifBlock, found: _Found) -> None:
    from crystaltool.measure.adsorption.void import helium_void_fraction
    from crystaltool.measure.keys import HELIUM_VOID_FRACTION
    from crystaltool.measure.pores import measure_pores

    found.properties |= measure_pores(block.crystal, probe).properties
    found.properties[HELIUM_VOID_FRACTION] = f"{helium_void_fraction(block.crystal, seed)[0]:.4f}"


def _measure_adsorption(settings: AdsorptionSettings, seed: int, block: CifBlock, found: _Found) -> None:
    from crystaltool.checks.mof.adsorption_charges import EQEQ, framework_charges

    if settings.estimate:
        return _estimate_capacities(settings, seed, block, found)
    charges = framework_charges(block, settings.charges)
    if settings.charges == EQEQ:
        found.charges = charges
    for gas in settings.gases:
        run = Run(seed, settings.cycles)
        measured = measure_adsorption(block.crystal, gas, settings.pressures, settings.temperature, charges, run)
        measured = replace(measured, charges=settings.charges)
        found.properties |= measured.properties
        if measured.remark:
            found.warnings.append(f"{gas.name}: {measured.remark}")
        narrowest = _limiting_diameter(block, found)
        if narrowest is not None and narrowest < gas.kinetic_diameter and measured.uptakes[-1].amount > 0:
            found.warnings.append(
                f"{gas.name}: the pore limiting diameter of {narrowest:.2f} A is less than the molecule's "
                f"{gas.kinetic_diameter:g} A: the uptake may be that of pockets it cannot reach"
            )


def _estimate_capacities(settings: AdsorptionSettings, seed: int, block: CifBlock, found: _Found) -> None:
    from crystaltool.measure.adsorption.estimate import estimated_capacity

    for gas in settings.gases:
        key = f"{gas.name.lower()}{ESTIMATED}working_capacity"
        value = estimated_capacity(block.crystal, gas, settings.pressures, settings.temperature, seed)
        found.properties[key] = f"{value:.4g}"
        found.properties[f"{key}_between"] = f"{settings.pressures[0]:g} and {settings.pressures[-1]:g} bar"


def _limiting_diameter(block: CifBlock, found: _Found) -> float | None:
    """As measured now or before, in A."""
    try:
        return float(found.properties.get("pld") or block.properties.get("pld", ""))
    except ValueError:
        return None
