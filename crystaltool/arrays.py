"""Shape annotations: `Float[np.ndarray, "n_atoms 3"]`, checked in tests by jaxtyping's import hook.

A GPU host that only trains may lack jaxtyping; there the annotations fall back to the bare array type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["Bool", "Float", "Int"]

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
else:
    try:
        from jaxtyping import Bool, Float, Int
    except ImportError:  # a training host with torch, numpy and h5py alone

        class _Bare:
            """`Bare[array_type, "shape"]` is `array_type`."""

            def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
                return item[0]

        Bool = Float = Int = _Bare
