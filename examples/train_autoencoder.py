"""Train a small convolutional autoencoder on diffraction patterns.

    python examples/train_autoencoder.py scan --downsample 2 --scan-step 2
    python examples/train_autoencoder.py scan.pt

The patterns come straight from a store (its path, or its name in a lake), from any file that
stemzarr reads, or from a ``.pt`` that ``stemzarr export`` wrote. Both ways end in the same
`PatternDataset`, so that split, loader and training are the same.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import itertools
import json
import math
import pickle
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress

from stemzarr import View
from stemzarr.errors import (
    CorruptFileError,
    MissingDependencyError,
    OptionError,
    SourceNotFoundError,
    StemzarrError,
    UnsupportedDataError,
)
from stemzarr.model import Axis, Document
from stemzarr_cli.places import find_source

try:
    import torch
    from torch import nn
except ImportError as missing:
    hint = "it needs PyTorch, which is not installed (pip install 'stemzarr[torch]')"
    raise SystemExit(hint) from missing

from stemzarr.torch import PatternDataset, Scaling, make_loader, split_blocks

PAIRS = 6
"""Patterns of the picture."""
SCAN_DIMS = ("scan_y", "scan_x", "det_y", "det_x")
TILE = 8
"""Scan positions along a tile that goes to validation as a whole."""


class Autoencoder(nn.Module):
    """Halves a pattern three times, keeps `latent` numbers of it, and draws it again from these.

    Parameters
    ----------
    detector
        Pixels (det_y, det_x) of a pattern; any numbers.
    latent
        Numbers that a pattern becomes.
    """

    def __init__(self, detector: tuple[int, int], latent: int) -> None:
        super().__init__()
        channels = (1, 8, 16, 32)
        # a convolution of stride 2 rounds up, so the way back has to know every size on the way
        sizes = [detector]
        for _ in channels[1:]:
            sizes.append(tuple((n + 1) // 2 for n in sizes[-1]))
        flat = channels[-1] * math.prod(sizes[-1])
        down: list[nn.Module] = []
        for before, after in itertools.pairwise(channels):
            down += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.SiLU()]
        self.encode = nn.Sequential(*down, nn.Flatten(), nn.Linear(flat, latent))
        up: list[nn.Module] = [nn.Linear(latent, flat), nn.Unflatten(1, (-1, *sizes[-1]))]
        backwards = zip(channels[::-1], channels[-2::-1], sizes[-2::-1], strict=False)
        for before, after, size in backwards:
            convolution = nn.Conv2d(before, after, 3, padding=1)
            up += [nn.SiLU(), nn.Upsample(size=size), convolution]
        self.decode = nn.Sequential(*up)

    def forward(self, patterns: torch.Tensor) -> torch.Tensor:
        """Return patterns (batch, 1, det_y, det_x) as they are drawn from their few numbers."""
        drawn: torch.Tensor = self.decode(self.encode(patterns))
        return drawn


@functools.lru_cache(maxsize=1)
def map_file(path: Path) -> Any:  # noqa: ANN401 - a tensor, or a dict with it
    """Map what a ``.pt`` holds from the disk; nothing is loaded, and nothing of it is run.

    Raises
    ------
    SourceNotFoundError, CorruptFileError
        There is no such file, or it is none that torch can map.
    """
    try:
        return torch.load(path, mmap=True, weights_only=True)
    except FileNotFoundError:
        raise SourceNotFoundError("there is no such file", path=path) from None
    except (RuntimeError, OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
        msg = "is not a tensor that torch can map"
        hint = "write it with: stemzarr export scan scan.pt"
        raise CorruptFileError(msg, path=path, hint=hint) from error


def map_tensor(path: Path) -> torch.Tensor:
    """Map the patterns of a ``.pt`` from the disk.

    Raises
    ------
    UnsupportedDataError
        It holds no patterns.
    """
    content = map_file(path)
    tensor = content.get("data") if isinstance(content, dict) else content
    if not isinstance(tensor, torch.Tensor) or tensor.ndim not in (3, 4) or 0 in tensor.shape:
        msg = "holds no patterns, which are a tensor (N, 1, det_y, det_x)"
        raise UnsupportedDataError(msg, path=path, hint="stemzarr export scan scan.pt")
    return tensor


def read_description(path: Path) -> dict[str, Any]:
    """Return what the sidecar of a ``.pt`` says of it, nothing where it has none.

    Raises
    ------
    CorruptFileError
        The sidecar describes another tensor.
    """
    content, sidecar = map_file(path), path.with_name(f"{path.name}.json")
    described: dict[str, Any] = content.get("metadata", {}) if isinstance(content, dict) else {}
    if sidecar.exists():
        described = json.loads(sidecar.read_text(encoding="utf-8"))
    shape = list(map_tensor(path).shape)
    if described and described.get("shape") != shape:
        msg = f"describes a tensor of {described.get('shape')}, its file has {shape}"
        raise CorruptFileError(msg, path=sidecar, hint="export both again")
    return described


@dataclass(frozen=True, kw_only=True)
class TensorBlocks:
    """The patterns of a ``.pt`` as stemzarr's views take them; every process maps it for itself."""

    path: Path
    """The file."""
    shape: tuple[int, ...]
    """(scan_y, scan_x, det_y, det_x)."""
    dtype: np.dtype[Any]
    """Type of the values."""

    @property
    def block_shape(self) -> tuple[int, ...]:
        """One row of the scan."""
        return (1, *self.shape[1:])

    def read_into(self, out: np.ndarray[Any, Any], start: Sequence[int]) -> None:
        """Copy the box at `start` into `out`."""
        box = tuple(slice(a, a + n) for a, n in zip(start, out.shape, strict=True))
        out[...] = map_tensor(self.path).reshape(self.shape)[box].numpy()


def open_tensor(
    path: Path, scan_step: int | None, downsample: int | None
) -> tuple[Document, View, str]:
    """Return the patterns of a ``.pt``, what is left to do with them, and what was done already.

    Steps and factors are counted from the scan, whatever the export has applied of them. A file
    without a sidecar is taken as unreduced, its floats as normalised.
    """
    tensor, described = map_tensor(path), read_description(path)
    applied = [step["view"] for step in described.get("views", [])]
    step, factor = (
        wanted and _left(option, wanted, [view[field] for view in applied], path)
        for option, wanted, field in (
            ("--scan-step", scan_step, "scan_step"),
            ("--downsample", downsample, "downsample"),
        )
    )
    axes = _axes(tensor, described)
    if axes is None:
        if step not in (None, 1):
            msg = "nothing says which of its patterns are neighbours in the scan"
            hint = f"--scan-step needs the sidecar {path.name}.json"
            raise OptionError(msg, path=path, hint=hint)
        axes = _plain_axes((len(tensor), 1, *tensor.shape[-2:]))
    if described:
        normalized = any(view["normalize"] != "none" for view in applied)
        words = [step["in_words"] for step in described.get("views", [])]
        done = "; ".join(words) or "exported as the scan is"
    else:
        normalized = tensor.is_floating_point()
        done = f"no {path.name}.json says what was done with it; "
        done += "floats are taken as normalised" if normalized else "taken as counts"
    shape = tuple(axis.size for axis in axes)
    blocks = TensorBlocks(path=path, shape=shape, dtype=tensor[:0].numpy().dtype)
    document = Document(
        index=0,
        slug="tensor",
        title=path.stem,
        kind="4d-stem",
        axes=axes,
        blocks=blocks,
        valid=_valid(described, shape[:2]),
    )
    normalize: Any = "none" if normalized else "log1p-zscore"
    return document, View(scan_step=step or 1, downsample=factor or 1, normalize=normalize), done


def _valid(described: dict[str, Any], scan: tuple[int, ...]) -> np.ndarray[Any, Any] | None:
    """Return which patterns of a scan were recovered, None where all are there."""
    if "valid" not in described:
        return None
    mask = np.zeros(scan, bool)
    for first, end in described["valid"]:
        mask.reshape(-1)[first:end] = True
    return mask


def _axes(tensor: torch.Tensor, described: dict[str, Any]) -> tuple[Axis, ...] | None:
    """Return the axes of the scan that a tensor is of, None where nothing tells its scan."""
    if described.get("kind") == "4d-stem":
        known = described["coordinates"].items()
        return tuple(Axis(name=name, **axis) for name, axis in known)
    if tensor.ndim == len(SCAN_DIMS) and tensor.shape[1] > 1:
        return _plain_axes(tensor.shape)
    return None


def _plain_axes(shape: Sequence[int]) -> tuple[Axis, ...]:
    return tuple(Axis(name=name, size=size) for name, size in zip(SCAN_DIMS, shape, strict=True))


def _left(option: str, wanted: int, applied: Sequence[Any], path: Path) -> int:
    """Return what is left of a step or factor when some of it was applied before."""
    for factor in applied:
        if not isinstance(factor, int) or wanted % factor:
            msg = f"was exported with {option} {factor}, of which {wanted} is not a multiple"
            raise OptionError(msg, path=path, hint="leave the option out, or export it again")
        wanted //= factor
    return wanted


def open_patterns(
    data: str, lake: Path | None, scan_step: int | None, downsample: int | None
) -> tuple[PatternDataset, Any]:
    """Return the patterns of a store, file, name or ``.pt``, and how to normalise a part of them.

    What is applied is printed.
    """
    source: Any
    path = Path(data).expanduser()
    if path.suffix in (".pt", ".pth"):
        document, view, done = open_tensor(path, scan_step, downsample)
        click.echo(f"{data}: {done}")
        source = document
    else:
        view = View(scan_step=scan_step or 1, downsample=downsample or 2, normalize="log1p-zscore")
        source = find_source(data, lake).path
    patterns = PatternDataset(source, dataclasses.replace(view, normalize="none"))
    count, _, det_y, det_x = patterns.shape
    click.echo(f"applied now: {view.describe()}")
    click.echo(f"{count} patterns of {det_y} × {det_x} pixels")
    return patterns, view.normalize


def run_epoch(
    model: Autoencoder,
    batches: Iterator[torch.Tensor],
    optimizer: torch.optim.Optimizer | None = None,
) -> float:
    """Return the mean squared error of an epoch; the model learns where an optimizer is given."""
    device = next(model.parameters()).device
    total, count = 0.0, 0
    model.train(optimizer is not None)
    with torch.set_grad_enabled(optimizer is not None):
        for batch in batches:
            patterns = batch.to(device)
            loss = nn.functional.mse_loss(model(patterns), patterns)
            if optimizer is not None:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            total += loss.item() * len(batch)
            count += len(batch)
    if not math.isfinite(total):
        msg = "the loss is not a number any more"
        raise UnsupportedDataError(msg, hint="are there values in the data that are not finite?")
    return total / count


def train(model: Autoencoder, loaders: tuple[Any, Any], epochs: int) -> list[tuple[float, float]]:
    """Return the loss in training and in validation of every epoch, and print them."""
    training, validation = loaders
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses = []
    with Progress(console=Console(soft_wrap=True)) as progress:
        bar = progress.add_task("training", total=epochs * (len(training) + len(validation)))

        def tell(batches: Any) -> Iterator[torch.Tensor]:  # noqa: ANN401 - a loader
            for batch in batches:
                yield batch
                progress.advance(bar)

        for epoch in range(1, epochs + 1):
            pair = run_epoch(model, tell(training), optimizer), run_epoch(model, tell(validation))
            losses.append(pair)
            line = f"epoch {epoch:>3} of {epochs}  training {pair[0]:.4f}  validation {pair[1]:.4f}"
            progress.console.print(line, highlight=False)
    return losses


def draw_results(
    path: Path,
    losses: Sequence[tuple[float, float]],
    pairs: tuple[torch.Tensor, torch.Tensor],
    axes: tuple[Axis, Axis],
) -> None:
    """Draw the losses, and patterns above what the model made of them, on one scale."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    count = len(pairs[0])
    figure = Figure(figsize=(3.6 + 2.1 * count, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subfigures(1, 2, width_ratios=(3.6, 2.1 * count))
    curve = left.subplots()
    epochs = range(1, len(losses) + 1)
    for name, values in zip(("training", "validation"), zip(*losses, strict=True), strict=True):
        curve.plot(epochs, values, marker=".", label=name)
    curve.set(xlabel="epoch", ylabel="mean squared error")
    curve.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    curve.legend()
    low, high = np.percentile(pairs[0].numpy(), (0.5, 99.8))
    # below 1, the power lifts the faint disks, which are what differs between patterns
    scale = PowerNorm(0.6, vmin=low, vmax=max(high, low + 1e-6), clip=True)
    y, x = axes
    # the edges of the pixels, not their centres
    half = np.array([-0.5, 0.5])
    extent = (*(x.values()[[0, -1]] + half * x.scale), *(y.values()[[-1, 0]] - half * y.scale))
    places = right.subplots(2, count, squeeze=False, sharex=True, sharey=True)
    rows = zip(places, pairs, ("pattern", "reconstruction"), strict=True)
    for row, patterns, name in rows:
        for place, pattern in zip(row, patterns.numpy(), strict=True):
            shown = place.imshow(pattern[0], "inferno", norm=scale, extent=extent)
        row[0].set_ylabel(f"{name}\n{y.units}")
    for place in places[-1]:
        place.set_xlabel(x.units)
    right.colorbar(shown, ax=places, label="value as trained on")
    figure.savefig(path, dpi=120)


def check_drawing() -> None:
    """Refuse before the training what would be missing after it.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        msg = "the picture needs matplotlib, which is not installed"
        raise MissingDependencyError(msg, hint="pip install matplotlib") from error


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Options of the training."""

    epochs: int
    """How often every pattern is seen."""
    batch_size: int
    """Patterns of a batch."""
    latent: int
    """Numbers that a pattern becomes."""
    seed: int
    """Of the first weights, the split and the order."""
    workers: int
    """Processes that render patterns; 0 renders in threads of this one."""
    output: Path
    """Folder of the results."""


def run(patterns: PatternDataset, normalize: Any, settings: Settings) -> None:  # noqa: ANN401
    """Split, normalise by the training part, train, and write picture, losses and weights."""
    settings.output.mkdir(parents=True, exist_ok=True)
    try:
        training, validation = split_blocks(patterns, tile=TILE, seed=settings.seed)
    except OptionError as error:
        msg = f"the {len(patterns)} patterns are too few to keep a part of the scan for validation"
        hint = "use a smaller --scan-step or a larger scan"
        raise OptionError(msg, hint=hint) from error
    click.echo(f"{len(training)} patterns train, {len(validation)} validate")
    scaling = Scaling.fit(training, normalize)
    training, validation = training.scaled(scaling), validation.scaled(scaling)
    (settings.output / "scaling.json").write_text(scaling.to_json(), encoding="utf-8")
    torch.manual_seed(settings.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = Autoencoder(patterns.shape[2:], settings.latent).to(device)
    loaders = tuple(
        make_loader(
            part,
            settings.batch_size,
            seed=settings.seed,
            shuffle=part is training,
            num_workers=settings.workers,
        )
        for part in (training, validation)
    )
    losses = train(model, loaders, settings.epochs)
    shown = np.linspace(0, len(validation) - 1, PAIRS + 2).astype(int)[1:-1]
    originals = validation.fetch(np.unique(shown))
    with torch.no_grad():
        drawn = model(originals.to(device)).cpu()
    picture = settings.output / "training.png"
    draw_results(picture, losses, (originals, drawn), patterns.documents[0].axes[-2:])
    torch.save(model.state_dict(), settings.output / "model.pt")
    with (settings.output / "losses.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["epoch", "training", "validation"])
        rows.writerows([epoch, *pair] for epoch, pair in enumerate(losses, start=1))
    click.echo(f"{picture}: losses, and patterns with their reconstructions")


POSITIVE = click.IntRange(min=1)


@click.command()
@click.argument("data")
@click.option(
    "--downsample",
    type=POSITIVE,
    metavar="F",
    help="Reduce the detector F times. [default: 2; a .pt stays as it was exported]",
)
@click.option(
    "--scan-step",
    type=POSITIVE,
    metavar="N",
    help="Keep every Nth scan position. [default: 1; a .pt stays as it was exported]",
)
@click.option("--epochs", type=POSITIVE, default=20, show_default=True)
@click.option("--batch-size", type=POSITIVE, default=32, show_default=True)
@click.option(
    "--latent", type=POSITIVE, default=16, show_default=True, help="Numbers that a pattern becomes."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Equal seeds repeat."
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Processes that render patterns; 0 renders in threads.",
)
@click.option("--lake", type=click.Path(path_type=Path), help="Where DATA is a name.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default="autoencoder",
    show_default=True,
    help="Folder for training.png, losses.csv, model.pt and scaling.json, which it replaces.",
)
def main(
    *,
    data: str,
    downsample: int | None,
    scan_step: int | None,
    lake: Path | None,
    **settings: Any,  # noqa: ANN401 - fields of Settings
) -> None:
    """Train an autoencoder on DATA: a store, a name in the lake, a file, or a .pt."""
    started = time.perf_counter()
    try:
        check_drawing()
        patterns, normalize = open_patterns(data, lake, scan_step, downsample)
        run(patterns, normalize, Settings(**settings))
    except StemzarrError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"all of it took {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
