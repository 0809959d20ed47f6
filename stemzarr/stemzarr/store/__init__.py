"""Stores: a source to Zarr v3 and back."""
