"""What replaces the old scripts does what they did: every row of the pages is run and compared."""

from __future__ import annotations

import argparse
import re
import runpy
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
from click.testing import CliRunner
from numpy.typing import NDArray
from rsciio.hspy import file_reader

import stemzarr
from stemzarr.testing import write_synthetic_dm4
from stemzarr.testing.scans import synthetic_scan
from stemzarr_cli.program import run

torch = pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "old-scripts.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECTION = README.partition("## From the old scripts\n")[2].partition("\n## ")[0]
SHAPES = {"train.py": ((32, 32), (32, 32)), "train_hyperspy.py": ((32, 32), (32, 32))}
OTHERS = ((7, 10), (26, 31))


def read_rows(text: str) -> list[tuple[str, ...]]:
    """Return the cells of every row of every table, without heads and rules."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    return [row for row in rows if row[0] != "before" and not row[0].startswith("---")]


ROWS = list({row[:2]: row for row in (*read_rows(PAGE), *read_rows(SECTION))}.values())
"""The rows of both pages; one that is in both is run once."""


def read_options(words: list[str]) -> argparse.Namespace:
    """Read what was typed for an old script; an option that it never had is an error."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--input")
    parser.add_argument("--output")
    parser.add_argument("--data")
    parser.add_argument("--downsample", type=int, default=1)
    parser.add_argument("--mode", choices=["bin", "stride", "gauss", "fft"], default="bin")
    parser.add_argument("--sigma", type=float, default=0.8)
    parser.add_argument("--scan_step", type=int, default=1)
    parser.add_argument("--dtype", choices=["float32", "float16"], default="float32")
    parser.add_argument("--chunk_size", type=int)
    parser.add_argument("--memory_efficient", action="store_true")
    return parser.parse_args(words)


def reduce_detector(cube: NDArray[Any], k: int, mode: str, sigma: float) -> NDArray[Any]:
    """Return patterns (…, det_y // k, det_x // k) as the old script meant to reduce them."""
    if k == 1:
        return cube
    det_y, det_x = (size // k for size in cube.shape[-2:])
    if mode == "bin":
        whole = cube[..., : det_y * k, : det_x * k]
        return whole.reshape(*cube.shape[:2], det_y, k, det_x, k).mean(axis=(3, 5))
    if mode == "fft":
        return scipy.signal.resample(scipy.signal.resample(cube, det_y, axis=-2), det_x, axis=-1)
    if mode == "gauss":
        cube = scipy.ndimage.gaussian_filter(cube, (0, 0, sigma, sigma), mode="reflect")
    return cube[..., ::k, ::k][..., :det_y, :det_x]


def preprocess(cube: NDArray[Any], options: argparse.Namespace) -> NDArray[Any]:
    """Return the tensor that ``preprocess.py`` meant to write, in float64."""
    kept = cube[:: options.scan_step, :: options.scan_step].astype(np.float64)
    small = reduce_detector(kept, options.downsample, options.mode, options.sigma)
    logs = np.log(np.maximum(small, 0) + 1)
    scaled = (logs - logs.mean()) / logs.std()
    return scaled.reshape(-1, 1, *scaled.shape[-2:])


def check_hspy(cube: NDArray[Any], options: argparse.Namespace) -> None:
    """Compare the signal with the scan; it has chunks of whole patterns, and all metadata."""
    with h5py.File(options.output) as file:
        (group,) = file["Experiments"].values()
        data = group["data"]
        np.testing.assert_array_equal(data[...], cube)
        assert data.compression is not None
        assert data.chunks[2:] == cube.shape[2:]
        assert group["axis-3"].attrs["units"] == "1/nm"
    (signal,) = file_reader(options.output)
    images = signal["original_metadata"]["ImageList"]
    assert 300e3 in [
        image["ImageTags"].get("Microscope Info", {}).get("Voltage") for image in images
    ]
    assert signal["metadata"]["Acquisition_instrument"]["TEM"]["beam_energy"] == 300


def check_preprocessed(cube: NDArray[Any], options: argparse.Namespace) -> None:
    """Compare a bare tensor, of the type that was asked for, with the values of the script."""
    tensor = torch.load(options.output, weights_only=True)
    assert tensor.dtype == getattr(torch, options.dtype)
    tolerance = 2e-3 if options.dtype == "float16" else 2e-4
    expected = preprocess(cube, options)
    np.testing.assert_allclose(tensor.numpy(), expected, rtol=tolerance, atol=tolerance)


def check_converted(cube: NDArray[Any], options: argparse.Namespace) -> None:
    """Compare a tensor of logarithms with those that the script scaled to 0 … 1."""
    tensor = torch.load(options.output, weights_only=True).numpy()
    logs = np.log(cube.astype(np.float64) + 1)
    before = (logs - logs.min()) / (logs.max() - logs.min())
    now = tensor / np.log(cube.max() + 1.0)
    np.testing.assert_allclose(now, before.reshape(tensor.shape), rtol=1e-5, atol=1e-6)


def check_trained(cube: NDArray[Any], options: argparse.Namespace) -> None:
    """Look whether it trained on patterns as many and as large as asked for, and drew them."""
    assert Path("autoencoder/training.png").stat().st_size > 10_000
    sizes = [n // options.downsample for n in cube.shape[-2:]]
    positions = [-(-n // options.scan_step) for n in cube.shape[:2]]
    said = Path("said").read_text(encoding="utf-8")
    assert f"{np.prod(positions)} patterns of {sizes[0]} × {sizes[1]} pixels" in said


CHECKS: dict[str, Callable[[NDArray[Any], argparse.Namespace], None]] = {
    "convert_dm4_to_hspy.py": check_hspy,
    "preprocess.py": check_preprocessed,
    "convert_dm4.py": check_converted,
    "train.py": check_trained,
    "train_hyperspy.py": check_trained,
}


def run_now(command: str) -> None:
    """Run a new command as it is written; a training is cut short to one epoch."""
    program, *words = shlex.split(command)
    if program == "stemzarr":
        assert run([*words, "--quiet"]) == 0
        return
    assert program == "python"
    pytest.importorskip("matplotlib")
    # two trainings beside each other lose more by waiting for each other than threads gain
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    main = runpy.run_path(str(ROOT / words[0]))["main"]
    done = CliRunner().invoke(main, [*words[1:], "--epochs", "1"])
    torch.set_num_threads(threads)
    assert done.exit_code == 0, done.output
    Path("said").write_text(done.output, encoding="utf-8")


def make_input(name: str, shape: tuple[tuple[int, int], tuple[int, int]]) -> NDArray[Any]:
    """Write the file that a row begins with, and return its scan."""
    cube = np.concatenate(list(synthetic_scan(*shape).pieces())).reshape(*shape[0], *shape[1])
    if name == "x.hdf5":
        with h5py.File(name, "w") as file:
            file["data"] = cube
        return cube
    write_synthetic_dm4(Path("x.dm4"), *shape)
    if name != "x.dm4":
        stemzarr.export("x.dm4", name)
    return cube


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, in whose own lake names are looked for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STEMZARR_LAKE", raising=False)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip("`")[:70])
def test_a_row_gives_what_the_old_script_gave(row: tuple[str, ...]) -> None:
    """The command on the right runs, and its result is that of the script on the left."""
    before = re.fullmatch(r"`([^`]+)`", row[0])
    assert before is not None, "the first cell is not one command"
    script, *words = shlex.split(before[1])
    options = read_options(words)
    cube = make_input(options.input or options.data, SHAPES.get(script, OTHERS))
    commands = re.findall(r"`([^`]+)`", row[1])
    assert re.sub(r"`[^`]+`|, then ", "", row[1]) == "", "the second cell is not only commands"
    assert commands
    for command in commands:
        run_now(command)
    CHECKS[script](cube, options)


def test_no_table_is_passed_over() -> None:
    """Every table of the page, and that of the README, has the form that is run."""
    for text, head in ((PAGE, "| before | now | what differs |"), (SECTION, "| before | now |")):
        rules = re.findall(r"^(\|.*\|)\n\|[-|]+\|$", text, re.MULTILINE)
        assert rules
        assert set(rules) == {head}
    scripts = {row[0].strip("`").split()[0] for row in ROWS}
    assert scripts == set(CHECKS)


def test_the_loops_of_the_page_read_the_same_patterns() -> None:
    """The Python of the page runs, and its two ways agree with the old script."""
    cube = make_input("x.hspy", OTHERS)
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    words = "--downsample 2 --scan-step 2 --normalize log1p-zscore"
    run_now(f"stemzarr export x.hspy x.pt {words}")
    names: dict[str, Any] = {}
    exec(compile(block, "old-scripts.md", "exec"), names)  # noqa: S102 - our own page
    expected = preprocess(cube, read_options(["--downsample", "2", "--scan_step", "2"]))
    now = names["now"]
    np.testing.assert_allclose(names["before"], expected, rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(now.fetch(range(len(now))), expected, rtol=2e-4, atol=2e-4)
