"""The accessor ``.stem`` of xarray Datasets."""
