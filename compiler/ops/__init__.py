"""The table of primitive operations."""

from __future__ import annotations

from ..ir.builder import Builder
from ..ir.op import Op
from .bands import BANDS
from .folds import FOLDS
from .leaves import LEAVES
from .maps import MAPS
from .moments import MOMENTS
from .pools import POOLS
from .products import PRODUCTS
from .rules import RULES as RULES
from .scans import SCANS
from .views import VIEWS
from .windows import WINDOWS
from .winners import WINNERS

OPS: dict[str, Op] = {
    **LEAVES,
    **MAPS,
    **VIEWS,
    **BANDS,
    **FOLDS,
    **PRODUCTS,
    **WINDOWS,
    **POOLS,
    **WINNERS,
    **MOMENTS,
    **SCANS,
}


def new_builder() -> Builder:
    """An empty builder over all ops, with all simplifications."""
    return Builder(OPS, RULES)
