"""Data: one file a kind of source, then splitting, normalising and batching for all of them."""

from __future__ import annotations

from .batches import Batches
from .dataset import Dataset, Passes, load

__all__ = ["Batches", "Dataset", "Passes", "load"]
