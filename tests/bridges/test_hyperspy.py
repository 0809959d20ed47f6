"""HyperSpy is given what the ``.hspy`` file of a scan gives it, and reads no pixel for it."""

from __future__ import annotations

import importlib
import pickle
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import yaml
import zarr

import stemzarr
import stemzarr.accessor
from stemzarr.bridges import rosettasciio
from stemzarr.bridges.hyperspy import to_hyperspy
from stemzarr.errors import EntryNotFoundError, MissingDependencyError
from stemzarr.labelled import to_dataset
from stemzarr.testing.sources import document_of

hs = pytest.importorskip("hyperspy.api")
pytestmark = pytest.mark.usefixtures("lazy_signals_are_closed")
IO_PLUGINS = pytest.importorskip("rsciio").IO_PLUGINS

SHAPES: dict[str, tuple[int, ...]] = {
    "4d-stem": (3, 4, 6, 5),
    "diffraction": (6, 5),
    "image": (6, 5),
    "spectrum-image": (3, 4, 9),
    "spectrum": (9,),
    "profile": (9,),
    "stack": (3, 6, 5),
    "array": (2, 3, 4, 6, 5),
}


def described(signal: Any) -> dict[str, Any]:
    """Return all that a signal says, but for where it came from and what loading adds."""
    metadata = signal.metadata.as_dictionary()
    navigator = metadata["_HyperSpy"].pop("_sig_navigator", None)
    for marker in metadata.get("Markers", {}).values():
        marker["kwargs"] = {k: np.asarray(v).tolist() for k, v in marker["kwargs"].items()}
    for group in (metadata["General"], metadata["stemzarr"]):
        for name in ("FileIO", "provenance", "original_filename"):
            group.pop(name, None)
    return {
        "class": type(signal),
        "axes": [
            (a.name, a.size, a.scale, a.offset, a.units, a.navigate)
            for a in signal.axes_manager._axes
        ],
        "metadata": metadata,
        "original": signal.original_metadata.as_dictionary(),
        "navigator": None if navigator is None else navigator["data"].tolist(),
    }


@pytest.mark.parametrize("document", [None, "survey"])
@pytest.mark.parametrize("name", ["scan.zarr", "scan.dm4"])
@pytest.mark.parametrize("lazy", [True, False])
def test_a_signal_is_that_of_the_file(
    folder: Path, tmp_path: Path, name: str, document: str | None, *, lazy: bool
) -> None:
    """Class, axes, metadata, tags, navigator and values are those of HyperSpy's own loading."""
    stemzarr.export(folder / name, tmp_path / "a.hspy", document=document)
    loaded = hs.load(tmp_path / "a.hspy", lazy=lazy)
    signal = stemzarr.open(folder / name, document=document).stem.to_hyperspy(lazy=lazy)
    assert described(signal) == described(loaded)
    assert signal._lazy == lazy
    np.testing.assert_array_equal(np.asarray(signal.data), np.asarray(loaded.data))
    assert (signal.navigator is None) == (document is not None or name == "scan.dm4")


@pytest.mark.parametrize("name", ["scan.zarr/zarr.json", "scan.dm4", "scan.zarr.zip"])
@pytest.mark.parametrize("lazy", [True, False])
def test_hyperspy_loads_what_stemzarr_reads(
    folder: Path, tmp_path: Path, name: str, *, lazy: bool
) -> None:
    """The plug-in gives all documents, described as in the file that holds all of them."""
    given = folder / name
    if name.endswith(".zip"):
        given = tmp_path / name
        stemzarr.export(folder / "scan.zarr", given)
    stemzarr.export(
        given.parent if given.name == "zarr.json" else given, tmp_path / "a.hspy", document="all"
    )
    loaded = hs.load(tmp_path / "a.hspy", lazy=lazy)
    found = hs.load(given, file_format=rosettasciio, lazy=lazy)
    assert len(found) == len(loaded) == 2
    for signal, expected in zip(found, loaded, strict=True):
        assert described(signal) == described(expected)
        assert signal._lazy == lazy
        np.testing.assert_array_equal(np.asarray(signal.data), np.asarray(expected.data))
    survey = hs.load(given, file_format=rosettasciio, document="survey", signal_type="")
    assert described(survey)["axes"] == described(found[1])["axes"]
    with pytest.raises(EntryNotFoundError, match="nothing"):
        hs.load(given, file_format=rosettasciio, document="nothing")


def test_the_plug_in_has_the_form_of_those_of_rosettasciio() -> None:
    """Its specification has the keys of theirs, and what it says of itself holds."""
    folder = Path(rosettasciio.__file__).parent
    own = yaml.safe_load((folder / "specifications.yaml").read_text("utf-8"))
    theirs = next(plugin for plugin in IO_PLUGINS if plugin["name"] == "ZSPY")
    assert set(own) == set(theirs) - {"api"}
    assert own["writes"] == hasattr(rosettasciio, "file_writer")


@pytest.mark.leaves_open
def test_the_disk_is_drawn_on_the_patterns(folder: Path, tmp_path: Path) -> None:
    """The rim that the store keeps is where the axes say, in copies and parts too; none, no rim."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    scan = stemzarr.open(folder / "scan.zarr")
    disk = scan.stem.document.measured.disk
    signal = scan.stem.to_hyperspy()
    marker = signal.metadata.Markers.central_disk
    centre = [
        float(scan[d][0] + scan[d].scale * disk[c])
        for d, c in (("det_x", "center_x"), ("det_y", "center_y"))
    ]
    np.testing.assert_allclose(marker.kwargs["offsets"], [centre])
    np.testing.assert_allclose(marker.kwargs["widths"], 2 * disk["radius"] * 0.125)
    assert "Markers" not in scan.isel(scan_y=slice(2)).stem.to_hyperspy().metadata
    for shown in (signal, signal.deepcopy(), signal.inav[1:3, 1:4]):
        shown.plot()
        drawn = shown.metadata.Markers.central_disk._collection
        assert drawn in shown._plot.signal_plot.ax.collections
        plt.close("all")
    signal.save(tmp_path / "again.hspy")
    again = hs.load(tmp_path / "again.hspy")
    np.testing.assert_allclose(again.metadata.Markers.central_disk.kwargs["offsets"], [centre])


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("chunks", [None, {}])
def test_every_kind_is_a_signal(kind: Any, chunks: dict[str, int] | None) -> None:
    """Spectra are signals of one dim, images of two; a Dataset may be in dask or not."""
    values = np.random.default_rng(1).poisson(2, SHAPES[kind]).astype(np.uint16)
    dataset = to_dataset(document_of(values, kind))
    if chunks is not None:
        dataset = dataset.chunk(chunks)
    signal = to_hyperspy(dataset)
    assert signal._lazy
    assert signal.axes_manager.signal_dimension == (
        1 if "spectr" in kind or kind == "profile" else 2
    )
    np.testing.assert_array_equal(signal.data.compute(), values)
    for axis in document_of(values, kind).axes:
        assert signal.axes_manager[axis.name].offset == axis.offset


def test_colours_are_fields() -> None:
    """Colour is what HyperSpy shows as colour."""
    values = np.random.default_rng(1).integers(0, 255, (6, 5, 3)).astype(np.uint8)
    dataset = to_dataset(document_of(values, "image", channels=("red", "green", "blue")))
    signal = to_hyperspy(dataset)
    assert signal.data.dtype.names == ("R", "G", "B")
    np.testing.assert_array_equal(signal.data.compute()["G"], values[..., 1])


def test_no_pixel_is_read_before_it_is_asked_for(folder: Path, pixel_reads: list[int]) -> None:
    """Bridging, pickling and plotting the navigator read none; one pattern reads its chunk."""
    signal = stemzarr.open(folder / "scan.zarr").stem.to_hyperspy()
    data = pickle.loads(pickle.dumps(signal.data))
    navigator = signal.navigator.data.copy()
    assert not pixel_reads
    expected = stemzarr.open(folder / "scan.zarr", chunks=None).intensity
    np.testing.assert_array_equal(data[2, 3].compute(), expected[2, 3])
    assert pixel_reads
    preview = zarr.open_array(folder / "scan.zarr/preview/bright_field", mode="r")
    np.testing.assert_array_equal(navigator, preview[...])


@pytest.mark.leaves_open
def test_plotting_sums_no_scan(folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """``plot`` shows the navigator: of a file and of a bridge it computes one chunk alone."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    monkeypatch.setattr("stemzarr.formats.hdf5.writer._CHUNK_BYTES", 3000)
    stemzarr.export(folder / "scan.zarr", tmp_path / "scan.hspy")
    bridged = (
        stemzarr.open(folder / "scan.zarr", chunks=None).chunk({"scan_y": 1}).stem.to_hyperspy()
    )
    shown: list[int] = []
    plain = dask.base.compute

    def watched(*args: Any, **kwargs: Any) -> Any:
        shown.extend(int(each.size) for each in args if hasattr(each, "size"))
        return plain(*args, **kwargs)

    for signal in (hs.load(tmp_path / "scan.hspy", lazy=True), bridged):
        with monkeypatch.context() as patch:
            patch.setattr(signal, "compute_navigator", None)
            patch.setattr("dask.base.compute", watched)
            signal.plot()
        assert 0 < max(shown) <= 6 * 18 * 20
        image = signal._plot.navigator_plot.ax.images[0].get_array()
        np.testing.assert_array_equal(image, signal.navigator.data)
        plt.close("all")


def test_a_selection_and_a_computation_are_signals(folder: Path) -> None:
    """What was selected has its own axes, what was computed its own values; no preview fits."""
    scan = stemzarr.open(folder / "scan.zarr")
    part = scan.isel(scan_y=slice(1, 5, 2), det_x=slice(3, None))
    signal = part.stem.to_hyperspy()
    np.testing.assert_array_equal(signal.data.compute(), part.intensity)
    assert signal.axes_manager["scan_y"].scale == pytest.approx(1.0)
    assert signal.navigator is None
    doubled = scan.assign(intensity=scan.intensity * 2)
    np.testing.assert_array_equal(doubled.stem.to_hyperspy().data[3, 4], doubled.intensity[3, 4])


def test_a_type_without_a_package_says_what_to_install(folder: Path) -> None:
    """An unknown type of signal is refused, and not made a plain signal in silence."""
    with pytest.raises(MissingDependencyError, match="pip install pyxem"):
        stemzarr.open(folder / "scan.zarr").stem.to_hyperspy("electron_diffraction")


@pytest.mark.parametrize(
    ("method", "module", "install"),
    [
        ("to_hyperspy", "hyperspy", r"stemzarr\[hyperspy\]"),
        ("to_torch", "torch", r"stemzarr\[torch\]"),
        ("to_libertem", "libertem", "pip install libertem"),
        ("to_py4dstem", "py4DSTEM", r"\.stem\.export\('scan\.emd'\)"),
    ],
)
def test_a_missing_program_says_what_to_install(
    folder: Path, monkeypatch: Any, method: str, module: str, install: str
) -> None:
    """Every bridge names the line that installs its program."""
    plain = importlib.import_module

    def without(name: str, *args: Any) -> Any:
        if name.partition(".")[0] == module:
            raise ModuleNotFoundError(f"No module named {module!r}")
        return plain(name, *args)

    scan = stemzarr.open(folder / "scan.zarr")
    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(MissingDependencyError, match=install):
        getattr(scan.stem, method)()
