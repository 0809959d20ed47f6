"""The example that trains an autoencoder, from a store and from a ``.pt``."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner, Result

torch = pytest.importorskip("torch")
pytest.importorskip("matplotlib")

import stemzarr  # noqa: E402 - after what may be missing
from stemzarr.options import ReadOptions  # noqa: E402
from stemzarr.registry import read_source  # noqa: E402
from stemzarr.testing import DMImage, write_dm, write_synthetic_dm4  # noqa: E402
from stemzarr.torch import PatternDataset, Scaling, split_blocks  # noqa: E402
from stemzarr.views import View  # noqa: E402

SCRIPT = Path(__file__).parents[2] / "examples" / "train_autoencoder.py"
SCAN = View(downsample=2, normalize="log1p-zscore")


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Return the script as a module of its own."""
    spec = importlib.util.spec_from_file_location("train_autoencoder", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    # trainings beside each other lose more by waiting for each other than threads gain
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield module
    torch.set_num_threads(threads)
    module.map_file.cache_clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a scan of odd sizes and its store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STEMZARR_LAKE", raising=False)
    write_synthetic_dm4(Path("scan.dm4"), (24, 24), (62, 58))
    stemzarr.ingest("scan.dm4", "scan.zarr")
    return tmp_path


def train(example: ModuleType, *words: str) -> Result:
    """Run the script as a person would."""
    return CliRunner().invoke(example.main, list(words))


def read_losses(folder: Path) -> list[tuple[float, float]]:
    """Return the losses that a run wrote."""
    with (folder / "losses.csv").open(encoding="utf-8") as file:
        return [(float(r["training"]), float(r["validation"])) for r in csv.DictReader(file)]


@pytest.mark.leaves_open  # matplotlib keeps its fonts open
@pytest.mark.parametrize("data", ["scan.zarr", "scan.pt", "scan.dm4"])
def test_it_learns_and_draws_what_it_learned(example: ModuleType, folder: Path, data: str) -> None:
    """Both losses fall below the variance of the data, and the picture has curves and patterns."""
    from PIL import Image

    stemzarr.export("scan.zarr", "scan.pt", view=SCAN)
    result = train(example, data, "--epochs", "6", "--latent", "8", "--output", "out")
    assert result.exit_code == 0, result.output
    losses = read_losses(folder / "out")
    assert len(losses) == 6
    # values are normalised, so that a model that knows nothing has a loss of 1
    assert losses[-1][0] < 0.7 * losses[0][0]
    assert losses[-1][1] < min(0.7, losses[0][1])
    with Image.open(folder / "out" / "training.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100
    weights = torch.load(folder / "out" / "model.pt", weights_only=True)
    model = example.Autoencoder((31, 29), 8)
    model.load_state_dict(weights)
    assert "31 × 29 pixels" in result.output
    kept = Scaling.from_json((folder / "out" / "scaling.json").read_text(encoding="utf-8"))
    training, _ = split_blocks(PatternDataset("scan.zarr", View(downsample=2)), tile=example.TILE)
    fitted = Scaling() if data == "scan.pt" else Scaling.fit(training, "log1p-zscore")
    assert kept == fitted


@pytest.mark.leaves_open
def test_equal_seeds_train_equally(example: ModuleType, folder: Path) -> None:
    """A run can be repeated to the last digit, in worker processes too; another seed differs."""
    words = ("scan.zarr", "--scan-step", "2", "--epochs", "1", "--output", "out")
    runs = []
    for seed, workers in (("3", "0"), ("3", "0"), ("4", "0"), ("3", "1")):
        result = train(example, *words, "--seed", seed, "--workers", workers)
        assert result.exit_code == 0, result.output
        runs.append(read_losses(folder / "out"))
    assert runs[0] == runs[1] == runs[3] != runs[2]


@pytest.mark.parametrize("detector", [(1, 1), (3, 5), (8, 8), (17, 32), (31, 12)])
def test_any_detector_comes_back_in_its_size(
    example: ModuleType, detector: tuple[int, int]
) -> None:
    """The network works for sizes that are no powers of two."""
    patterns = torch.zeros(2, 1, *detector)
    assert example.Autoencoder(detector, 4)(patterns).shape == patterns.shape


def test_a_pt_is_the_same_data_set_as_its_store(example: ModuleType, folder: Path) -> None:
    """Steps count from the scan: what the export has applied is not applied again."""
    plain = View(scan_step=2, dtype="float32")
    stemzarr.export("scan.zarr", folder / "counts.pt", view=plain)
    through_file, normalize = example.open_patterns("counts.pt", None, 2, 2)
    through_file = through_file.scaled(Scaling.fit(through_file, normalize))
    view = View(scan_step=2, downsample=2, normalize="log1p-zscore")
    from_store = PatternDataset(read_source(folder / "scan.zarr"), view)
    everything = range(len(from_store))
    assert through_file.shape == from_store.shape
    np.testing.assert_allclose(
        through_file.fetch(everything), from_store.fetch(everything), rtol=1e-5, atol=1e-5
    )
    axes = [(a.name, a.offset, a.scale, a.units) for a in through_file.documents[0].axes]
    assert axes == [(a.name, a.offset, a.scale, a.units) for a in from_store.documents[0].axes]


def test_a_normalised_pt_is_taken_as_it_is(example: ModuleType, folder: Path) -> None:
    """Without options a tensor is trained on value by value; more scan steps leave some out."""
    stemzarr.export("scan.zarr", folder / "scan.pt", view=SCAN)
    tensor = torch.load("scan.pt", weights_only=True)
    whole, normalize = example.open_patterns("scan.pt", None, None, None)
    assert torch.equal(whole.fetch(range(len(whole))), tensor)
    some, _ = example.open_patterns("scan.pt", None, 3, 2)
    assert normalize == "none"
    expected = tensor.reshape(24, 24, 31, 29)[::3, ::3].reshape(-1, 1, 31, 29)
    assert torch.equal(some.fetch(range(len(some))), expected)


@pytest.mark.leaves_open
def test_a_pt_with_metadata_or_nothing_beside_it_trains(example: ModuleType, folder: Path) -> None:
    """A dict of tensor and metadata, and a bare tensor of another program, are taken too."""
    options = stemzarr.ExportOptions(with_metadata=True)
    stemzarr.export("scan.zarr", folder / "dict.pt", view=SCAN, options=options)
    (folder / "dict.pt.json").unlink()
    bare = torch.load("dict.pt", weights_only=True)["data"].clone()
    torch.save(bare, "bare.pt")
    for name in ("dict.pt", "bare.pt"):
        patterns, _ = example.open_patterns(name, None, None, None)
        assert torch.equal(patterns.fetch(range(len(patterns))), bare)
        assert train(example, name, "--epochs", "1").exit_code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing",), "no such"),
        (("nothing.pt",), "there is no such file"),
        (("text.pt",), "not a tensor that torch can map"),
        (("number.pt",), "holds no patterns"),
        (("bare.pt", "--scan-step", "2"), "needs the sidecar bare.pt.json"),
        (("scan.pt", "--downsample", "3"), "leave the option out, or export it again"),
        (("moved.pt",), "describes a tensor of"),
        (("scan.zarr", "--scan-step", "24"), "too few to keep"),
        (("scan.zarr", "--downsample", "70"), "use a factor of at most"),
        (("nan.pt",), "the loss is not a number"),
    ],
)
def test_what_cannot_be_trained_on_is_told_in_one_line(
    example: ModuleType, folder: Path, words: tuple[str, ...], said: str
) -> None:
    """Every failure says what was found and what to do, without a traceback."""
    stemzarr.export("scan.zarr", folder / "scan.pt", view=SCAN)
    Path("text.pt").write_text("not a tensor", encoding="utf-8")
    torch.save(torch.tensor(1.0), "number.pt")
    torch.save(torch.full((40, 1, 8, 8), float("nan")), "nan.pt")
    for name in ("bare.pt", "moved.pt"):
        torch.save(torch.zeros(40, 1, 8, 8), name)
    sidecar = json.loads(Path("scan.pt.json").read_text(encoding="utf-8"))
    Path("moved.pt.json").write_text(json.dumps(sidecar), encoding="utf-8")
    result = train(example, *words, "--epochs", "1", "--output", "out")
    assert result.exit_code == 1
    assert said in result.output
    assert isinstance(result.exception, SystemExit)
    assert len(result.output.splitlines()[-1]) < 300


def test_a_tensor_of_a_salvaged_scan_trains_on_what_was_recovered(
    example: ModuleType, tmp_path: Path
) -> None:
    """The sidecar says which patterns are there; the others take no part, as from a store."""
    counts = np.random.default_rng(0).poisson(3, (8, 8, 6, 6)).astype(np.uint16)
    path = tmp_path / "cut.dm4"
    write_dm(path, [DMImage(data=counts)], thumbnail=False)
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(counts[0, 0].tobytes()) + 35 * 72])
    salvage = ReadOptions(salvage=True, scan_shape=(8, 8))
    stemzarr.export(path, tmp_path / "cut.pt", read=salvage)
    document, _, _ = example.open_tensor(tmp_path / "cut.pt", None, None)
    patterns = example.PatternDataset(document)
    assert len(patterns) == 35
    np.testing.assert_array_equal(patterns.fetch(range(35))[:, 0], counts.reshape(-1, 6, 6)[:35])
