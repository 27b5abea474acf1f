"""How good embeddings are on blocks that training did not see."""

from __future__ import annotations

import numpy as np
import torch

from crystaltool.models.block_encoder.data import BlockPoints, Split
from crystaltool.models.block_encoder.embedding import embed_points, nearest
from crystaltool.models.block_encoder.model import DIAMETER_SCALE, BlockEncoder


@torch.no_grad()
def validate_blocks(model: BlockEncoder, points: BlockPoints, identity: np.ndarray, split: Split) -> dict[str, float]:
    """Shares of held-out blocks whose nearest neighbour is right, and whose counts are read right.

    The library is every distinct conformer, training's and the held-out ones, but for the block itself. A block counts
    where the library holds a sibling: another conformer of its identity. Names: `geometry_*` for held-out conformers of
    identities that training knows, `identity_*` for blocks of identities that it never saw, `held_out_*` for both.

    Returns:
        For each of the three: `_blocks` (distinct conformers), `_siblings` (those with a sibling), `_same_identity` and
        `_same_connections` (of the nearest neighbour, over those with a sibling), `_atoms_right`, `_connections_right`
        (the heads) and `_diameter_error` (Angstrom, mean absolute). `score`: mean same_identity of the first two.
    """
    model.eval()
    library = np.sort(np.concatenate([split.train, split.geometry, split.identity]))
    raw = torch.from_numpy(embed_points(model, points, library, raw=True)).to(model.device)
    vectors = (raw - model.embedding_mean) / model.embedding_scale
    heads = model.heads(raw)
    read = [head.argmax(1).cpu().numpy() for head in (heads.n_atoms, heads.n_connections)]
    diameter = (heads.diameter * DIAMETER_SCALE).cpu().numpy()
    found: dict[str, float] = {}
    parts = {"geometry": split.geometry, "identity": split.identity}
    parts["held_out"] = np.concatenate(list(parts.values()))
    alike = np.bincount(identity[library], minlength=identity.max() + 2)
    for name, rows in parts.items():
        where = np.searchsorted(library, rows)
        if len(where) == 0:
            continue
        pair, _ = nearest(vectors[where], vectors, min(2, len(library)))
        pair = pair.cpu().numpy()
        itself = pair[:, :1] == where[:, None]
        other = library[np.where(itself[:, 0], pair[:, -1], pair[:, 0])]
        sibling = alike[identity[rows]] > 1
        same = (identity[other] == identity[rows])[sibling]
        same_connections = (points.n_connections[other] == points.n_connections[rows])[sibling]
        true_diameter = np.array([_diameter(points, row) for row in rows.tolist()])
        found |= {
            f"{name}_blocks": float(len(rows)),
            f"{name}_siblings": float(sibling.sum()),
            f"{name}_same_identity": float(same.mean()) if len(same) else 0.0,
            f"{name}_same_connections": float(same_connections.mean()) if len(same) else 0.0,
            f"{name}_atoms_right": float((read[0][where] == points.n_atoms[rows]).mean()),
            f"{name}_connections_right": float((read[1][where] == points.n_connections[rows]).mean()),
            f"{name}_diameter_error": float(np.abs(diameter[where] - true_diameter).mean()),
        }
    scores = [found[key] for key in ("geometry_same_identity", "identity_same_identity") if key in found]
    return {**found, "score": float(np.mean(scores)) if scores else 0.0}


def _diameter(points: BlockPoints, row: int) -> float:
    start = points.first_point[row]
    coords = points.cart_coords[start : start + points.n_points[row]].astype(np.float64)
    return float(np.linalg.norm(coords[:, None] - coords[None], axis=-1).max())
