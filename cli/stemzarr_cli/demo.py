"""``stemzarr demo``: the whole way, each step typed as a person would and really done."""

from __future__ import annotations

import code
import importlib.util
import shlex
import time
from pathlib import Path

import click

from stemzarr.errors import StemzarrError, StoreExistsError
from stemzarr_cli.command import Command
from stemzarr_cli.report import Report
from stemzarr_cli.text import format_bytes, format_seconds

_FOLDER = "stemzarr-demo"
_SCAN = (48, 64)
_DETECTOR = (128, 128)

_XARRAY = """\
import xarray as xr
scan = xr.open_zarr({store!r})
scan.intensity
"""
_INTAKE = """\
import intake
catalog = intake.open_catalog({catalog!r})
list(catalog)
catalog["scan"].to_dask().intensity.dims
"""
_H5PY = """\
import h5py
file = h5py.File({hspy!r})
[group["data"] for group in file["Experiments"].values()]
file.close()
"""
_HYPERSPY = """\
import hyperspy.api as hs
hs.load({hspy!r}, lazy=True)
"""
_TORCH = """\
import torch
patterns = torch.load({tensor!r}, weights_only=True, mmap=True)
patterns.shape, patterns.dtype, round(patterns.mean().item(), 3)
"""


@click.command(cls=Command)
@click.argument("folder", type=click.Path(path_type=Path), default=_FOLDER)
@click.pass_obj
def demo(report: Report, /, *, folder: Path) -> None:
    """Go the whole way on a small realistic dm4: ingest, find, see, export, open.

    Everything is done in FOLDER (./stemzarr-demo), and every command and line of Python is shown
    as you would type it.
    """
    started = time.perf_counter()
    tour = _Tour(report, folder)
    tour.make_scan()
    tour.ingest()
    tour.look()
    tour.export()
    tour.open()
    report.say(f"All of it took {format_seconds(time.perf_counter() - started)}.")
    tour.suggest()


class _Tour:
    """The steps of the demonstration, in one folder.

    Parameters
    ----------
    report
        The voice of the command; its ``--json`` and ``--quiet`` are handed on to every step.
    folder
        Where everything is made; an earlier demonstration there is repeated.
    """

    def __init__(self, report: Report, folder: Path) -> None:
        self._report = report
        self._number = 0
        self._flags = ["--json"] * report.as_json + ["--quiet"] * report.quiet
        self._python = _Typist(report)
        self._folder = folder
        self._scan = folder / "scan.dm4"
        self._lake = folder / "lake"
        if folder.exists() and any(folder.iterdir()) and not self._lake.is_dir():
            msg = "is a folder with something else in it"
            raise StoreExistsError(msg, path=folder, hint="name another: stemzarr demo FOLDER")

    def make_scan(self) -> None:
        """Make the dm4, as a session at the microscope would leave it."""
        from stemzarr.testing import write_synthetic_dm4

        self._title("A 4D-STEM scan as a microscope writes it, with its survey image")
        if not self._scan.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            write_synthetic_dm4(self._scan, _SCAN, _DETECTOR)
        size = format_bytes(self._scan.stat().st_size)
        self._report.say(f"This demonstration made {self._scan} itself ({size}). What is in it?")
        self._run("info", self._scan)

    def ingest(self) -> None:
        """Turn it into a store."""
        self._title("Into a store: compressed, labelled, and found by what it is")
        self._run("ingest", self._scan, "--lake", self._lake)
        self._run("ls", "kind=4d-stem", "beam_energy_keV>=200", "--lake", self._lake)

    def look(self) -> None:
        """See it in the terminal."""
        self._title("See it, without leaving the terminal")
        self._run("show", "scan", "--lake", self._lake)

    def export(self) -> None:
        """Write a .hspy and, where torch is, a .pt."""
        hspy, tensor = self._folder / "scan.hspy", self._folder / "scan.pt"
        self._title("Out again: a .hspy for HyperSpy")
        self._run("export", "scan", hspy, "--lake", self._lake, "--overwrite")
        self._type(_H5PY.format(hspy=str(hspy)))
        if _installed("hyperspy"):
            self._type(_HYPERSPY.format(hspy=str(hspy)))
        else:
            self._report.say("HyperSpy is not installed here: pip install 'stemzarr[hyperspy]'")
        self._title("And a .pt to train on: log-normalised, the detector halved")
        if not _installed("torch"):
            self._report.say("PyTorch is not installed here: pip install 'stemzarr[torch]'")
            return
        view = ("--downsample", "2", "--normalize", "log1p-zscore")
        self._run("export", "scan", tensor, *view, "--lake", self._lake, "--overwrite")
        self._type(_TORCH.format(tensor=str(tensor)))

    def open(self) -> None:
        """Open the store from Python, by itself and through the catalog."""
        self._title("In Python it is what xarray makes of it, lazy and labelled")
        self._type(_XARRAY.format(store=str(self._lake / "stores" / "scan.zarr")))
        self._title("And the lake is an intake catalog")
        self._type(_INTAKE.format(catalog=str(self._lake / "catalog.yaml")))

    def suggest(self) -> None:
        """Say what to try next."""
        self._title("What to try next")
        lake = shlex.quote(str(self._lake))
        for command, meaning in (
            ("stemzarr ingest YOUR.dm4", "your own scan, into ./stemzarr-lake"),
            ("stemzarr ingest YOUR.dm4 --dry-run", "how it would be stored, nothing written"),
            (f"stemzarr show scan --metadata --lake {lake}", "every tag of the file"),
            ("stemzarr export YOUR.dm4 YOUR.hspy", "straight from one file to another"),
            ("stemzarr -h", "all commands"),
        ):
            self._report.say(f"  {command:<58} {meaning}")

    def _title(self, text: str) -> None:
        from rich.text import Text

        self._number += 1
        self._report.say()
        self._report.show(Text(f"{self._number}  {text}", style="bold"))
        self._report.say()

    def _run(self, *words: str | Path) -> None:
        """Show a command and run it."""
        from stemzarr_cli.program import run

        typed = [str(word) for word in words]
        self._report.say(f"$ {shlex.join(['stemzarr', *typed])}")
        if run([*typed, *self._flags]):
            msg = "a step of the demonstration failed"
            raise StemzarrError(msg, hint="its message stands above; --debug tells more")

    def _type(self, lines: str) -> None:
        if not (self._report.as_json or self._report.quiet):
            self._python.type(lines)
            self._report.say()


class _Typist(code.InteractiveConsole):
    """Runs Python as it is typed at a prompt, and shows what is typed."""

    def __init__(self, report: Report) -> None:
        super().__init__()
        self._report = report

    def type(self, lines: str) -> None:
        """Type lines one after the other; the value of an expression is printed."""
        for line in lines.splitlines():
            self._report.say(f">>> {line}")
            self.push(line)

    def showtraceback(self) -> None:
        """Let an error end the demonstration instead of being printed and passed over."""
        raise  # noqa: PLE0704 - called while the error is being handled


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
