"""``stemzarr demo``: the whole way, each step typed as a person would and really done."""

from __future__ import annotations

import code
import contextlib
import importlib.util
import os
import shlex
import shutil
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from stemzarr.errors import StemzarrError, StoreExistsError
from stemzarr_cli.command import Command
from stemzarr_cli.parameters import PATH
from stemzarr_cli.report import Report
from stemzarr_cli.text import format_seconds

_FOLDER = "stemzarr-demo"
_SCAN = Path("scan.dm4")
_LAKE = Path("stemzarr-lake")
_SCAN_SHAPE = (48, 64)
_DETECTOR_SHAPE = (128, 128)

_H5PY = """\
import h5py
file = h5py.File("scan.hspy")
[group["data"] for group in file["Experiments"].values()]
file.close()
"""
_HYPERSPY = """\
import hyperspy.api as hs
hs.load("scan.hspy", lazy=True)
"""
_TORCH = """\
import torch
patterns = torch.load("scan.pt", weights_only=True, mmap=True)
patterns.shape, patterns.dtype, round(patterns.std().item(), 3)
"""
_XARRAY = """\
import xarray as xr
scan = xr.open_zarr("stemzarr-lake/stores/scan.zarr")
scan.intensity
"""
_INTAKE = """\
import intake
catalog = intake.open_catalog("stemzarr-lake/catalog.yaml")
list(catalog)
catalog["scan"].to_dask().intensity.dims
"""
_NEXT = (
    ("stemzarr show scan --metadata", "every tag of the file"),
    ("stemzarr export scan half.hspy --scan-step 2", "every second position, both ways"),
    ("stemzarr ingest YOUR.dm4 --dry-run", "how your scan would be stored"),
    ("stemzarr export YOUR.dm4 YOUR.hspy", "straight from one file to another"),
    ("stemzarr -h", "all commands"),
    ("stemzarr explore scan", "its patterns under your pointer, in the browser"),
)


@click.command(cls=Command)
@click.argument("folder", type=PATH, default=_FOLDER)
@click.pass_obj
def demo(report: Report, /, *, folder: Path) -> None:
    """Show the whole workflow on a small realistic dm4.

    It is made, ingested, found, seen, exported and opened in FOLDER (./stemzarr-demo), and every
    command and line of Python is shown as you would type it.
    """
    _check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    tour = _Tour(report)
    with contextlib.chdir(folder), _own_lake():
        tour.say(f"$ cd {shlex.quote(str(folder))}")
        for step in (tour.make_scan, tour.ingest, tour.look, tour.export, tour.open):
            step()
    spent = format_seconds(time.perf_counter() - started)
    tour.title(f"All of this took {spent} and is in {folder}; what to try there next")
    for command, meaning in (*_activation(), (f"cd {shlex.quote(str(folder))}", ""), *_NEXT):
        report.say(f"{command:<46} {meaning}".rstrip())


def _activation() -> Iterator[tuple[str, str]]:
    """Give the command after which the shell finds stemzarr, where it does not yet."""
    if shutil.which("stemzarr") is None:
        script = Path(sysconfig.get_path("scripts")) / "activate"
        command = str(script) if os.name == "nt" else f"source {shlex.quote(str(script))}"
        yield command, "so that the shell finds stemzarr"


def _check_folder(folder: Path) -> None:
    """Refuse a folder that an earlier demonstration did not make."""
    if folder.exists() and not folder.is_dir():
        raise StoreExistsError("is a file", path=folder, hint="name a folder: stemzarr demo FOLDER")
    if folder.exists() and any(folder.iterdir()) and not (folder / _LAKE).is_dir():
        hint = "name another: stemzarr demo FOLDER"
        raise StoreExistsError("is a folder with something else in it", path=folder, hint=hint)


@contextlib.contextmanager
def _own_lake() -> Iterator[None]:
    """Work in the lake of the demonstration, whichever one is set or encloses the folder."""
    from stemzarr_catalog.opening import ENVIRONMENT

    before = os.environ.get(ENVIRONMENT)
    os.environ[ENVIRONMENT] = str(_LAKE)
    try:
        yield
    finally:
        if before is None:
            del os.environ[ENVIRONMENT]
        else:
            os.environ[ENVIRONMENT] = before


class _Tour:
    """The steps of the demonstration, in the present folder.

    Parameters
    ----------
    report
        The voice of the command; its ``--json`` and ``--quiet`` are handed on to every step.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._number = 0
        self._flags = ["--json"] * report.as_json + ["--quiet"] * report.quiet
        self._python = _Typist(self.say)

    def make_scan(self) -> None:
        """Make the dm4, as a session at the microscope would leave it."""
        from stemzarr.testing import write_synthetic_dm4

        self.step("A 4D-STEM scan with its survey image, as a microscope writes it")
        if not _SCAN.exists():
            write_synthetic_dm4(_SCAN, _SCAN_SHAPE, _DETECTOR_SHAPE)
        self._run("info", _SCAN)

    def ingest(self) -> None:
        """Turn it into a store."""
        self.step("Into the lake: compressed, labelled, and found by what it is")
        self._run("ingest", _SCAN)
        self._run("ls", "kind=4d-stem", "beam_energy_keV>=200")

    def look(self) -> None:
        """See it in the terminal."""
        self.step("Seen without leaving the terminal")
        self._run("show", "scan")

    def export(self) -> None:
        """Write a .hspy and, where torch is, a .pt."""
        self.step("Out again as a .hspy, for HyperSpy and whatever reads HDF5")
        self._run("export", "scan", "scan.hspy", "--overwrite")
        self._type(_H5PY)
        if _installed("hyperspy"):
            self._type(_HYPERSPY)
        else:
            self.say("HyperSpy is not installed here: pip install 'stemzarr[hyperspy]'")
        self.step("And as a .pt to train on: the detector halved, log-normalised")
        if not _installed("torch"):
            self.say("PyTorch is not installed here: pip install 'stemzarr[torch]'")
            return
        view = ("--downsample", "2", "--normalize", "log1p-zscore")
        self._run("export", "scan", "scan.pt", *view, "--overwrite")
        self._type(_TORCH)

    def open(self) -> None:
        """Open the store from Python, by itself and through the catalog."""
        self.step("In Python the store is what xarray makes of it, lazy and labelled")
        self._type(_XARRAY)
        self.step("And the lake is an intake catalog")
        self._type(_INTAKE)

    def step(self, text: str) -> None:
        """Print the title of the next step."""
        self._number += 1
        self.title(f"{self._number}  {text}")

    def title(self, text: str) -> None:
        """Print a title."""
        self._report.say()
        self._report.say(text, bold=True)
        self._report.say()

    def say(self, typed: str) -> None:
        """Print what is typed at a prompt of the shell or of Python."""
        self._report.say(typed, fg="cyan")

    def _run(self, *words: str | Path) -> None:
        """Show a command and run it."""
        from stemzarr_cli.program import run

        typed = [str(word) for word in words]
        self.say(f"$ {shlex.join(['stemzarr', *typed])}")
        if run([*typed, *self._flags]):
            msg = "a step of the demonstration failed"
            raise StemzarrError(msg, hint="see its message above")
        self._report.say()

    def _type(self, lines: str) -> None:
        if not (self._report.as_json or self._report.quiet):
            self._python.type(lines)
            self._report.say()


class _Typist(code.InteractiveConsole):
    """Runs Python as it is typed at a prompt, and shows what is typed."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say

    def type(self, lines: str) -> None:
        """Type lines one after the other; the value of an expression is printed."""
        for line in lines.splitlines():
            self._say(f">>> {line}")
            self.push(line)

    def showtraceback(self) -> None:
        """Let an error end the demonstration instead of being printed and skipped."""
        raise  # noqa: PLE0704 - called while the error is being handled


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
