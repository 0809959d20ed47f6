"""napari finds the reader by its manifest, and its layers are where the axes say."""

from __future__ import annotations

from environment import check_in

CHECK = """
import napari, npe2
from napari.components import ViewerModel
manager = npe2.PluginManager.instance()
manager.discover()
assert "stemzarr" in manager._manifests
viewer = ViewerModel()
image, patterns = viewer.open("scan.zarr", plugin="stemzarr")
assert np.array_equal(np.asarray(patterns.data), values)
assert np.allclose(patterns.scale, (0.5, 0.5, 0.125, 0.125))
assert np.allclose(patterns.translate, (0, 0, -1.125, -1.125))
assert patterns.axis_labels == ("scan_y", "scan_x", "det_y", "det_x")
assert np.allclose(image.extent.world[:, :2], patterns.extent.world[:, :2])
assert patterns.metadata["beam_energy_keV"] == 300
print("napari", napari.__version__, "npe2", npe2.__version__)
"""

if __name__ == "__main__":
    check_in(["napari"], CHECK, beside=True)
