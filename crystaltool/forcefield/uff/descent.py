"""Minimise a batch of structures: L-BFGS over positions and strain, scaled by the model Hessian.

The two-loop recursion of Nocedal and Wright, Numerical Optimization (2006), algorithm 7.4, starting from the inverse of
a positive model of the Hessian instead of a number. Positions and strain are counted from the present structure at
every step. Each structure has its own step length, halved or better until its energy falls (Armijo's rule), so that the
batch does not change a structure's path.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import torch

from crystaltool.arrays import Float
from crystaltool.forcefield.minimise import MAX_VOLUME_FACTOR
from crystaltool.forcefield.uff.curvature import Layout, model_factor, strain_components, strain_matrices
from crystaltool.forcefield.uff.system import BatchEvaluation, System

MEMORY = 12
"""Pairs of steps and gradient changes kept."""

MODEL_LIFE = 25
"""Steps after which the model Hessian is made anew."""

MAX_MOVE = 0.3
"""A: longest move of an atom in one step."""

MAX_STRAIN = 0.005
"""Largest component of the strain in one step. With 0.03 flexible frameworks step over the barrier to a closed form."""

SUFFICIENT_DECREASE = 1e-4
"""Armijo's constant (Nocedal and Wright, section 3.1)."""

ENERGY_NOISE = 1e-11
"""Relative rounding of an energy, within which a step may climb."""

MAX_SHORTENINGS = 8
"""Shorter steps tried before the memory is dropped, and then before giving up."""


@dataclass
class State:
    """Where the structures of a batch are, with their evaluation.

    Args:
        cart_coords: A; shape (n_atoms, 3).
        lattices: A; shape (n_crystals, 3, 3).
        found: energies and derivatives there.
        steps: evaluations spent on each structure; shape (n_crystals,).
        stuck: structures for which no step lowers the energy; shape (n_crystals,).
        lost: structures whose cell has doubled or halved since the start; shape (n_crystals,).
    """

    cart_coords: torch.Tensor
    lattices: torch.Tensor
    found: BatchEvaluation
    steps: torch.Tensor
    stuck: torch.Tensor
    lost: torch.Tensor

    def max_forces(self, system: System) -> Float[torch.Tensor, " b"]:
        """Largest force of each structure, eV/A."""
        lengths = self.found.forces.norm(dim=1)
        return lengths.new_zeros(system.n_crystals).scatter_reduce_(0, system.atom_to_crystal, lengths, "amax")

    def max_stresses(self) -> Float[torch.Tensor, " b"]:
        """Largest component of the stress of each structure, eV/A^3."""
        volumes = torch.linalg.det(self.lattices).abs()
        return self.found.virials.abs().amax(dim=(1, 2)) / volumes


def descend(
    system: System,
    cart_coords: torch.Tensor,
    lattices: torch.Tensor,
    max_force: float,
    max_stress: float,
    max_steps: int,
) -> State:
    """Go downhill until every structure is at rest, stuck, or has spent its steps.

    Args:
        system: what gives the energies.
        cart_coords: start, A; shape (n_atoms, 3).
        lattices: start, A; shape (n_crystals, 3, 3).
        max_force: eV/A, at rest below it.
        max_stress: eV/A^3, at rest below it; infinite for a fixed cell.
        max_steps: evaluations after the first.
    """
    return _Descent(system, cart_coords, lattices, max_force, max_stress, max_steps).run()


class _Descent:
    def __init__(self, system: System, cart_coords, lattices, max_force, max_stress, max_steps) -> None:
        self.system, self.layout = system, Layout(system)
        self.max_force, self.max_stress, self.max_steps = max_force, max_stress, max_steps
        self.free_cell = max_stress != float("inf")
        self.pairs = system.pairs(cart_coords, lattices)
        found = system.evaluate(cart_coords, lattices, self.pairs)
        zeros = torch.zeros(system.n_crystals, dtype=torch.long, device=system.device)
        self.state = State(cart_coords, lattices, found, zeros, zeros.bool(), zeros.bool())
        self.start_volumes = torch.linalg.det(lattices)
        self.gradient = self._gradient(found)
        self.memory: deque[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = deque(maxlen=MEMORY)
        self.factor = torch.empty(0)
        self.model_age = MODEL_LIFE

    def _gradient(self, found: BatchEvaluation) -> torch.Tensor:
        by_strain = strain_components(found.virials)
        return self.layout.rows(-found.forces, by_strain if self.free_cell else torch.zeros_like(by_strain))

    def _at_rest(self) -> torch.Tensor:
        quiet = self.state.max_forces(self.system) < self.max_force
        return quiet & (self.state.max_stresses() < self.max_stress)

    def run(self) -> State:
        n = self.system.n_crystals
        length = torch.ones(n, dtype=torch.float64, device=self.system.device)
        failures = torch.zeros(n, dtype=torch.long, device=self.system.device)
        active = ~self._at_rest()
        fresh = active.clone()  # structures that need a new direction
        direction = torch.zeros_like(self.gradient)
        slope = torch.zeros_like(length)
        while bool(active.any()) and int(self.state.steps.max()) < self.max_steps:
            if bool(fresh.any()):
                self._renew_model()
                new = self._direction()
                direction = torch.where(fresh[:, None], new, direction)
                slope = (direction * self.gradient).sum(dim=1)
                length = torch.where(fresh, self._bounded(direction), length)
                failures = torch.where(fresh, 0, failures)
            step = direction * (length * active)[:, None]
            cart_coords, lattices = self._moved(step)
            self.pairs = self.system.pairs(cart_coords, lattices, self.pairs)
            found = self.system.evaluate(cart_coords, lattices, self.pairs)
            self.state.steps += active
            climb = found.energies - self.state.found.energies
            noise = ENERGY_NOISE * self.state.found.parts.abs().sum(dim=0)
            good = climb <= SUFFICIENT_DECREASE * length * slope + noise
            accepted, refused = active & good, active & ~good
            if bool(accepted.any()):
                self._accept(accepted, step, cart_coords, lattices, found)
            if bool(refused.any()):
                expected = length * slope
                ratio = (-expected / (2 * (climb - expected))).nan_to_num(0.1).clamp(0.1, 0.5)
                length = torch.where(refused, length * ratio, length)
                failures += refused
                self._forget(refused & (failures == MAX_SHORTENINGS))
                self.state.stuck |= refused & (failures >= 2 * MAX_SHORTENINGS)
            fresh = accepted | (refused & (failures == MAX_SHORTENINGS))
            active = ~self._at_rest() & ~self.state.stuck & ~self.state.lost
        return self.state

    def _renew_model(self) -> None:
        if self.model_age >= MODEL_LIFE:
            self.factor = model_factor(
                self.layout, self.state.cart_coords, self.state.lattices, self.pairs, self.free_cell
            )
            self.model_age = 0
        self.model_age += 1

    def _direction(self) -> torch.Tensor:
        """Minus the inverse Hessian times the gradient, of every structure."""
        rest, factors = self.gradient.clone(), []
        for step, change, inverse in reversed(self.memory):
            factor = inverse * (step * rest).sum(dim=1)
            rest -= factor[:, None] * change
            factors.append(factor)
        result = torch.cholesky_solve(rest.float()[:, :, None], self.factor)[:, :, 0].double()
        for (step, change, inverse), factor in zip(self.memory, reversed(factors), strict=True):
            result += (factor - inverse * (change * result).sum(dim=1))[:, None] * step
        uphill = (result * self.gradient).sum(dim=1) <= 0
        if bool(uphill.any()):
            self._forget(uphill)
            plain = torch.cholesky_solve(self.gradient.float()[:, :, None], self.factor)[:, :, 0].double()
            result = torch.where(uphill[:, None], plain, result)
        return -result

    def _forget(self, which: torch.Tensor) -> None:
        for _, _, inverse in self.memory:
            inverse[which] = 0.0

    def _bounded(self, direction: torch.Tensor) -> torch.Tensor:
        """Step lengths, at most 1, within the longest move and strain."""
        moves, strains = self.layout.split(direction)
        longest = moves.new_zeros(self.system.n_crystals).scatter_reduce_(
            0, self.system.atom_to_crystal, moves.norm(dim=1), "amax"
        )
        strain = strains.abs().amax(dim=1)
        limit = torch.minimum(MAX_MOVE / longest.clamp_min(1e-12), MAX_STRAIN / strain.clamp_min(1e-12))
        return limit.clamp_max(1.0)

    def _moved(self, step: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        moves, strains = self.layout.split(step)
        deformation = strain_matrices(strains) + torch.eye(3, dtype=torch.float64, device=self.system.device)
        cart_coords = self.state.cart_coords + moves
        cart_coords = torch.einsum("nx,nxy->ny", cart_coords, deformation[self.system.atom_to_crystal])
        return cart_coords, self.state.lattices @ deformation

    def _accept(self, which: torch.Tensor, step, cart_coords, lattices, found: BatchEvaluation) -> None:
        old = self.state
        if not bool(which.all()):
            by_atom = which[self.system.atom_to_crystal][:, None]
            cart_coords = torch.where(by_atom, cart_coords, old.cart_coords)
            lattices = torch.where(which[:, None, None], lattices, old.lattices)
            found = BatchEvaluation(
                torch.where(which, found.energies, old.found.energies),
                torch.where(by_atom, found.forces, old.found.forces),
                torch.where(which[:, None, None], found.virials, old.found.virials),
                torch.where(which, found.parts, old.found.parts),
            )
        gradient = self._gradient(found)
        change = gradient - self.gradient
        product = (step * change).sum(dim=1)
        useful = which & (product > 1e-10 * step.norm(dim=1) * change.norm(dim=1))
        inverse = torch.where(useful, product.reciprocal().nan_to_num(0, 0, 0), 0.0)
        self.memory.append((step, change, inverse))
        factor = torch.linalg.det(lattices) / self.start_volumes
        lost = (factor > MAX_VOLUME_FACTOR) | (factor < 1 / MAX_VOLUME_FACTOR)
        self.state = State(cart_coords, lattices, found, old.steps, old.stuck, lost)
        self.gradient = gradient
