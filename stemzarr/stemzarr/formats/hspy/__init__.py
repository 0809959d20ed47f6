"""HyperSpy's HDF5 files."""
