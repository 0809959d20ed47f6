"""Centre of mass and DPC beside LiberTEM and py4DSTEM, on one scan of a field that is known.

``python benchmarks/peers_deflection.py --peers-python PATH``, where LiberTEM and py4DSTEM are
installed for the Python at PATH, which may be another environment. Prints the largest difference
of centres of mass in pixels, and the rotations that are found in degrees: LiberTEM searches in
steps of 1 degree, and py4DSTEM's rotation has the opposite sign and no sign of the field.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from measuring import run_process
from numpy.typing import NDArray

ANGLES = (-37.0, 0.0, 21.0, 80.0)


def scan_of(angle: float) -> NDArray[np.uint16]:
    """Return counts of a disk that atoms deflect, seen on a detector rotated by an angle."""
    y, x = np.indices((40, 42)).astype(float)
    potential = sum(
        np.exp(-((y - a) ** 2 + (x - b) ** 2) / 12) for a in (8, 20, 33) for b in (7, 21, 34)
    )
    down, right = (12 * part for part in np.gradient(potential))
    cosine, sine = np.cos(np.deg2rad(-angle)), np.sin(np.deg2rad(-angle))
    seen = (cosine * down + sine * right, cosine * right - sine * down)
    rows, columns = np.indices((32, 32))
    far = np.hypot(
        rows - 15.5 - seen[0][..., np.newaxis, np.newaxis],
        columns - 15.5 - seen[1][..., np.newaxis, np.newaxis],
    )
    rate = 200 * np.clip(6.5 - far, 0, 1) + 0.05
    return np.random.default_rng(0).poisson(rate).astype(np.uint16)


def run_peers(path: Path) -> dict[str, Any]:
    """Return what the two programs find in a scan; runs in their environment."""
    values = np.load(path)
    com: Any = importlib.import_module("libertem.udf.com")
    api: Any = importlib.import_module("libertem.api")
    with api.Context.make_with("inline") as context:
        dataset = context.load("memory", data=values, sig_dims=2)
        params = com.CoMUDF.with_params(cy=0.0, cx=0.0)
        raw = context.run_udf(dataset=dataset, udf=params)["raw_com"].data
    guess = com.guess_corrections(raw[..., 0], raw[..., 1])
    py4dstem: Any = importlib.import_module("py4DSTEM")
    cube = py4dstem.DataCube(values.astype(np.float32))
    cube.calibration.set_R_pixel_size(1.0)
    cube.calibration.set_Q_pixel_size(1.0)
    with contextlib.redirect_stdout(sys.stderr):
        dpc = py4dstem.process.phase.DPC(datacube=cube, energy=200e3, verbose=False)
        dpc.preprocess(plot_center_of_mass=False, plot_rotation=False, fit_function="constant")
    return {
        "libertem": raw.tolist(),
        "libertem_rotation": [guess.scan_rotation, guess.flip_y],
        "py4dstem": np.stack([dpc._com_measured_x, dpc._com_measured_y], axis=-1).tolist(),  # noqa: SLF001 - it gives them in no other way
        "py4dstem_rotation": float(np.rad2deg(dpc._rotation_best_rad)),  # noqa: SLF001 - nor that
    }


def compare(angle: float, peers: str) -> tuple[float, ...]:
    """Return differences of centres of mass in pixels, and the rotations that were found."""
    from stemzarr.testing.sources import document_of
    from stemzarr.views.deflection import center_of_mass, find_correction

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.npy"
        values = scan_of(angle)
        np.save(path, values)
        run = run_process([peers, __file__, "--job", path])
        found = json.loads(run.output.splitlines()[-1])
    document = document_of(values)
    scales = [axis.scale for axis in document.axes[2:]]
    origin = tuple(axis.offset for axis in document.axes[2:])
    ours = center_of_mass(document, center=(origin[0], origin[1]))
    pair = [ours[name].to_numpy() / s for name, s in zip(("com_y", "com_x"), scales, strict=True)]
    stacked = np.stack(pair, axis=-1)
    theirs = [np.asarray(found[name]) for name in ("libertem", "py4dstem")]
    correction = find_correction((pair[0], pair[1]))
    rotation, flip = found["libertem_rotation"]
    assert flip == correction.flip
    return (
        *(float(np.abs(other - stacked).max()) for other in theirs),
        correction.rotation,
        rotation,
        found["py4dstem_rotation"],
    )


def main() -> None:
    """Compare the three programs on scans rotated by several angles."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers-python", default=sys.executable, metavar="PATH")
    parser.add_argument("--job", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        print(json.dumps(run_peers(options.job)))
        return
    for angle in ANGLES:
        libertem, py4dstem, *rotations = compare(angle, options.peers_python)
        print(
            f"planted {angle:g}: CoM off LiberTEM's by {libertem:.2g}, py4DSTEM's by {py4dstem:.2g}"
            " pixels; rotation {:.2f}, LiberTEM {:g}, py4DSTEM {:g}".format(*rotations)
        )


if __name__ == "__main__":
    main()
