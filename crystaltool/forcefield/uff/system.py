"""Energy, forces and strain derivatives of a batch of structures, in torch float64 on any device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from crystaltool.arrays import Float
from crystaltool.crystal import Crystal
from crystaltool.forcefield.uff import terms
from crystaltool.forcefield.uff.neighbours import Pairs, moved_too_far, near_pairs, pair_keys
from crystaltool.forcefield.uff.topology import Topology

DEFAULT_CUTOFF = 10.0
"""A: where the van der Waals energy has gone to zero."""

DEFAULT_TAPER = 2.0
"""A: width over which it is taken to zero before that, with a continuous derivative."""

SKIN = 1.0
"""A: pairs this much farther apart are listed too, so that the list lives for many steps."""


@dataclass(frozen=True)
class VanDerWaals:
    """How the van der Waals sum is cut and mixed.

    Args:
        cutoff: A.
        taper: A; 0 cuts sharply, as LAMMPS' `lj/cut` does.
        arithmetic: mix the distances x by their mean instead of their geometric mean (UFF's rule), as
            lammps-interface's input does for UFF4MOF.
        core: below this part of x the energy goes on as a straight line, so that overlapping atoms are pushed apart by
            a bounded force; 0 for the true energy.
    """

    cutoff: float = DEFAULT_CUTOFF
    taper: float = DEFAULT_TAPER
    arithmetic: bool = False
    core: float = 0.0


@dataclass(frozen=True)
class BatchEvaluation:
    """Energies of a batch and their derivatives.

    Args:
        energies: eV; shape (n_crystals,).
        forces: -dE/dr, eV/A; shape (n_atoms, 3).
        virials: dE/d(strain), eV; shape (n_crystals, 3, 3).
        parts: energies of bonds, angles, torsions, inversions and van der Waals; shape (5, n_crystals).
    """

    energies: torch.Tensor
    forces: torch.Tensor
    virials: torch.Tensor
    parts: torch.Tensor


class System:
    """Several structures as one list of atoms and one of terms.

    Args:
        topologies: the terms of each structure.
        van_der_waals: how that sum is cut.
        device: where the tensors live.

    Set `guarded` to keep angles from collapsing to 0 degrees (`terms.angle_values`).
    """

    def __init__(
        self,
        topologies: Sequence[Topology],
        van_der_waals: VanDerWaals | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.topologies = tuple(topologies)
        self.van_der_waals = van_der_waals or VanDerWaals()
        self.device = torch.device(device)
        self.n_atoms_each = [topology.n_atoms for topology in topologies]
        self.n_crystals, self.n_atoms = len(topologies), sum(self.n_atoms_each)
        self.starts = np.concatenate([[0], np.cumsum(self.n_atoms_each)]).tolist()
        n_bonds = [len(topology.bonds) for topology in topologies]
        bond_starts = np.concatenate([[0], np.cumsum(n_bonds)]).tolist()
        self.atom_to_crystal = self._owners(self.n_atoms_each)
        self.bond_atoms = self._joined([t.bonds.pairs + s for t, s in zip(topologies, self.starts, strict=False)])
        self.bond_images = self._joined([t.bonds.images.astype(float) for t in topologies])
        self.bond_to_crystal = self._owners(n_bonds)
        self.bond_lengths = self._joined([t.bond_lengths for t in topologies])
        self.bond_constants = self._joined([t.bond_constants for t in topologies])
        self.angle_bonds = self._joined([t.angle_bonds + s for t, s in zip(topologies, bond_starts, strict=False)])
        self.angle_signs = self._joined([t.angle_signs for t in topologies])
        self.angle_series = self._joined([t.angle_series for t in topologies])
        self.angle_guards = self._joined([t.angle_guards for t in topologies])
        self.guarded = False
        self.torsion_bonds = self._joined([t.torsion_bonds + s for t, s in zip(topologies, bond_starts, strict=False)])
        self.torsion_signs = self._joined([t.torsion_signs for t in topologies])
        self.torsion_terms = self._joined([t.torsion_terms for t in topologies])
        self.inversion_bonds = self._joined(
            [t.inversion_bonds + s for t, s in zip(topologies, bond_starts, strict=False)]
        )
        self.inversion_signs = self._joined([t.inversion_signs for t in topologies])
        self.inversion_terms = self._joined([t.inversion_terms for t in topologies])
        self.distances = self._joined([t.distances for t in topologies])
        self.depths = self._joined([t.depths for t in topologies])
        self._excluded = [self._exclusion_keys(topology) for topology in topologies]

    def _joined(self, arrays: list[np.ndarray]) -> torch.Tensor:
        return torch.as_tensor(np.concatenate(arrays), device=self.device)

    def _owners(self, counts: list[int]) -> torch.Tensor:
        return torch.as_tensor(np.repeat(np.arange(len(counts)), counts), device=self.device)

    def _exclusion_keys(self, topology: Topology) -> torch.Tensor:
        pairs = torch.as_tensor(topology.excluded_pairs, device=self.device)
        images = torch.as_tensor(topology.excluded_images, device=self.device)
        first, second = pairs.unbind(1)
        keys = [
            pair_keys(first, second, images, topology.n_atoms),
            pair_keys(second, first, -images, topology.n_atoms),
        ]
        return torch.cat(keys).unique()

    def start(self, crystals: Sequence[Crystal]) -> tuple[torch.Tensor, torch.Tensor]:
        """Cartesian coordinates and lattices of the structures as tensors."""
        cart_coords = self._joined([crystal.cart_coords for crystal in crystals])
        lattices = torch.as_tensor(np.stack([crystal.lattice for crystal in crystals]), device=self.device)
        return cart_coords, lattices

    def sum_each(self, values: Float[torch.Tensor, "n ..."], owners: torch.Tensor) -> torch.Tensor:
        """Sums over each structure; shape (n_crystals, ...)."""
        if self.n_crystals == 1:
            return values.sum(dim=0, keepdim=True)
        return values.new_zeros(self.n_crystals, *values.shape[1:]).index_add_(0, owners, values)

    def pairs(self, cart_coords: torch.Tensor, lattices: torch.Tensor, last: Pairs | None = None) -> Pairs:
        """The pairs for these coordinates: the last list while it serves, else a new one."""
        rule = self.van_der_waals
        if last is not None and not moved_too_far(last, cart_coords, lattices, self.atom_to_crystal, rule.cutoff, SKIN):
            return last
        firsts, seconds, images, owners = [], [], [], []
        for crystal in range(self.n_crystals):
            start, end = self.starts[crystal], self.starts[crystal + 1]
            first, second, image = near_pairs(cart_coords[start:end], lattices[crystal], rule.cutoff + SKIN)
            keys = pair_keys(first, second, image, end - start)
            excluded = self._excluded[crystal]
            place = torch.searchsorted(excluded, keys).clamp_max(len(excluded) - 1)
            keep = excluded[place] != keys if len(excluded) else torch.ones_like(keys, dtype=torch.bool)
            firsts.append(first[keep] + start)
            seconds.append(second[keep] + start)
            images.append(image[keep])
            owners.append(torch.full((int(keep.sum()),), crystal, device=self.device))
        first, second = torch.cat(firsts), torch.cat(seconds)
        x_1, x_2 = self.distances[first], self.distances[second]
        distance = 0.5 * (x_1 + x_2) if rule.arithmetic else (x_1 * x_2).sqrt()
        depth = (self.depths[first] * self.depths[second]).sqrt()
        return Pairs(
            first,
            second,
            torch.cat(images).double().T.contiguous(),
            torch.cat(owners),
            depth * distance**12,
            2 * depth * distance**6,
            distance,
            cart_coords,
            lattices,
        )

    def bond_vectors(self, cart_coords: torch.Tensor, lattices: torch.Tensor) -> torch.Tensor:
        """Vectors of all bonds, A; shape (n_bonds, 3)."""
        first, second = self.bond_atoms.unbind(1)
        shifts = torch.einsum("nx,nxy->ny", self.bond_images, lattices[self.bond_to_crystal])
        return cart_coords[second] + shifts - cart_coords[first]

    def bonded_values(self, vectors: torch.Tensor) -> list[terms.TermValues]:
        """Bonds, angles, torsions, inversions for given bond vectors; gradients by the graph's own vectors."""
        angles = terms.angle_values(
            self.turned(vectors, self.angle_bonds, self.angle_signs),
            self.angle_series,
            self.angle_guards if self.guarded else None,
        )
        torsions = terms.torsion_values(
            self.turned(vectors, self.torsion_bonds, self.torsion_signs), self.torsion_terms
        )
        inversions = terms.inversion_values(
            self.turned(vectors, self.inversion_bonds, self.inversion_signs), self.inversion_terms
        )
        return [
            terms.bond_values(vectors, self.bond_lengths, self.bond_constants),
            _turned_back(angles, self.angle_signs),
            _turned_back(torsions, self.torsion_signs),
            _turned_back(inversions, self.inversion_signs),
        ]

    def turned(self, vectors: torch.Tensor, bonds: torch.Tensor, signs: torch.Tensor) -> torch.Tensor:
        """Bond vectors of terms, turned by their signs; shape (n_terms, n_vectors, 3)."""
        return vectors.index_select(0, bonds.flatten()).view(*bonds.shape, 3) * signs[:, :, None]

    def evaluate(self, cart_coords: torch.Tensor, lattices: torch.Tensor, pairs: Pairs) -> BatchEvaluation:
        """Energies and their derivatives at coordinates for which the pairs serve."""
        vectors = self.bond_vectors(cart_coords, lattices)
        by_vector = torch.zeros_like(vectors)
        parts = []
        each = zip(
            self.bonded_values(vectors),
            (None, self.angle_bonds, self.torsion_bonds, self.inversion_bonds),
            strict=True,
        )
        for values, bonds in each:
            slopes = values.slope[:, None, None] * values.gradient
            if bonds is None:
                by_vector += slopes[:, 0]
                parts.append(self.sum_each(values.energy, self.bond_to_crystal))
            else:
                by_vector.index_add_(0, bonds.flatten(), slopes.view(-1, 3))
                parts.append(self.sum_each(values.energy, self.bond_to_crystal[bonds[:, 0]]))
        forces = torch.zeros_like(cart_coords)
        first, second = self.bond_atoms.unbind(1)
        forces.index_add_(0, first, by_vector).index_add_(0, second, by_vector, alpha=-1)
        if self.n_crystals == 1:
            virials = (vectors.T @ by_vector)[None]
        else:
            virials = self.sum_each(vectors[:, :, None] * by_vector[:, None, :], self.bond_to_crystal)
        energy, pair_forces, pair_virials = self._van_der_waals(cart_coords, lattices, pairs)
        parts = torch.stack([*parts, energy])
        return BatchEvaluation(parts.sum(dim=0), forces + pair_forces, virials + pair_virials, parts)

    def pair_components(
        self, cart_coords: torch.Tensor, lattices: torch.Tensor, pairs: Pairs
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors of the pairs, component by component (3, n_pairs), and their squares."""
        columns = cart_coords.T.contiguous()
        if self.n_crystals == 1:
            shifts = lattices[0].T @ pairs.images
        else:
            shifts = torch.einsum("xn,nxy->yn", pairs.images, lattices[pairs.crystals])
        components = torch.stack(
            [
                column.index_select(0, pairs.second).sub_(column.index_select(0, pairs.first)).add_(shift)
                for column, shift in zip(columns.unbind(0), shifts.unbind(0), strict=True)
            ]
        )
        return components, components.square().sum(dim=0)

    def pair_energies(self, square: torch.Tensor, pairs: Pairs) -> tuple[torch.Tensor, torch.Tensor]:
        """Energy of each pair and its derivative by the squared distance."""
        rule = self.van_der_waals
        core = (rule.core * pairs.distances) ** 2 if rule.core > 0 else None
        inside = square if core is None else torch.maximum(square, core)
        inverse = inside.reciprocal()
        sixth = inverse * inverse * inverse
        attraction = pairs.attraction * sixth
        repulsion = pairs.repulsion * sixth * sixth
        energy = repulsion - attraction
        slope = (3 * attraction - 6 * repulsion) * inverse
        if core is not None:
            near = square < core
            length, edge = square.clamp_min(1e-12).sqrt(), core.sqrt()
            by_length = 2 * edge * slope  # dE/dr at the edge, kept inside it
            energy = torch.where(near, energy + by_length * (length - edge), energy)
            slope = torch.where(near, by_length / (2 * length), slope)
        outer, inner = rule.cutoff**2, (rule.cutoff - rule.taper) ** 2
        if rule.taper <= 0:
            counted = square < outer
            return energy * counted, slope * counted
        # the CHARMM switch, 3 t^2 - 2 t^3 in the squared distance
        t = ((outer - square) / (outer - inner)).clamp(0, 1)
        switch = t * t * (3 - 2 * t)
        slope = slope * switch - energy * (6 / (outer - inner)) * t * (1 - t)
        return energy * switch, slope

    def _van_der_waals(self, cart_coords, lattices, pairs: Pairs) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        components, square = self.pair_components(cart_coords, lattices, pairs)
        energy, slope = self.pair_energies(square, pairs)
        by_vector = components * (2 * slope)
        forces = torch.stack(
            [
                torch.zeros_like(cart_coords[:, 0])
                .index_add_(0, pairs.first, by_component)
                .index_add_(0, pairs.second, by_component, alpha=-1)
                for by_component in by_vector.unbind(0)
            ],
            dim=1,
        )
        if self.n_crystals == 1:
            virials = (components @ by_vector.T)[None]
        else:
            virials = self.sum_each((components[:, None] * by_vector[None]).permute(2, 0, 1), pairs.crystals)
        return self.sum_each(energy, pairs.crystals), forces, virials


def _turned_back(values: terms.TermValues, signs: torch.Tensor) -> terms.TermValues:
    return terms.TermValues(values.energy, values.slope, values.curvature, values.gradient * signs[:, :, None])
