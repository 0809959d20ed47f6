"""The page to mail holds what it says, and nothing of whoever made it."""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stemzarr.errors import OptionError, StoreExistsError, UnsupportedDataError
from stemzarr.explorer.page import render_single_page
from stemzarr.explorer.single_page import write_bare_page, write_single_page
from stemzarr.explorer.subject import Subject
from stemzarr.registry import read_source

SIZE = 20_000_000


@pytest.fixture(params=["dm4", "store"])
def subject(request: pytest.FixtureRequest) -> Subject:
    """Return a scan, of a file that was never ingested and of a store."""
    return Subject(read_source(request.getfixturevalue(request.param)), None, "scan")


def array_of(page: str, name: str) -> Any:
    """Return an array of a page."""
    about = json.loads(text_of(page, "about"))
    described = about["arrays"][name]
    dtype = np.dtype(described["type"])
    planes = np.frombuffer(zlib.decompress(base64.b64decode(text_of(page, name))), np.uint8)
    values = np.ascontiguousarray(planes.reshape(dtype.itemsize, -1).T).view(dtype)
    return values.reshape(described.get("shape", about["shape"][:2]))


def text_of(page: str, name: str) -> str:
    """Return a text of a page."""
    match = re.search(f'id="{name}">(.*?)</script>', page, re.DOTALL)
    assert match is not None
    return match[1]


def test_patterns_are_exact_sums_and_images_exact(subject: Subject, tmp_path: Path) -> None:
    """At full size where it fits, else binned; never larger than what was said."""
    values = np.empty(subject.document.shape, subject.document.dtype)
    subject.document.blocks.read_into(values, (0, 0, 0, 0))
    whole = write_single_page(subject, tmp_path / "page.html", size=SIZE)
    assert whole.bin == 1
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    np.testing.assert_array_equal(array_of(page, "patterns"), values)
    for name, preset in subject.presets.items():
        np.testing.assert_array_equal(array_of(page, name), subject.image(preset))
    room = len(text_of(page, "patterns")) // 2
    small = write_single_page(subject, tmp_path / "page.html", size=whole.bytes - room)
    assert small.bin > 1
    assert small.bytes <= whole.bytes - room
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    rows = np.add.reduceat(values.astype(np.int64), range(0, 40, small.bin), axis=2)
    sums = np.add.reduceat(rows, range(0, 36, small.bin), axis=3)
    np.testing.assert_array_equal(array_of(page, "patterns"), sums)


def test_a_page_is_nobodys(subject: Subject, tmp_path: Path) -> None:
    """No path of this machine, no person, no address; its policy forbids all that is not ours."""
    dest = tmp_path / "page.html"
    write_single_page(subject, dest, size=SIZE)
    page = dest.read_text(encoding="utf-8")
    assert str(subject.path.parent) not in page
    assert str(Path.home()) not in re.sub("[A-Za-z0-9+/=]{200,}", "", page)
    operator = subject.document.facts["operator"]
    assert str(operator) not in page
    assert not re.search(r"https?://(?!github|www\.w3)[a-z]", text_of(page, "about"))
    policy = re.search('Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]


def test_a_page_that_cannot_be_is_refused(subject: Subject, tmp_path: Path) -> None:
    """Too small a size, another file in the way, an image."""
    with pytest.raises(OptionError, match="needs more"):
        write_single_page(subject, tmp_path / "page.html", size=1000)
    mine = tmp_path / "mine.html"
    mine.write_text("mine")
    with pytest.raises(StoreExistsError):
        write_single_page(subject, mine, size=SIZE)
    with pytest.raises(StoreExistsError):
        write_bare_page(mine)
    assert mine.read_text() == "mine"
    write_bare_page(mine, overwrite=True)
    survey = Subject(subject.source, "survey", "scan")
    with pytest.raises(UnsupportedDataError):
        write_single_page(survey, tmp_path / "survey.html", size=SIZE)


def test_a_browser_shows_the_page_from_a_file(
    dm4: Path, tmp_path: Path, draw: Callable[..., Any]
) -> None:
    """Image and pattern of the embedded arrays; the scripts of a title stay text."""
    subject = Subject(read_source(dm4), None, "<script>alert(1)</script>")
    write_single_page(subject, tmp_path / "page.html", size=300_000)
    page = draw(f"{(tmp_path / 'page.html').as_uri()}#y=4&x=5", "exact")
    assert "Pattern 4, 5" in page.text
    assert "exact" in page.text
    assert page.text.count("<script>alert(1)</script>") == 2
    assert page.tags.count("canvas") == 5


def test_a_page_without_a_scan_asks_for_one(tmp_path: Path, draw: Callable[..., Any]) -> None:
    """A store can be dropped on it, or chosen."""
    write_bare_page(tmp_path / "page.html")
    page = draw((tmp_path / "page.html").as_uri(), "Open a store")
    assert "Open a store" in page.text
    assert "input" in page.tags


def test_no_text_ends_a_script() -> None:
    """Whatever is in the metadata."""
    evil = "</script><script>alert(1)</script><!--"
    page = render_single_page(evil, {"name": evil, evil: [evil]}, {"x": "y"})
    assert page.count("<script") == 4
    assert json.loads(text_of(page, "about")) == {"name": evil, evil: [evil]}
