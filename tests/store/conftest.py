"""A source of one document over an array in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray

from stemzarr.model import Kind, Source
from stemzarr.testing.sources import document_of, source_of


@pytest.fixture
def make_source(tmp_path: Path) -> Callable[..., Source]:
    """Return a function that makes a source with one document over an array."""

    def make(values: NDArray[Any], kind: Kind = "4d-stem", **rest: Any) -> Source:
        return source_of(tmp_path / "source.bin", [document_of(values, kind, **rest)])

    return make
