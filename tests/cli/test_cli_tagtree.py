"""The metadata of a source is found by path and drawn without being obeyed."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from stemzarr.errors import EntryNotFoundError
from stemzarr_cli.tagtree import draw_tags, find_tag

TREE = {
    "Microscope Info": {"Voltage": 200000.0, "Name": "\x1b[31mTitan\x1b]0;owned\x07"},
    "Cal v1.2": {"a": 1},
    "Cal v1": {"2": {"a": 2}},
    "ImageList": [{"Name": "survey"}, {"Name": "scan"}],
    "Numbers": list(range(1000)),
    "Nothing": None,
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("Microscope Info/Voltage", 200000.0),
        ("Microscope Info.Voltage", 200000.0),
        ("/ImageList/1/Name/", "scan"),
        ("ImageList/[1]/Name", "scan"),
        ("Cal v1.2/a", 1),
        ("Cal v1/2/a", 2),
        ("", TREE),
    ],
)
def test_a_path_finds_its_tag(path: str, value: object) -> None:
    """Slashes part names; dots too, where no name holds one."""
    assert find_tag(TREE, path) == value


@pytest.mark.parametrize("path", ["Microscope", "ImageList/2", "Nothing/x", "Numbers/a/b"])
def test_a_wrong_path_is_told_its_neighbours(path: str) -> None:
    """What is not there is an error of ours that says what is."""
    with pytest.raises(EntryNotFoundError, match="the metadata has no"):
        find_tag(TREE, path)


def test_the_drawing_holds_every_tag_and_no_escape() -> None:
    """Every name is shown, long lists are shortened, and nothing reaches the terminal raw."""
    screen = io.StringIO()
    Console(file=screen, width=80, markup=False).print(draw_tags(TREE, "scan"))
    drawn = screen.getvalue()
    assert all(name in drawn for name in ("Voltage: 200000", "Cal v1.2", "survey", "1000 values"))
    assert "\x1b" not in drawn
    assert "\x07" not in drawn
    assert r"\x1b[31mTitan" in drawn
