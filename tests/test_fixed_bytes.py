"""What is written from fixed sources has the bytes that it had before."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

GOLDEN = Path(__file__).parent / "golden"


def load(path: Path) -> Any:
    """Return the script as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_outputs_have_the_bytes_that_are_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stores, exports and the catalog keep their bytes, but for what may change.

    After a change that is meant, record them again as the script says.
    """
    pytest.importorskip("torch")
    script = load(GOLDEN / "fixed_bytes.py")
    recorded = json.loads((GOLDEN / "fixed_bytes.json").read_text(encoding="utf-8"))
    if script.versions() != recorded["versions"]:
        pytest.skip(f"recorded with {recorded['versions']}")
    monkeypatch.chdir(tmp_path)
    script.write_outputs()
    found = script.digests(tmp_path)
    assert sorted(found) == sorted(recorded["digests"])
    changed = [name for name, digest in found.items() if recorded["digests"][name] != digest]
    assert not changed
