"""Drawings of molecules by RDKit, as SVG."""

from __future__ import annotations

from rdkit import Chem, rdBase
from rdkit.Chem.Draw import rdMolDraw2D

WIDTH, HEIGHT = 240, 160
"""Pixels."""


def draw_linker(smiles: str) -> str | None:
    """The SVG of a molecule; None where the text is no SMILES.

    The text itself does not go into the SVG: what is written there are symbols, charges and lines.
    """
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles, sanitize=False)
        if mol is None or mol.GetNumAtoms() == 0:
            return None
        try:
            Chem.SanitizeMol(mol, Chem.SANITIZE_ALL ^ Chem.SANITIZE_PROPERTIES)
            drawer = rdMolDraw2D.MolDraw2DSVG(WIDTH, HEIGHT)
            options = drawer.drawOptions()
            options.clearBackground, options.flagCloseContactsDist = False, -1
            rdMolDraw2D.PrepareAndDrawMolecule(drawer, mol)
            drawer.FinishDrawing()
        except (ValueError, RuntimeError):
            return None
    return drawer.GetDrawingText()
