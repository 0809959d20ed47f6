"""Tables fit the terminal: columns go before anything is cut."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stemzarr_cli.tables import FactList, Listing
from stemzarr_cli.text import printable

WORDS = st.text("abcdefgh", min_size=1, max_size=12)


def drawn(table: object, width: int) -> str:
    """Return what a terminal of that width shows."""
    screen = io.StringIO()
    Console(file=screen, width=width, markup=False, highlight=False).print(table)
    return screen.getvalue()


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=4), st.integers(13, 60))
def test_no_line_is_wider_than_the_terminal(rows: list[tuple[str, ...]], width: int) -> None:
    """Whatever is listed, lines stay inside, and the first column is there as a whole."""
    table = Listing(
        [dict(zip(("name", "more", "rest"), row, strict=True)) for row in rows],
        dispensable=("rest", "more"),
    )
    shown = drawn(table, width)
    assert all(len(line) <= width for line in shown.splitlines())
    assert all(row[0] in shown for row in rows)


@given(
    st.lists(st.tuples(st.text(max_size=9), WORDS), min_size=1, max_size=4),
    st.sampled_from([None, 0]),
)
def test_a_table_that_fits_looks_like_one_of_rich(
    rows: list[tuple[str, ...]], marked: int | None
) -> None:
    """What is drawn without rich's table has its form, wide and zero-width characters too."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    listed = [dict(zip(("name", "more"), map(printable, row), strict=True)) for row in rows]
    columns = [name for name in ("name", "more") if any(row[name] for row in listed)]
    for name in columns:
        table.add_column(name)
    for number, row in enumerate(listed):
        style = "bold" if number == marked else None
        table.add_row(*(Text(row[name]) for name in columns), style=style)
    shown = []
    for one in (Listing(listed, marked=marked), table):
        screen = io.StringIO()
        console = Console(file=screen, width=200, markup=False, highlight=False)
        console.print(one)
        shown.append(screen.getvalue())
    ours, theirs = (text.splitlines() for text in shown)
    assert ours == [line.rstrip(" ") for line in theirs]


def test_columns_go_in_their_order() -> None:
    """The first dispensable column goes first; with room nothing goes, but for what is empty."""
    rows = [{"name": "a" * 8, "kind": "b" * 8, "title": "c" * 8, "acquired": ""}]
    table = Listing(rows, dispensable=("title", "kind"))
    shown = {width: drawn(table, width).split()[:3] for width in (80, 25, 10)}
    assert shown[80] == ["name", "kind", "title"]
    assert "title" not in shown[25]
    assert "kind" in shown[25]
    assert "kind" not in shown[10]


@pytest.mark.parametrize("text", ["\x1b[2J", "[bold]", "a\nb"])
def test_cells_are_shown_as_they_are(text: str) -> None:
    """Neither escapes nor markup of a file reach the terminal."""
    for table in (Listing([{"name": text}]), FactList([("specimen", text)])):
        shown = drawn(table, 40)
        assert "\x1b" not in shown
        assert text.encode("unicode_escape").decode().split("\\n")[0] in shown


def test_units_stand_beside_the_value() -> None:
    """Facts are written as people say them."""
    facts = [("beam_energy_keV", 300.0), ("camera_length_mm", 115), ("a_b", "c")]
    shown = drawn(FactList(facts), 40)
    assert [" ".join(line.split()) for line in shown.splitlines()] == [
        "beam energy 300 keV",
        "camera length 115 mm",
        "a b c",
    ]
