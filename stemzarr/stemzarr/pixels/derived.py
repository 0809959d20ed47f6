"""What blocks that are made of other blocks have from them."""

from __future__ import annotations

from typing import Any

import numpy as np

from stemzarr.model import Blocks

__all__ = ["DerivedBlocks"]


class DerivedBlocks:
    """Blocks with the shape, the type and the block shape of their base, unless they say others."""

    __slots__ = ()

    base: Blocks
    """The pixels that they are made of."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dims."""
        return self.base.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.base.dtype

    @property
    def block_shape(self) -> tuple[int, ...]:
        """What is read at once."""
        return self.base.block_shape
