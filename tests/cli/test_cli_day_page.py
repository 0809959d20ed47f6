"""The page of a day shows what its commands print, at most a screen for each step."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "day.md"
SCRIPT = Path(__file__).parent / "transcript.py"
_SCREEN = 40


def test_the_page_of_a_day_is_what_its_commands_print(tmp_path: Path) -> None:
    """Written by ``python tests/cli/transcript.py docs/day.md``."""
    spec = importlib.util.spec_from_file_location("transcript", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page = PAGE.read_text(encoding="utf-8")
    again = script.render(page, tmp_path.resolve())
    assert script.comparable(again) == script.comparable(page)
    for block in re.findall(r"```console\n(.*?)```", page, re.DOTALL):
        assert len(block.splitlines()) <= _SCREEN
