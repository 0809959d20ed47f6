"""``stemzarr result``: what people computed from entries."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.storage.reasons import reading
from stemzarr_cli.command import Command, any_lake_option, lake_option
from stemzarr_cli.completing import complete_names
from stemzarr_cli.parameters import ASSIGNMENT, PATH, gather
from stemzarr_cli.report import Report

if TYPE_CHECKING:
    import xarray as xr

    from stemzarr_catalog import Entry


@click.group()
def result() -> None:
    """Keep what was computed from entries: maps, segmentations, latents."""


@result.command(cls=Command)
@click.argument("name", shell_complete=complete_names)
@click.argument("file", type=PATH)
@click.option("--as", "called", metavar="RESULT", help="Its name. [default: that of the array]")
@click.option("--variable", metavar="VARIABLE", help="The array of the file, where it has several.")
@click.option(
    "--set",
    "lineage",
    type=ASSIGNMENT,
    multiple=True,
    metavar="KEY=VALUE",
    help="Where it came from, such as code=train.py or model=v3; may be repeated.",
)
@click.option("--overwrite", is_flag=True, help="Replace a result of that name.")
@lake_option
@click.pass_obj
def add(  # noqa: PLR0913 - one argument for each option
    report: Report,
    /,
    *,
    name: str,
    file: Path,
    called: str | None,
    variable: str | None,
    lineage: tuple[tuple[str, Any], ...],
    overwrite: bool,
    lake: Path | None,
) -> None:
    """Keep an array of FILE as a result of an entry.

    FILE is a netCDF file or a Zarr store, as xarray writes them, or a .npy file whose first dims
    are those of the scan. The store of the entry is not touched. 'stemzarr ls has:RESULT' finds
    the entry.
    """
    from stemzarr_catalog import open_lake

    opened = open_lake(lake)
    opened.manager.check_writable()
    array = _read(file, variable, opened[name], called)
    added = opened.add_result(name, array, gather(lineage), overwrite=overwrite)
    record = {"entry": name, **added.json()}
    report.result(record, lambda: report.say(f"{name}  {_describe(added.json())}"))


def _read(file: Path, variable: str | None, entry: Entry, called: str | None) -> xr.DataArray:
    """Read the array of a file that is to be a result."""
    import xarray as xr

    if file.suffix == ".npy":
        array = _label(file, entry)
    else:
        with reading(file):
            try:
                opened = (
                    xr.open_zarr(file, chunks=None, consolidated=False)
                    if file.is_dir()
                    else xr.open_dataset(file)
                )
            except ValueError as error:
                msg = f"cannot be opened by xarray: {error}"
                hint = "give a netCDF file, a Zarr store or a .npy file"
                raise UnsupportedDataError(msg, path=file, hint=hint) from error
            with opened as dataset:
                array = dataset[_pick(file, variable, list(map(str, dataset.data_vars)))].load()
    array.name = array.name if called is None else called
    return array


def _pick(file: Path, variable: str | None, names: list[str]) -> str:
    if variable is None and len(names) == 1:
        return names[0]
    if variable not in names:
        listed = ", ".join(names) or "none"
        msg = f"has the arrays {listed}" + ("" if variable is None else f", no {variable!r}")
        raise OptionError(msg, path=file, hint="choose one with --variable")
    return str(variable)


def _label(file: Path, entry: Entry) -> xr.DataArray:
    """Give the values of a ``.npy`` the dims and coordinates of the scan that they are of."""
    import numpy as np
    import xarray as xr

    with reading(file):
        values = np.load(file, allow_pickle=False)
    axes = [axis for axis in entry.document["axes"] if axis["name"] in ("scan_y", "scan_x")]
    sizes = tuple(axis["size"] for axis in axes)
    if not axes or values.shape[: len(axes)] != sizes:
        msg = f"has the shape {values.shape}, and the scan of {entry.name} is {sizes}"
        raise OptionError(
            msg, path=file, hint="give a netCDF file or a Zarr store with coordinates"
        )
    coords = {
        axis["name"]: xr.Variable(
            (axis["name"],),
            axis["offset"] + np.arange(axis["size"]) * axis["scale"],
            {"units": axis["units"]},
        )
        for axis in axes
    }
    more = tuple(f"dim_{number}" for number in range(len(axes), values.ndim))
    return xr.DataArray(values, coords, (*coords, *more), file.stem)


@result.command("ls", cls=Command)
@click.argument("names", nargs=-1, metavar="[NAME...]", shell_complete=complete_names)
@any_lake_option
@click.pass_obj
def list_results(report: Report, /, *, names: tuple[str, ...], lake: Path | None) -> None:
    """List the results of entries, or of all."""
    from stemzarr_catalog import open_lake

    opened = open_lake(lake)
    for name in names or tuple(opened.search("has:*").names):
        with report.attempt():
            for found in opened[name].results.values():
                record = {"entry": name, **found.json()}
                line = f"{name}  {_describe(record)}"
                report.result(record, functools.partial(report.say, line))


def _describe(record: Mapping[str, Any]) -> str:
    """Say what a result is, in one line."""
    sizes = zip(record["dims"], record["shape"], strict=True)
    shape = ", ".join(f"{dim}: {size}" for dim, size in sizes)
    lineage = " ".join(f"{key}={value}" for key, value in record["lineage"].items())
    return f"{record['name']}  ({shape}) {record['dtype']}  {record['created']}  {lineage}".rstrip()


@result.command(cls=Command)
@click.argument("name", shell_complete=complete_names)
@click.argument("results", nargs=-1, required=True, metavar="RESULT...")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@lake_option
@click.pass_obj
def remove(
    report: Report,
    /,
    *,
    name: str,
    results: tuple[str, ...],
    yes: bool,
    lake: Path | None,
) -> None:
    """Delete results of an entry; its store is not touched."""
    from stemzarr_catalog import open_lake

    opened = open_lake(lake)
    opened.manager.check_writable()
    for found in results:
        with report.attempt():
            if not yes and not sys.stdin.isatty():
                msg = f"the result {found} of {name} would be deleted; use --yes without a terminal"
                raise OptionError(msg, hint="use --yes to delete it")
            if yes or click.confirm(f"Delete the result {found} of {name}?", err=True):
                opened.remove_result(name, found)
                record = {"entry": name, "name": found, "status": "removed"}
                report.result(record, functools.partial(report.say, f"{name}  {found}  removed"))
            else:
                report.note(f"{found} stays")
