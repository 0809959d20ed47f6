"""Every option of `export` and of reading, with every format and kind: it acts, or is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stemzarr
from stemzarr.errors import OptionError, StemzarrError
from stemzarr.labelled import to_dataset
from stemzarr.model import ArrayBlocks, Axis, Document, Source, dims_of_kind
from stemzarr.options import IngestOptions, ReadOptions
from stemzarr.registry import read_source
from stemzarr.store import write_store
from stemzarr.testing import DMImage, write_dm, write_synthetic_dm4
from stemzarr_cli.export import export as command
from stemzarr_cli.program import run

SHAPES = {
    "4d-stem": (6, 8, 12, 10),
    "image": (12, 10),
    "spectrum-image": (6, 8, 30),
    "profile": (30,),
}
REGIONS = {
    "4d-stem": "scan_y=1:4",
    "image": "y=1:5",
    "spectrum-image": "scan_y=1:4",
    "profile": "x=1:5",
}
FORMATS = ("hspy", "pt", "zarr", "emd", "npy", "png", "tif", "blo", "dm")

ACTING: dict[str, list[list[str]]] = {
    "--roi": [["KIND"]],
    "--bad-pixels": [["mask"], ["median"]],
    "--scan-step": [["2"]],
    "--scan-downsample": [["2"]],
    "--downsample": [["3,2"]],
    "--method": [["stride"], ["fft", "--downsample", "2"]],
    "--reduce": [["sum"], ["sum", "--downsample", "2"]],
    "--sigma": [["2"], ["2", "--method", "gauss"]],
    "--clip-negative": [[]],
    "--normalize": [["log1p"], ["log1p-zscore"], ["minmax"]],
    "--dtype": [["float64"]],
    "--image": [["max-diffraction"]],
    "--inner": [["2"]],
    "--outer": [["3"]],
    "--at": [["2,3"], ["2,3", "--image", "likeness"]],
    "--center": [["4,4"], ["4,4", "--outer", "3"], ["2,2", "--image", "com-x"]],
    "--tensor": [["scan"]],
    "--scale-bar": [["--zoom", "16"]],
    "--cmap": [["viridis"]],
    "--zoom": [["3"]],
    "--with-metadata": [[]],
    "--document": [["other"], ["all"], ["nothing"]],
    "--layout": [["scan-fast"]],
    "--scan-shape": [["2,3"]],
    "--dataset": [["a/b"]],
    "--join": [[]],
}
"""Options that say what a file holds, with values that are not their defaults."""
ELSEWHERE = {"--query", "--to", "--format", "--lake", "--json", "--quiet", "--debug", "--overwrite"}
ELSEWHERE |= {"--skip-existing", "--dry-run", "--stamp"}
SPEED = {"--memory", "--threads", "--no-sync", "--salvage"}
"""Options that change no file that is whole."""
NO_CHANGE = {
    ("4d-stem", "png", "--downsample"): "a picture of the sum over the detector",
    ("4d-stem", "tif", "--downsample"): "a picture of the sum over the detector",
    ("4d-stem", "png", "--bad-pixels"): "a picture of the sum over the detector",
    ("4d-stem", "png", "--sigma"): "a picture of the sum over the detector",
    ("4d-stem", "png", "--method"): "a picture of the sum over the detector",
    ("4d-stem", "png", "--reduce"): "a picture of the sum over the detector",
}
"""What need not differ: steps that leave the sum over a detector as it is, up to its scale."""


def document(kind: Any, index: int, slug: str) -> Document:
    """Return a document of a kind, with negative values, bright ones, and a pixel that is stuck."""
    shape = SHAPES[kind]
    values = np.random.default_rng(index).normal(4, 6, shape).astype(np.float32)
    if kind == "4d-stem":
        values[..., 3, 4] = 90
    axes = tuple(
        Axis(name=name, size=size)
        for name, size in zip(dims_of_kind(kind, len(shape)), shape, strict=True)
    )
    return Document(
        index=index, slug=slug, title=slug, kind=kind, axes=axes, blocks=ArrayBlocks(values)
    )


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return what gives a store of a document of a kind, with a second document."""
    folder = tmp_path_factory.mktemp("stores")

    def store(kind: str) -> Path:
        path = folder / f"{kind}.zarr"
        if not path.exists():
            both = (document(kind, 0, "main"), document("image", 1, "other"))
            file = folder / f"{kind}.npy"
            file.touch()
            now = file.stat()
            source = Source(
                path=file,
                format="npy",
                size=now.st_size,
                modified_ns=now.st_mtime_ns,
                documents=both,
                main=0,
            )
            write_store(source, path, IngestOptions(sync=False))
        return path

    return store


def exported(given: Path, folder: Path, suffix: str, words: list[str]) -> object:
    """Return what an export holds, to be compared; None where it is refused."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    dest = folder / f"o.{suffix if suffix != 'dm' else 'dm4'}"
    if run(["export", str(given), str(dest), "--quiet", "--no-sync", *words]):
        assert not dest.exists()
        return None
    if suffix == "pt":
        import torch

        content = torch.load(dest, weights_only=True)
        tensor = content["data"] if isinstance(content, dict) else content
        return type(content), tuple(tensor.shape), str(tensor.dtype), tensor.numpy().tobytes()
    if suffix in ("png", "tif", "dm"):
        return dest.read_bytes()
    source = read_source(dest)
    opened = to_dataset(source.document)
    labels = [opened[name].values.tolist() for name in opened.coords]
    dims, dtype = opened.intensity.dims, str(opened.intensity.dtype)
    return len(source.documents), dims, dtype, opened.intensity.values.tobytes(), labels


def test_every_option_of_export_is_tried_here() -> None:
    """An option that is added to the command has a place in this module."""
    options = {name for param in command.params for name in param.opts if name.startswith("--")}
    assert options == {*ACTING, *ELSEWHERE, *SPEED}


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("kind", SHAPES)
def test_an_option_changes_the_file_or_is_refused(
    tmp_path: Path, stores: Callable[[str], Path], kind: str, suffix: str
) -> None:
    """Nothing that shapes a file is dropped in silence."""
    if suffix == "pt":
        pytest.importorskip("torch")
    source, folder = stores(kind), tmp_path / "out"
    plain = exported(source, folder, suffix, [])
    silent = []
    for option, values in ACTING.items():
        for value in values:
            if (kind, suffix, option) in NO_CHANGE:
                continue
            words = [option, *(REGIONS[kind] if word == "KIND" else word for word in value)]
            found = exported(source, folder, suffix, words)
            if plain is not None and found == plain:
                silent.append(" ".join(words))
    noted = ["--tensor scan"] if suffix == "pt" and kind != "4d-stem" else []
    assert silent == noted


def test_a_tensor_form_without_a_scan_is_noted(
    tmp_path: Path, stores: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The one option that cannot act on other kinds says so."""
    pytest.importorskip("torch")
    assert run(["export", str(stores("image")), str(tmp_path / "o.pt"), "--tensor", "scan"]) == 0
    assert "is not a 4D scan" in capsys.readouterr().err


READ: list[dict[str, Any]] = [
    {"layout": "scan-fast"},
    {"scan_shape": (2, 3)},
    {"dataset": "a/b"},
]


@pytest.mark.parametrize("options", READ, ids=str)
@pytest.mark.parametrize("made", ["scan.dm4", "image.dm4", "4d.npy", "image.npy", "line.npy"])
@pytest.mark.parametrize("suffix", ["", ".hspy", ".emd", ".zarr"])
def test_an_option_of_reading_acts_or_is_named(
    tmp_path: Path, made: str, suffix: str, options: dict[str, Any]
) -> None:
    """It changes what is found, is refused, or a note says that it changes nothing."""
    path = tmp_path / made
    if made == "scan.dm4":
        write_synthetic_dm4(path, (6, 8), (16, 16))
    elif made == "image.dm4":
        write_dm(path, [DMImage(data=np.zeros((8, 9), np.uint16))])
    else:
        np.save(path, np.zeros({"4d.npy": (6, 8, 5, 4), "image.npy": (8, 9)}.get(made, (7,))))
    if suffix:
        export = tmp_path / f"export{suffix}"
        stemzarr.export(path, export)
        path = export
    plain = stemzarr.info(path)
    try:
        found = stemzarr.info(path, ReadOptions(**options))
    except StemzarrError:
        return
    assert suffix != ".zarr"
    said = set(found["notes"]) - set(plain["notes"])
    shapes = [(one["shape"], one["layout"], one["notes"]) for one in plain["documents"]]
    now = [(one["shape"], one["layout"], one["notes"]) for one in found["documents"]]
    assert shapes != now or any("changes nothing" in note for note in said)


def test_a_store_takes_no_option_of_reading(stores: Callable[[str], Path]) -> None:
    """`open`, `info` and the engine of xarray refuse what was settled at the ingest."""
    import xarray as xr

    store, options = stores("4d-stem"), ReadOptions(layout="scan-fast")
    for refused in (
        lambda: stemzarr.open(store, options=options),
        lambda: stemzarr.info(store, options),
        lambda: stemzarr.render(store, stemzarr.View(scan_step=2), options=options),
        lambda: xr.open_dataset(store, engine="stemzarr", scan_shape=(2, 3)),
    ):
        with pytest.raises(OptionError, match="fixed when it was ingested"):
            refused()


@pytest.mark.parametrize("value", [{"codec": "lz4"}, {"workers": 2}, {"scheduler": "tcp://x:1"}])
def test_a_virtual_entry_takes_no_option_of_pixels(value: dict[str, Any]) -> None:
    """There are no pixels to compress, and no work to share."""
    with pytest.raises(OptionError, match="holds no pixels"):
        IngestOptions(virtual=True, **value)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Return a lake of one scan."""
    write_synthetic_dm4(tmp_path / "scan.dm4", (3, 4), (16, 16))
    lake = tmp_path / "lake"
    assert run(["ingest", str(tmp_path / "scan.dm4"), "--lake", str(lake), "--quiet"]) == 0
    return lake


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["calibrate", "scan", "magnification=2", "magnification=3"], "is given as 2 and as 3"),
        (["ingest", "SCAN", "--name", "b", "--set", "title=a", "--set", "title=b"], "is given as"),
        (["tag", "scan", "--set", "a=1", "--set", "a=2"], "is given as 1 and as 2"),
        (["tag", "scan", "--set", "a=1", "--unset", "a"], "cannot be both added and removed"),
        (["tag", "scan", "--add", "x", "--remove", "x"], "cannot be both added and removed"),
        (["ls", "--facet", "kind", "--sort", "kind"], "--sort is for lists of entries"),
        (["ls", "--sessions", "--sort", "kind"], "--sort is for lists of entries"),
        (["ls", "--facet", "kind", "--sessions"], "exclude each other"),
        (["info", "scan", "--layout", "scan-fast"], "fixed when it was ingested"),
        (["verify", "--originals", "--source", "SCAN"], "finds the sources itself"),
        (["export", "scan", "o.npy", "--query", "kind=4d-stem"], "needs SOURCE and DEST"),
        (["export", "scan", "o.npy", "--to", "folder"], "needs SOURCE and DEST"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_contradictions_are_refused(
    lake: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    """Of two words that cannot both hold, none is left out."""
    source = str(lake.with_name("scan.dm4"))
    given = [source if word == "SCAN" else word for word in words]
    assert run([*given, "--lake", str(lake)]) in (1, 2)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--facet", "kind"], ["--sessions"], []], ids=str)
def test_a_limit_holds_for_all_that_is_listed(
    lake: Path, say: Callable[..., list[dict[str, Any]]], words: list[str]
) -> None:
    """Entries, values and sessions are listed up to it."""
    assert len(say("ls", *words, "--lake", lake)) == 1
    assert say("ls", *words, "--limit", "0", "--lake", lake) == []


def test_a_picture_goes_to_the_largest_value_with_minmax(tmp_path: Path) -> None:
    """Else the brightest 0.1 % are white; a type of values is refused."""
    values = np.zeros((50, 50), np.float32)
    values[0, 0], values[1] = 1000.0, 10.0
    np.save(tmp_path / "i.npy", values)
    iio = pytest.importorskip("imageio.v3")
    for words, second in (([], 255), (["--normalize", "minmax"], round(255 * 10 / 1000))):
        dest = tmp_path / f"{len(words)}.png"
        assert run(["export", str(tmp_path / "i.npy"), str(dest), *words]) == 0
        picture = iio.imread(dest)
        assert picture[0, 0] == 255
        assert abs(int(picture[1, 5]) - second) <= 1
    assert run(["export", str(tmp_path / "i.npy"), str(tmp_path / "d.png"), "--dtype", "f8"]) == 2
