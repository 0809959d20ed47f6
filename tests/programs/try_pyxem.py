"""pyxem and kikuchipy open a ``.hspy``, and find beam energy, camera length and calibration."""

from __future__ import annotations

from environment import check_in

CHECK = """
import hyperspy, hyperspy.api as hs, kikuchipy, pyxem
signal = hs.load("scan.hspy", lazy=True)
assert signal.navigator.data.shape == (7, 6)
signal.set_signal_type("electron_diffraction")
assert type(signal).__name__ == "LazyElectronDiffraction2D"
assert np.array_equal(signal.data.compute(), values)
assert (signal.beam_energy, signal.camera_length, signal.unit) == (300, 115, "1/nm")
assert signal.calibration.beam_energy == 300
assert np.allclose(signal.calibration.scale, 0.125)
assert np.allclose(signal.metadata.Markers.central_disk.kwargs["widths"], 2 * 1.75 * 0.125)
patterns = hs.load("scan.hspy")
patterns.set_signal_type("EBSD")
assert isinstance(patterns, kikuchipy.signals.EBSD)
assert patterns.detector.shape == (18, 20)
print("pyxem", pyxem.__version__, "kikuchipy", kikuchipy.__version__)
print("hyperspy", hyperspy.__version__)
"""

if __name__ == "__main__":
    check_in(["pyxem", "kikuchipy"], CHECK)
