"""SymmCD: joint diffusion of sites and geometry, and its two losses.

The process is one; its noise schedule runs in sequence. First the categorical components are revealed (site symmetries,
then elements: absorbing diffusion), then the continuous ones (free coordinates and cell) are denoised together, given
them. So two denoisers, each an expert for its stretch of time, share the work (as in eDiff-I, arXiv 2211.01324).
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor, nn

from crystaltool.batch import Batch, symmetry_tensors
from crystaltool.diffusion import absorbing, gaussian, wrapped_normal
from crystaltool.diffusion.schedules import focused, geometric
from crystaltool.lattice import HEXAGONAL_K1
from crystaltool.models.symmcd.blocks import distinct, in_blocks
from crystaltool.models.symmcd.config import SymmCDConfig
from crystaltool.models.symmcd.primitive import primitive_cells
from crystaltool.models.symmcd.representation import MAX_ORBITS, Statistics, free_components, noise_factors
from crystaltool.nn.atom_denoiser import AtomDenoiser, Atoms
from crystaltool.nn.cells import symmetric_lattice
from crystaltool.nn.geometry_denoiser import GeometryDenoiser
from crystaltool.nn.layers import N_ELEMENTS, Model, Sites
from crystaltool.nn.periodic_pairs import Orbits, atom_pairs, orbit_pairs
from crystaltool.nn.position_encoder import PositionEncoder, position_features
from crystaltool.nn.site_denoiser import SiteDenoiser
from crystaltool.nn.stability_network import StabilityNetwork, stability_loss
from crystaltool.symmetry.space_group import N_GROUPS, N_POSITIONS

PARTS = ("sites", "geometry")
STABILITY = "stability"
"""The part that judges sites: trained by itself, on crystals with energies."""


class SymmCD(Model):
    """Both denoisers with the tables and statistics that they need.

    Args:
        config: sizes.
        statistics: of the training data; None leaves zeros to be loaded from a checkpoint.
    """

    noise_factor: Tensor
    noise_inverse: Tensor
    primitive_atoms: Tensor
    orbit_counts: Tensor
    element_volume: Tensor
    k_mean: Tensor
    k_scale: Tensor

    def __init__(self, config: SymmCDConfig, statistics: Statistics | None = None) -> None:
        super().__init__()
        self.config = config
        with torch.device("cpu"):  # always with values, also when the network is made on the device "meta"
            symmetry = symmetry_tensors()
            groups = torch.repeat_interleave(torch.arange(N_GROUPS), symmetry.candidate_mask.sum(1))
            factor, inverse = noise_factors(symmetry)
        centring = symmetry.centring_order[groups]
        geometry = position_features(
            symmetry.multiplicity, centring, symmetry.freedom, symmetry.rotation, symmetry.translation
        )
        codes = (symmetry.site_code, geometry, symmetry.group_code)
        self.sites = SiteDenoiser(
            PositionEncoder(config.site_width, *codes),
            config.site_width,
            config.site_layers,
            config.site_heads,
            config.site_dropout,
        )
        encoder = PositionEncoder(config.geometry_width, *codes)
        size = (config.geometry_width, config.pair_width, config.geometry_layers)
        if config.geometry_heads:
            self.geometry = AtomDenoiser(encoder, *size, config.geometry_heads, config.n_functions)
        else:
            self.geometry = GeometryDenoiser(encoder, *size, config.n_functions)
        self.stability = None
        if config.stability_width:
            width, heads = config.stability_width, config.site_heads
            encoder = PositionEncoder(width, *codes)
            self.stability = StabilityNetwork(encoder, width, config.stability_layers, heads, config.site_dropout)
        self.register_buffer("noise_factor", factor, persistent=False)
        self.register_buffer("noise_inverse", inverse, persistent=False)
        self.register_buffer("primitive_atoms", symmetry.multiplicity / centring, persistent=False)
        filled = statistics or Statistics(
            np.zeros((N_GROUPS, MAX_ORBITS + 1)), np.zeros(N_ELEMENTS + 1), np.zeros((7, 6)), np.ones((7, 6))
        )
        for name, array in asdict(filled).items():
            self.register_buffer(name, torch.as_tensor(array, dtype=torch.float32))

    def symmetry(self):
        """The Wyckoff tables beside the weights."""
        return symmetry_tensors(str(self.device), self.dtype)

    def atoms(self, position: Tensor, mask: Tensor) -> Tensor:
        """Atoms of each orbit in the primitive cell, 1 in empty slots; shape (B, M)."""
        return self.primitive_atoms[position].masked_fill(~mask, 1.0)

    # --- sites -----------------------------------------------------------------------------------------------------

    def site_states(self, batch: Batch, hidden_position: Tensor, hidden_number: Tensor) -> Tensor:
        """States of the site denoiser with some positions and elements hidden; shape (B, M, width)."""
        position = batch.position.masked_fill(hidden_position | ~batch.mask, N_POSITIONS)
        numbers = batch.numbers.masked_fill(hidden_number, 0)
        atoms = self.atoms(batch.position, batch.mask).masked_fill(hidden_position, 0.0)
        sites, which = (batch.group, numbers, position, atoms, batch.mask), slice(None)
        if not torch.is_grad_enabled():
            # Candidates of one item are alike before much is revealed.
            rows, which = distinct(batch.group[:, None], numbers, position, batch.mask)
            sites = tuple(each[rows] for each in sites)
        with self.networks():
            return self.sites(*sites).to(self.dtype)[which]

    def position_logits(self, h: Tensor, batch: Batch, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of the group's positions, -inf where none is left, and the candidates; (B, M, K), (B, K).

        A position without free coordinates is one set of points: it holds one orbit only.
        """
        symmetry = self.symmetry()
        candidates = symmetry.candidates[batch.group]
        allowed = symmetry.candidate_mask[batch.group]
        taken = (candidates[:, :, None] == batch.position[:, None, :]) & (batch.mask & ~hidden)[:, None, :]
        allowed = allowed & ~(taken.any(2) & (symmetry.freedom[candidates] == 0))
        return self.sites.position_logits(h, candidates).masked_fill(~allowed[:, None], float("-inf")), candidates

    def site_loss(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Negative log-likelihood a token: of hidden positions in half of the batch, of hidden elements in the rest."""
        hidden = absorbing.random_hidden(batch.mask, generator)
        elements_turn = torch.rand(len(batch.group), generator=generator, device=self.device) < 0.5
        hidden_position = hidden & ~elements_turn[:, None]
        hidden_number = torch.where(elements_turn[:, None], hidden, batch.mask)
        h = self.site_states(batch, hidden_position, hidden_number)
        scores, candidates = self.position_logits(h, batch, hidden_position)
        truth = (candidates[:, None, :] == batch.position[..., None]).float().argmax(-1)
        position_nll = nn.functional.cross_entropy(scores.flatten(0, 1), truth.flatten(), reduction="none")
        element_nll = nn.functional.cross_entropy(
            self.sites.element_logits(h).flatten(0, 1), (batch.numbers - 1).clamp(min=0).flatten(), reduction="none"
        )
        slots = batch.mask.sum(1)
        # Each hidden token stands for M / n tokens of the any-order chain.
        weight = slots / hidden.sum(1)
        nll = torch.where(elements_turn[:, None], element_nll.view_as(hidden), position_nll.view_as(hidden))
        per_crystal = (nll.masked_fill(~hidden, 0.0).sum(1)) * weight
        mean = torch.where(elements_turn, per_crystal, per_crystal.detach() * 0).sum() / elements_turn.sum().clamp(
            min=1
        )
        other = (~elements_turn).sum().clamp(min=1)
        position_mean = torch.where(elements_turn, per_crystal.detach() * 0, per_crystal).sum() / other
        loss = (per_crystal / slots).mean()
        return loss, {"element_nll": mean.detach(), "site_nll": position_mean.detach()}

    # --- geometry --------------------------------------------------------------------------------------------------

    def cell_reference(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean and deviation of k for these compositions and crystal systems, in the conventional cell; (B, 6) each."""
        symmetry = self.symmetry()
        system = symmetry.system[batch.group]
        multiplicity = symmetry.multiplicity[batch.position] * batch.mask
        volume = (multiplicity * self.element_volume[batch.numbers]).sum(1)
        mean = self.k_mean[system].clone()
        mean[:, 5] += volume.log() / 3
        return mean, self.k_scale[system]

    def denoise_geometry(
        self, batch: Batch, u_t: Tensor, k_t: Tensor, sigma_u: Tensor, sigma_k: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One network call: normalised mean displacement of u, shape (B, M, 3), and normalised output for k, (B, 6).

        Args:
            batch: groups, elements and positions; its cell and coordinates are not looked at.
            u_t, k_t: noisy free coordinates and noisy standardised k.
            sigma_u, sigma_k: noise levels; shape (B,).
        """
        at = batch.replace(free_coords=u_t)
        if self.training or not self.config.geometry_heads:
            return self._denoise(at, k_t, sigma_u, sigma_k)
        n_atoms = (self.atoms(batch.position, batch.mask) * batch.mask).sum(1).long().tolist()
        return in_blocks(self._denoise, at, n_atoms, k_t, sigma_u, sigma_k)

    def _denoise(
        self, batch: Batch, k_t: Tensor, sigma_u: Tensor, sigma_k: Tensor, size: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """`denoise_geometry` at the free coordinates of the batch; `size` is what primitive cells are padded to."""
        symmetry = self.symmetry()
        mean, scale = self.cell_reference(batch)
        free_k = free_components(symmetry.system[batch.group])
        guess = gaussian.posterior_mean(k_t, sigma_k[:, None]) * free_k
        fixed = torch.zeros_like(mean)
        system = symmetry.system[batch.group]
        # In the type of the weights: torch.where of two Python numbers would round to single precision.
        fixed[:, 0] = HEXAGONAL_K1 * ((system == 4) | (system == 5)).to(fixed.dtype)
        lattice = symmetric_lattice(torch.where(free_k, mean + scale * guess, fixed))
        primitive = self.atoms(batch.position, batch.mask)
        n_atoms = (primitive * batch.mask).sum(1)
        cell = torch.cat(
            [
                gaussian.scaled_input(k_t, sigma_k[:, None]) * free_k,
                torch.where(free_k, scale * guess, 0.0) * 4,
                torch.stack([sigma_k.log() / 4, mean[:, 5] - 2.0, n_atoms.log() / 3], dim=1),
            ],
            dim=1,
        )
        if isinstance(self.geometry, AtomDenoiser):
            pulled, k_output = self._by_atoms(self.geometry, batch, lattice, cell, sigma_u, size)
        else:
            pulled, k_output = self._by_orbits(batch, lattice, cell, sigma_u)
        jacobian = lattice.transpose(1, 2)[:, None] @ symmetry.rotation[batch.position]
        unused = torch.arange(3, device=self.device) >= symmetry.freedom[batch.position][..., None]
        gram = jacobian.transpose(-1, -2) @ jacobian + torch.diag_embed(unused.to(jacobian.dtype))
        move = torch.linalg.solve(gram, pulled[..., None])[..., 0]
        volume = torch.linalg.det(lattice)
        return move * volume[:, None, None] ** (1 / 3) * batch.mask[..., None], k_output * free_k

    def _by_atoms(
        self, network: AtomDenoiser, batch: Batch, lattice: Tensor, cell: Tensor, sigma_u: Tensor, size: int | None
    ) -> tuple[Tensor, Tensor]:
        """Vectors of the atoms pulled back to the free coordinates, mean over each orbit (B, M, 3); k (B, 6).

        The network runs in the type of its own weights.
        """
        cells = primitive_cells(batch, self.symmetry(), size)
        frac = cells.atoms(batch.free_coords)
        difference = (frac[:, None] - frac[:, :, None]).to(network.dtype)
        primitive = (cells.basis @ lattice).to(difference.dtype)
        pairs = atom_pairs(primitive, difference, cells.mask, self.config.cutoff, self.config.n_functions)
        sites, atoms = Sites(batch.group, batch.numbers, batch.position), Atoms(cells.slot, cells.mask, difference)
        with self.networks():
            vectors, k_output = network(sites, atoms, cell.to(difference.dtype), sigma_u.to(difference.dtype), pairs)
        jacobian = lattice.transpose(1, 2)[:, None] @ cells.rotation
        pulled = (jacobian.transpose(-1, -2) @ vectors.to(self.dtype)[..., None])[..., 0] * cells.mask[..., None]
        sums = torch.zeros_like(batch.free_coords).scatter_add_(1, cells.slot[..., None].expand(-1, -1, 3), pulled)
        return sums / self.atoms(batch.position, batch.mask)[..., None], k_output.to(self.dtype)

    def _by_orbits(self, batch: Batch, lattice: Tensor, cell: Tensor, sigma_u: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors of the representatives pulled back to the free coordinates (B, M, 3), and k (B, 6)."""
        rotation, translation = (
            table[batch.position] for table in (self.symmetry().rotation, self.symmetry().translation)
        )
        representatives = (rotation @ batch.free_coords[..., None])[..., 0] + translation
        atoms, atom_slot = self._expand(batch)
        orbits = Orbits(representatives, batch.mask, atoms, atom_slot)
        pairs = orbit_pairs(lattice, orbits, self.config.cutoff, self.config.n_functions)
        primitive = self.atoms(batch.position, batch.mask)
        with self.networks():
            sites = Sites(batch.group, batch.numbers, batch.position)
            vectors, k_output = self.geometry(sites, primitive, batch.mask, cell, sigma_u, pairs)
        jacobian = lattice.transpose(1, 2)[:, None] @ rotation
        return (jacobian.transpose(-1, -2) @ vectors.to(self.dtype)[..., None])[..., 0], k_output.to(self.dtype)

    def _expand(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """All atoms of the conventional cells and the flat slot of each; shapes (A, 3), (A,)."""
        symmetry = self.symmetry()
        slots = batch.mask.reshape(-1).nonzero()[:, 0]
        position = batch.position.reshape(-1)[slots]
        count = symmetry.multiplicity[position]
        atom_slot = slots.repeat_interleave(count)
        within = torch.arange(len(atom_slot), device=self.device) - (count.cumsum(0) - count).repeat_interleave(count)
        member = symmetry.first_orbit[position].repeat_interleave(count) + within
        u = batch.free_coords.reshape(-1, 3)[atom_slot]
        return (symmetry.orbit_rotation[member] @ u[..., None])[..., 0] + symmetry.orbit_translation[member], atom_slot

    def coordinate_noise(self, batch: Batch, unit_noise: Tensor, sigma_u: Tensor) -> Tensor:
        """sigma W epsilon of every orbit; shape (B, M, 3)."""
        return (self.noise_factor[batch.position] @ unit_noise[..., None])[..., 0] * sigma_u[:, None, None]

    def geometry_loss(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Denoising losses of coordinates and cell, each about 1 for a network that knows nothing."""
        n, device = len(batch.group), self.device
        t = (torch.rand(1, generator=generator, device=device) + torch.arange(n, device=device) / n) % 1.0
        t = t[torch.randperm(n, generator=generator, device=device)]
        t = focused(t, *self.config.time_focus)
        sigma_u, sigma_k = geometric(t, *self.config.coordinate_sigma), geometric(t, *self.config.cell_sigma)
        noise = torch.randn(batch.free_coords.shape, generator=generator, device=device)
        step = self.coordinate_noise(batch, noise, sigma_u)
        free = torch.arange(3, device=device) < self.symmetry().freedom[batch.position][..., None]
        free = free & batch.mask[..., None]
        inverse = self.noise_inverse[batch.position]
        displacement = wrapped_normal.mean_displacement(
            step.flatten(0, 1), sigma_u.repeat_interleave(step.shape[1]), inverse.flatten(0, 1), free.flatten(0, 1)
        ).view_as(step)
        mean, scale = self.cell_reference(batch)
        free_k = free_components(self.symmetry().system[batch.group])
        k_0 = torch.where(free_k, (batch.k - mean) / scale, 0.0)
        k_t = k_0 + sigma_k[:, None] * torch.randn(k_0.shape, generator=generator, device=device)
        move, k_output = self.denoise_geometry(batch, batch.free_coords + step, k_t, sigma_u, sigma_k)
        amplitude = (sigma_u * wrapped_normal.score_scale(sigma_u))[:, None, None]
        miss = (inverse @ (move - displacement / amplitude)[..., None])[..., 0]
        coordinate_loss = (miss.square() * free).sum() / free.sum().clamp(min=1)
        k_miss = (k_output - gaussian.target(k_0, k_t, sigma_k[:, None])).square() * free_k
        cell_loss = k_miss.sum() / free_k.sum()
        return coordinate_loss + cell_loss, {
            "coordinate_loss": coordinate_loss.detach(),
            "cell_loss": cell_loss.detach(),
        }

    # --- stability -------------------------------------------------------------------------------------------------

    def stability_scores(self, batch: Batch, hull: Tensor) -> tuple[Tensor, Tensor]:
        """What `StabilityNetwork` says of the sites of a batch, given the hull's formation energies; (B,), (B, 18)."""
        assert self.stability is not None
        atoms = self.atoms(batch.position, batch.mask)
        with self.networks():
            formation, scores = self.stability(batch.group, batch.numbers, batch.position, atoms, batch.mask, hull)
        return formation.to(self.dtype), scores.to(self.dtype)

    def _stability_loss(self, batch: Batch, energies: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of the stability network; `energies` are formation energy and energy above the hull, (B, 2)."""
        formation, above_hull = energies.unbind(1)
        hull = torch.where(above_hull.isnan(), 0.0, formation - above_hull)
        return stability_loss(*self.stability_scores(batch, hull), formation, above_hull)

    def loss(
        self,
        batch: Batch,
        generator: torch.Generator,
        parts: tuple[str, ...] = PARTS,
        energies: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum of the losses of the parts in training, and what to log; `energies` as `_stability_loss`."""
        total, log = torch.zeros((), device=self.device), {}
        if "sites" in parts:
            value, extra = self.site_loss(batch, generator)
            total, log = total + value, log | extra
        if "geometry" in parts:
            value, extra = self.geometry_loss(batch, generator)
            total, log = total + value, log | extra
        if energies is not None:
            value, extra = self._stability_loss(batch, energies)
            total, log = total + value, log | extra
        return total, log

    forward = loss  # the name that distributed wrappers call
