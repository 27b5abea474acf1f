"""Relax MOFs with UFF: overlapping atoms are pushed apart softly, then atoms move, then atoms and cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.forcefield.minimise import EV_PER_CUBIC_ANGSTROM_IN_GPA, Criteria, RelaxationEnd, collapsed
from crystaltool.forcefield.uff.descent import State, descend
from crystaltool.forcefield.uff.system import System, VanDerWaals
from crystaltool.forcefield.uff.topology import Topology

VERSION = "uff4mof 1"
"""Terms and typing of this code; counted up when either changes energies."""

MAX_STRESS = 0.01 / EV_PER_CUBIC_ANGSTROM_IN_GPA
"""eV/A^3 (0.01 GPa), a tenth of what crystals are relaxed to: a hinged framework turns under 0.1 GPa. Of 24 assembled
samples three ended there with an edge 6 to 27 % off; 0.01 takes 2 % more steps (`benchmarks/results/relax_mof.md`)."""

SOFT_CORE, FIRM_CORE, LAST_CORE = 0.8, 0.6, 0.4
"""Part of the van der Waals distance below which an atom pair's energy is a straight line, in the three stages. No pair
of a relaxed MOF is nearer than the last, where the energy is 1e4 times the well's depth."""

PUSH_OFF_FORCE, POSITIONS_FORCE = 0.5, 0.3
"""eV/A: where the first two stages may end."""

PUSH_OFF_SHARE, POSITIONS_SHARE = 0.2, 0.2
"""Of all steps, at most this part goes to each of the first two stages."""

ROUND = 60
"""Steps of a batch after which structures that have come to rest leave it."""

COINCIDENCE = 0.1
"""A: atoms nearer than this have no direction to be pushed in; the batch moves them apart by that at random first."""


@dataclass(frozen=True, kw_only=True)
class MOFRelaxation(RelaxationEnd):
    """The end of a relaxation with UFF; energies are without charges, and every evaluation is counted.

    Args:
        crystal: the relaxed structure; atoms stay in the images in which they were given, so the bonds still fit.
    """

    crystal: Crystal


DEFAULT_CRITERIA = Criteria(max_stress=MAX_STRESS)
"""Steps are evaluations for each structure, in all stages together."""


def relax_mof(
    crystal: Crystal,
    topology: Topology,
    criteria: Criteria = DEFAULT_CRITERIA,
    van_der_waals: VanDerWaals | None = None,
) -> MOFRelaxation:
    """Relax one structure on the CPU; see `relax_mofs`."""
    return relax_mofs([crystal], [topology], criteria, van_der_waals)[0]


def relax_mofs(
    crystals: Sequence[Crystal],
    topologies: Sequence[Topology],
    criteria: Criteria = DEFAULT_CRITERIA,
    van_der_waals: VanDerWaals | None = None,
    device: torch.device | str = "cpu",
) -> list[MOFRelaxation]:
    """Relax several structures side by side.

    Args:
        crystals: where they start.
        topologies: their terms.
        criteria: when a structure is relaxed.
        van_der_waals: how that sum is cut; its core is set by the stages.
        device: where to compute.

    Raises:
        InputError: if a topology has other atoms than its crystal.
    """
    for crystal, topology in zip(crystals, topologies, strict=True):
        if crystal.n_atoms != topology.n_atoms:
            raise InputError(f"terms for {topology.n_atoms} atoms, but the structure has {crystal.n_atoms}")
    rule, max_steps = van_der_waals or VanDerWaals(), criteria.max_steps
    system = System(topologies, replace(rule, core=SOFT_CORE), device)
    system.guarded = True
    cart_coords, lattices = system.start([_apart(crystal) for crystal in crystals])
    spent = np.zeros(len(crystals), dtype=np.int64)
    stages = (
        (SOFT_CORE, max(PUSH_OFF_FORCE, criteria.max_force), int(PUSH_OFF_SHARE * max_steps)),
        (FIRM_CORE, max(POSITIONS_FORCE, criteria.max_force), int(POSITIONS_SHARE * max_steps)),
    )
    for core, force, steps in stages:
        system.van_der_waals = replace(rule, core=core)
        state = descend(system, cart_coords, lattices, force, float("inf"), steps)
        cart_coords, lattices = state.cart_coords, state.lattices
        spent += state.steps.cpu().numpy()
    last = System(topologies, replace(rule, core=LAST_CORE), device)
    ends = _last_stage(last, cart_coords, lattices, criteria, spent)
    return [_report(crystal, end, max_steps) for crystal, end in zip(crystals, ends, strict=True)]


@dataclass(frozen=True)
class _End:
    """One structure at the end: plain numbers."""

    cart_coords: np.ndarray
    lattice: np.ndarray
    energy: float
    max_force: float
    max_stress: float
    steps: int
    at_rest: bool
    stuck: bool
    lost: bool


def _last_stage(
    system: System, cart_coords: torch.Tensor, lattices: torch.Tensor, criteria: Criteria, spent: np.ndarray
) -> list[_End]:
    """Atoms and cell to the end. A batch goes in rounds; a structure that has come to rest leaves it after a round."""
    ends: dict[int, _End] = {}
    left = list(range(system.n_crystals))
    while True:
        budget = max(0, criteria.max_steps - int(spent[left].max()))
        steps = budget if len(left) == 1 else min(ROUND, budget)
        state = descend(system, cart_coords, lattices, criteria.max_force, criteria.stress, steps)
        spent[left] += state.steps.cpu().numpy()
        found = _ends(system, state, criteria, spent[left])
        over = [
            end.at_rest or end.stuck or end.lost or steps < ROUND or int(spent[index]) >= criteria.max_steps
            for index, end in zip(left, found, strict=True)
        ]
        ends.update({index: end for index, end, done in zip(left, found, over, strict=True) if done})
        stay = [place for place, done in enumerate(over) if not done]
        if not stay:
            return [ends[index] for index in range(len(ends))]
        atoms = torch.cat([torch.arange(system.starts[k], system.starts[k + 1]) for k in stay]).to(system.device)
        cart_coords, lattices = state.cart_coords[atoms], state.lattices[stay]
        left = [left[place] for place in stay]
        system = System([system.topologies[place] for place in stay], system.van_der_waals, system.device)


def _ends(system: System, state: State, criteria: Criteria, spent: np.ndarray) -> list[_End]:
    forces, stresses = state.max_forces(system).tolist(), state.max_stresses().tolist()
    coords, lattices = state.cart_coords.cpu().numpy(), state.lattices.cpu().numpy()
    energies, stuck, lost = state.found.energies.tolist(), state.stuck.tolist(), state.lost.tolist()
    return [
        _End(
            coords[system.starts[k] : system.starts[k + 1]],
            lattices[k],
            energies[k],
            forces[k],
            stresses[k],
            int(spent[k]),
            forces[k] < criteria.max_force and stresses[k] < criteria.stress,
            stuck[k],
            lost[k],
        )
        for k in range(system.n_crystals)
    ]


def _report(start: Crystal, end: _End, max_steps: int) -> MOFRelaxation:
    crystal = Crystal(end.lattice, end.cart_coords @ np.linalg.inv(end.lattice), start.numbers, start.name)
    reason = ""
    if end.lost:
        reason = f"stopped, the cell runs away: volume {crystal.volume / start.volume:.2f} times that of the start"
    elif collapsed(crystal):
        reason = "two atoms lie on top of each other"
    elif end.stuck and not end.at_rest:
        reason = "no step lowers the energy"
    elif not end.at_rest:
        reason = f"not converged in {max_steps} steps"
    energy = end.energy / crystal.n_atoms
    return MOFRelaxation(energy, end.max_force, end.max_stress, end.steps, not reason, reason, crystal=crystal)


def _apart(crystal: Crystal) -> Crystal:
    """The crystal with coinciding atoms moved apart, always in the same way."""
    frac = crystal.frac_coords
    apart = frac[:, None] - frac[None]
    distance = np.linalg.norm((apart - np.round(apart)) @ crystal.lattice, axis=2)
    near = np.triu(distance < COINCIDENCE, 1).any(axis=0)
    if not near.any():
        return crystal
    moves = np.random.default_rng(0).normal(size=frac.shape) * COINCIDENCE * near[:, None]
    return Crystal(crystal.lattice, frac + moves @ np.linalg.inv(crystal.lattice), crystal.numbers, crystal.name)
