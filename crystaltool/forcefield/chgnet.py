"""CHGNet, a machine-learned potential for inorganic crystals (Deng et al., Nat. Mach. Intell. 5, 1031 (2023)).

The weights (model 0.3.0) ship inside the `chgnet` wheel. Energies are PBE / PBE+U energies with the Materials
Project 2020 corrections, on which the model was trained, so they stand beside the Materials Project's own.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any

import numpy as np

from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.forcefield.interface import Evaluation
from crystaltool.units import SYMBOLS

#: Heaviest element in the model's embedding.
MAX_ATOMIC_NUMBER = 94

#: Atoms in the cell that is evaluated. A dense oxide takes 6 MB an atom (3.3 GB for 512 atoms of MgO), so this is 6 GB.
MAX_ATOMS = 1000


class Chgnet:
    """CHGNet 0.3.0 on one CPU thread.

    Args:
        precision: "float32" as trained, or "float64" (1.8 times slower), which leaves no rounding in derivatives.

    Sets torch to one thread: with two on a busy machine it is ten times slower.
    """

    name = "chgnet"

    def __init__(self, precision: str = "float32") -> None:
        import torch

        torch.set_num_threads(1)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            import chgnet
            from chgnet.model.model import CHGNet

            self._model = CHGNet.load(use_device="cpu", verbose=False)
        self.version = f"chgnet {chgnet.__version__} model {self._model.version}"
        self._model.requires_grad_(requires_grad=False)
        self._model.graph_converter.set_isolated_atom_response("error")
        self._dtype = {"float32": torch.float32, "float64": torch.float64}[precision]
        self._model.to(self._dtype)
        # The composition model makes its own float32 features; it has no derivative, and its sums are exact enough.
        self._model.get_submodule("composition_model").float()

    def evaluate(self, crystal: Crystal) -> Evaluation:
        """Energy, forces and stress; one backward pass, half the time of chgnet's own `predict_structure`.

        Raises:
            InputError: for an element beyond Pu, an atom without neighbour within 6 A, or more than `MAX_ATOMS` atoms.
        """
        import torch

        graph = self._graph(crystal)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            per_atom = self._model([graph], task="e")["e"].sum()
        energy = per_atom * crystal.n_atoms
        by_frac_coords, by_lattice = torch.autograd.grad(energy, [graph.atom_frac_coord, graph.lattice])
        lattice = crystal.lattice
        forces = -np.linalg.solve(lattice, by_frac_coords.double().numpy().T).T
        virial = lattice.T @ by_lattice.double().numpy()
        return Evaluation(float(energy.detach()), forces, (virial + virial.T) / (2 * crystal.volume))

    def energy(self, crystal: Crystal) -> float:
        """Energy in eV per cell without derivatives, half the time of `evaluate`; errors as there."""
        import torch

        graph = self._graph(crystal)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return float(self._model([graph], task="e")["e"].sum()) * crystal.n_atoms

    def _graph(self, crystal: Crystal) -> Any:
        import torch
        from pymatgen.core import Lattice, Structure

        heaviest = int(crystal.numbers.max())
        if heaviest > MAX_ATOMIC_NUMBER:
            raise InputError(
                f"CHGNet has no parameters for {SYMBOLS[heaviest]} (Z = {heaviest}), "
                f"it ends at Pu (Z = {MAX_ATOMIC_NUMBER})"
            )
        if crystal.n_atoms > MAX_ATOMS:
            raise InputError(f"cell of {crystal.n_atoms} atoms, CHGNet is limited to {MAX_ATOMS} here")
        symbols = [SYMBOLS[number] for number in crystal.numbers]
        structure = Structure(Lattice(crystal.lattice), symbols, crystal.frac_coords)
        try:
            graph = self._model.graph_converter(structure)
        except ValueError as error:  # its own word for isolated atoms
            raise InputError("an atom has no neighbour within CHGNet's cutoff of 6 A") from error
        # The converter rounds to float32; put our own numbers in their place.
        graph.atom_frac_coord = torch.tensor(
            np.ascontiguousarray(crystal.frac_coords), dtype=self._dtype, requires_grad=True
        )
        graph.lattice = torch.tensor(np.ascontiguousarray(crystal.lattice), dtype=self._dtype, requires_grad=True)
        graph.neighbor_image = graph.neighbor_image.to(self._dtype)
        return graph
