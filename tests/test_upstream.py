"""The faults of others that we work around are still there, as their pages say."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(set((ROOT / "docs" / "upstream").glob("*.md")) - {ROOT / "docs/upstream/index.md"})


@pytest.mark.leaves_open
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_fault_is_still_there(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines of a page show what it says, with the release that it names."""
    text = page.read_text(encoding="utf-8")
    package, version = re.findall(r"^Seen in `(.+)==(.+)`\.$", text, re.MULTILINE)[0]
    pytest.importorskip({"rosettasciio": "rsciio"}.get(package, package))
    if importlib.metadata.version(package) != version:
        pytest.skip(f"{package} is not {version}: see whether the page still holds")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for lines in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        exec(compile(lines, page.name, "exec"), names)  # noqa: S102 - our own page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_and_its_workaround_name_each_other(page: Path) -> None:
    """A page names a module of ours that is there, and that module names the page."""
    text = page.read_text(encoding="utf-8").rpartition("\n```\n")[2]
    named = re.findall(r"`(stemzarr(?:_catalog)?/\S+?\.py)`", text)
    assert named
    for name in named:
        package = "catalog" if name.startswith("stemzarr_catalog") else "stemzarr"
        assert f"docs/upstream/{page.name}" in (ROOT / package / name).read_text("utf-8")
