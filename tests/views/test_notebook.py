"""What notebooks show of views and scans."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import stemzarr
from stemzarr.testing import write_synthetic_dm4
from stemzarr.views import View


def words_of(html: str) -> list[str]:
    """Return the texts of well-formed HTML."""
    return [text.strip() for text in ET.fromstring(html).itertext() if text.strip()]  # noqa: S314


def test_a_view_shows_its_words_and_what_it_sets() -> None:
    """The recipe stands in words; fields that have their default are left out."""
    view = View(roi="det_x=1:", downsample=2, method="fft")
    words = words_of(view._repr_html_())
    assert words[0] == f"View: {view.describe()}"
    assert {"roi", "downsample", "method", "2", "'fft'"} <= set(words)
    assert "dtype" not in words


def test_a_scan_shows_its_axes_and_its_view(tmp_path: Path) -> None:
    """Shape, pixel sizes and units of what a view gives, and what it did."""
    path = tmp_path / "scan.dm4"
    write_synthetic_dm4(path, (4, 6), (8, 8))
    viewed = stemzarr.open(path).stem.view(scan_step=2, downsample=2)
    words = words_of(viewed.stem._repr_html_())
    assert "2 × 3 × 4 × 4 float32" in words
    assert f"View: {View(scan_step=2, downsample=2).describe()}" in words
    assert {"scan_y", "det_x", viewed["det_x"].attrs["units"]} <= set(words)


def test_text_of_a_file_is_no_markup(tmp_path: Path) -> None:
    """What a file calls itself cannot run in a notebook."""
    path = tmp_path / "scan.dm4"
    write_synthetic_dm4(path, (2, 2), (4, 4))
    scan = stemzarr.open(path).assign_attrs(title="<script>alert(1)</script>")
    html = scan.stem._repr_html_()
    assert "<script" not in html
    assert "<script>alert(1)</script> (4d-stem)" in words_of(html)
