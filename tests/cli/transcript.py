"""Executes the commands of a page in its own folder, and gives what a terminal shows.

    python tests/cli/transcript.py docs/day.md

writes the page again.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from stemzarr.testing import DMAxis, DMImage, write_dm, write_synthetic_dm4
from stemzarr_cli.program import run

_WIDTH = 100
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


class _Screen(io.StringIO):
    """A terminal that takes results, or the stream of messages beside it, which shows no bar."""

    def __init__(self, text: io.StringIO, *, is_terminal: bool) -> None:
        super().__init__()
        self._text = text
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    def write(self, text: str) -> int:
        return self._text.write(text)


def make_days(folder: Path) -> None:
    """Write two days: eighteen files, of which one is a copy, one cut, one wrong; and one more."""
    day = folder / "2026-01-15"
    for number in (1, 2, 3):
        (here := day / f"Diff{number}").mkdir(parents=True)
        write_synthetic_dm4(here / "Diffraction SI.dm4", (8, 9), (24, 24), seed=number)
        write_synthetic_dm4(here / f"map {number}.dm4", (6, 6), (16, 16), seed=number + 50)
        for place, name in enumerate(("ADF", "HAADF", "EELS")):
            shape = (256,) if name == "EELS" else (24, 32)
            values = np.random.default_rng([number, place]).poisson(30, shape).astype(np.uint16)
            axes = tuple(DMAxis(scale=0.5, units="eV" if name == "EELS" else "nm") for _ in shape)
            write_dm(here / f"{name}.dm4", [DMImage(data=values, axes=axes, name=name)])
    shutil.copy(day / "Diff1" / "Diffraction SI.dm4", day / "Diff1" / "Diffraction SI copy.dm4")
    whole = (day / "Diff2" / "map 2.dm4").read_bytes()
    scan = np.full((6, 6, 16, 16), 0, np.uint16).nbytes
    (day / "broken.dm4").write_bytes(whole[: len(whole) - scan // 2 - 90_000])
    (day / "notes.dm4").write_text("stage moved at 14:20", encoding="utf-8")
    (next_day := folder / "2026-01-16" / "Diff1").mkdir(parents=True)
    write_synthetic_dm4(next_day / "Diffraction SI.dm4", (8, 9), (24, 24), seed=9)
    for path in folder.rglob("*.dm4"):
        os.utime(path, (1_768_500_000, 1_768_500_000))


def render(page: str, folder: Path) -> str:
    """Return a page with the output of its commands, executed in a folder with the days."""
    make_days(folder)
    environment = {"COLUMNS": str(_WIDTH), "NO_COLOR": "1", "STEMZARR_LAKE": ""}
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        with contextlib.chdir(folder):
            return re.sub(
                r"^```console\n(.*?)^```$",
                lambda block: _execute(block[1], folder),
                page,
                flags=re.MULTILINE | re.DOTALL,
            )
    finally:
        os.environ.clear()
        os.environ.update(before)


def _execute(block: str, folder: Path) -> str:
    lines = [line for line in block.splitlines() if line.startswith("$ stemzarr ")]
    shown = "".join(f"{line}\n{_run(line)}" for line in lines)
    return f"```console\n{shown.replace(str(folder), '/data')}```"


def _run(line: str) -> str:
    text = io.StringIO()
    out, err = _Screen(text, is_terminal=True), _Screen(text, is_terminal=False)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        run(shlex.split(line)[2:])
    plain = _ESCAPE.sub("", text.getvalue())
    return "".join(f"{shown.rstrip()}\n" for shown in plain.splitlines())


def comparable(page: str) -> str:
    """Return a page without what differs from one machine to the next: times, sizes, wrapping."""
    text = re.sub(r"\d[\d.]* (B|kB|MB|GB|TB|s|min)\b", "#", page)
    text = re.sub(r"\(\d[\d.]*×\)", "#", text)
    text = re.sub(r"(byte|about|:) \d{4,}", r"\1 #", text)
    return re.sub(r"[ \n─]+", " ", text)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as place:
        target.write_text(
            render(target.read_text(encoding="utf-8"), Path(place).resolve()), encoding="utf-8"
        )
