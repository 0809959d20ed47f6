"""Zarr folders of others, and stores as an export."""
