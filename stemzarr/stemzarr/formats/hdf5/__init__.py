"""HDF5 files of any program."""
