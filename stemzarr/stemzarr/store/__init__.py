"""Stores: a source to Zarr v3 and back."""

from __future__ import annotations

from stemzarr.store.open import read_record, read_store
from stemzarr.store.plan import StorePlan, plan_store
from stemzarr.store.write import StoreResult, write_store

__all__ = [
    "StorePlan",
    "StoreResult",
    "plan_store",
    "read_record",
    "read_store",
    "write_store",
]
