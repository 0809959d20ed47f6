"""An exporter of another package, found through its entry point."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from stemzarr.errors import UnsupportedDataError
from stemzarr.model import Document
from stemzarr.registry import ExportRequest, exporters, find_exporter

EXAMPLE = Path(__file__).parents[2] / "examples" / "tsv_exporter"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the example's entry point be found, as its installation would."""
    declared = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))
    points = [
        importlib.metadata.EntryPoint(name, target, group)
        for group, members in declared["project"]["entry-points"].items()
        for name, target in members.items()
    ]
    known = importlib.metadata.entry_points

    def entry_points(**wanted: str) -> importlib.metadata.EntryPoints:
        found = importlib.metadata.EntryPoints(points).select(**wanted)
        return importlib.metadata.EntryPoints([*known(**wanted), *found])

    monkeypatch.syspath_prepend(EXAMPLE)
    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    exporters.cache_clear()
    yield
    exporters.cache_clear()
    sys.modules.pop("stemzarr_tsv", None)


@pytest.mark.usefixtures("installed")
def test_an_installed_exporter_is_found_and_writes(
    make_document: Callable[..., Document], make_request: Callable[..., ExportRequest]
) -> None:
    """The suffix of another package's format leads to its exporter, and its file reads back."""
    counts = np.arange(5, dtype=np.uint16) ** 2
    document = make_document("spectrum", counts)
    exporter = find_exporter(Path("spectrum.tsv"))
    request = make_request(document, "spectrum.tsv")
    exporter.write(request)
    columns = np.loadtxt(request.dest, delimiter="\t", skiprows=1).T
    np.testing.assert_allclose(columns, [document.axes[0].values(), counts])
    with pytest.raises(UnsupportedDataError, match="has 2"):
        exporter.write(make_request(make_document("image", np.eye(3)), "image.tsv"))


def test_without_it_the_format_is_unknown() -> None:
    """The example is no part of stemzarr itself."""
    assert importlib.util.find_spec("stemzarr_tsv") is None
    assert "tsv" not in [exporter.name for exporter in exporters()]
