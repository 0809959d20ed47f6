"""Names are safe on every system, and none leads out of the lake."""

from __future__ import annotations

import contextlib
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemzarr.errors import EntryNotFoundError, OptionError
from stemzarr_catalog.names import casefold, check_name, is_device_name, lookup_name, safe_name

NASTY = st.text(
    st.sampled_from("aZ9._-/\\:*?\"<>| \t\n\0ß中é\u202e\u2024\uff0f\uff41ﬁ²'`$(){}%~\u2044\u2215")
)


@given(st.text() | NASTY)
def test_a_safe_name_is_one_visible_component_on_every_system(text: str) -> None:
    """A safe name has no separator, no leading dot or dash, and stays what it is."""
    name = safe_name(text)
    assert PurePosixPath(name).parts == (name,)
    assert PureWindowsPath(name).parts == (name,)
    assert not name.startswith((".", "-"))
    assert not name.endswith((".", " "))
    assert len(name.encode()) <= 160
    assert safe_name(name) == name
    assert name.isprintable()


@given(st.text() | NASTY)
def test_names_that_are_not_safe_are_looked_up_nowhere(text: str) -> None:
    """What is no safe name is an entry that is not found, never a path."""
    if safe_name(text) == text and not is_device_name(text):
        assert lookup_name(text) == text
    else:
        with contextlib.suppress(EntryNotFoundError):
            assert safe_name(lookup_name(text)) == lookup_name(text)


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc/passwd", "C:\\x", "con", "NUL.txt", "com1", "lake", "LAKE", "a/b", "", "."],
)
def test_a_chosen_name_that_cannot_work_is_refused(name: str) -> None:
    """The error says which name would do."""
    with pytest.raises(OptionError):
        check_name(name)


def test_letters_are_kept_and_other_spellings_are_not() -> None:
    """Unicode letters stay; full-width forms, ligatures and direction marks do not."""
    assert safe_name("Größe_测量-2026.01") == "Größe_测量-2026.01"
    assert safe_name("\uff41\u202eb\ufb01") == "b"


def test_names_compare_without_case() -> None:
    """Composed and decomposed, upper and lower case are one name."""
    assert casefold("STRASSE") == casefold("straße")
    assert casefold("u\u0308") == casefold("Ü")
