"""The recipe of the documentation, on scans of differing detectors, energies and tags."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from stemzarr.options import IngestOptions
from stemzarr.testing import write_synthetic_dm4
from stemzarr_catalog import open_lake

pytest.importorskip("torch")
matplotlib = pytest.importorskip("matplotlib")

PAGE = Path(__file__).parents[2] / "docs" / "recipe.md"
MOST_LINES = 60


@pytest.mark.leaves_open  # matplotlib keeps its fonts
def test_the_recipe_goes_the_whole_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of twelve scans those that go together are split; maps of the unseen are found again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STEMZARR_LAKE", raising=False)
    matplotlib.use("agg")
    lake = open_lake(Path("stemzarr-lake"), create=True)
    with lake.together():
        for number in range(12):
            detector = (24, 24) if number == 11 else (32, 32)
            energy = 80e3 if number in (2, 7) else 300e3
            path = Path(f"scan{number}.dm4")
            write_synthetic_dm4(path, (6, 7), detector, seed=number, voltage_V=energy)
            facts = {"specimen": "abcd"[number % 4]}
            lake.ingest(path, options=IngestOptions(facts=facts, sync=False, threads=1))
            if number != 4:
                lake.tag(f"scan{number}", "good")
    (script,) = re.findall(
        r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert len(script.splitlines()) <= MOST_LINES
    names: dict[str, object] = {}
    exec(compile(script, PAGE.name, "exec"), names)  # noqa: S102 - our own page
    parts = names["parts"]
    assert isinstance(parts, dict)
    specimens = [{entry.facts["specimen"] for entry in part} for part in parts.values()]
    assert specimens[0].isdisjoint(specimens[1])
    chosen = sorted(name for part in parts.values() for name in part.names)
    assert chosen == sorted(f"scan{n}" for n in (0, 1, 3, 5, 6, 8, 9, 10))
    found = open_lake(Path("stemzarr-lake")).search("has:bright")
    assert found.names == sorted(parts["validation"].names)
    for entry in found:
        guess = entry.open_result("bright").load()
        assert guess.sizes == {"scan_y": 6, "scan_x": 7}
        assert float(guess.min()) >= 0
        assert float(guess.max()) <= 1
        np.testing.assert_array_equal(guess.scan_x, entry.open().scan_x)
        assert Path(f"{entry.name}.png").stat().st_size > 1000
