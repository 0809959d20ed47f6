"""py4DSTEM opens an ``.emd`` as a DataCube with its calibration and the centre of the patterns."""

from __future__ import annotations

from environment import check_in

CHECK = """
import py4DSTEM
cube = py4DSTEM.read("scan.emd")
assert type(cube).__name__ == "DataCube"
assert np.array_equal(cube.data, values)
found = cube.calibration
assert (found.get_R_pixel_size(), found.get_R_pixel_units()) == (0.5, "nm")
assert np.isclose(found.get_Q_pixel_size(), 0.0125)
assert found.get_Q_pixel_units() == "A^-1"
assert np.allclose(found.get_origin_mean(), (9, 9))
assert np.allclose(found.get_probe_param(), (1.75, 9, 9))
tags = cube.root.metadata["stemzarr"]
assert tags["facts"]["beam_energy_keV"] == 300
cube.median_filter_masked_pixels(tags["all_bad_pixels"])
print("py4DSTEM", py4DSTEM.__version__, "numpy", np.__version__)
"""

if __name__ == "__main__":
    check_in(["py4DSTEM"], CHECK)
