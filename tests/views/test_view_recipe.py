"""The recipe: validated, described in words, and the same after JSON."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemzarr.errors import OptionError
from stemzarr.views import View

VIEWS = st.builds(
    View,
    roi=st.sampled_from(["", "scan_y=1:5", "det_x=-1.5nm:2nm,scan_x=::".replace("::", ":3")]),
    scan_step=st.integers(1, 5),
    scan_downsample=st.integers(1, 3),
    downsample=st.integers(1, 9) | st.tuples(st.integers(1, 9), st.integers(1, 9)),
    method=st.sampled_from(["bin", "stride", "gauss", "fft"]),
    clip_negative=st.booleans(),
    normalize=st.sampled_from(["none", "log1p", "log1p-zscore", "minmax"]),
    dtype=st.sampled_from([None, "float16", "float32", "float64"]),
)


@given(VIEWS)
def test_json_gives_the_same_view(view: View) -> None:
    """A view is what its JSON says, and what its pickle says, and can be a key."""
    assert View.from_json(json.loads(json.dumps(view.to_json()))) == view
    assert pickle.loads(pickle.dumps(view)) == view
    assert {view: 1}[view] == 1


@given(VIEWS)
def test_words_name_every_step_that_acts(view: View) -> None:
    """The description has one part for each step, and says so where there is none."""
    words = view.describe()
    plain = [View(downsample=factor, method=view.method) for factor in (1, (1, 1))]
    assert (words == "as it is") == (view in plain)
    assert ("scan position" in words) == (view.scan_step > 1 or view.scan_downsample > 1)
    assert ("log(1 + value)" in words) == view.normalize.startswith("log1p")


def test_words_read_as_a_person_would_say_them() -> None:
    """Some descriptions, in full."""
    assert View(scan_step=2, downsample=3).describe() == (
        "every 2nd scan position; blocks of 3×3 detector pixels, mean"
    )
    assert View(downsample=(4, 2), method="gauss").describe() == (
        "detector smoothed with sigma 1 and 2 and every 4th (det_y) and 2nd (det_x) pixel kept"
    )
    assert View(scan_downsample=2, reduce="sum", dtype="uint32").describe() == (
        "blocks of 2×2 scan positions, sum; as uint32"
    )
    assert View(dtype="float16").describe() == "as float16, exact for whole numbers up to 2048"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scan_step": 0}, "scan_step is 0"),
        ({"downsample": 0}, "downsample is 0"),
        ({"downsample": (1, 2, 3)}, "downsample is"),
        ({"method": "median"}, "method is 'median'"),
        ({"normalize": "log"}, "normalize is 'log'"),
        ({"sigma": 0.8}, "sigma is 0.8 with the method 'bin'"),
        ({"sigma": -1, "method": "gauss"}, "sigma is -1"),
        ({"reduce": "sum", "method": "fft"}, "the method 'fft' has no sum"),
        ({"dtype": "text"}, "dtype is 'text'"),
        ({"dtype": "complex64"}, "dtype is 'complex64'"),
        ({"dtype": "uint16", "downsample": 2}, "fractions, which uint16 cannot hold"),
        ({"dtype": "uint8", "normalize": "minmax"}, "fractions, which uint8 cannot hold"),
        ({"roi": "det_z=1:2"}, "is no part of a region"),
    ],
)
def test_what_cannot_work_is_refused(fields: dict[str, Any], message: str) -> None:
    """A value that cannot work is refused with what was given and a way out."""
    with pytest.raises(OptionError, match=message) as caught:
        View(**fields)
    assert caught.value.hint


def test_unknown_fields_of_json_are_refused() -> None:
    """A view of a newer version is not half understood."""
    with pytest.raises(OptionError, match="no field colour"):
        View.from_json({"scan_step": 2, "colour": 1})


def test_sums_may_stay_integers() -> None:
    """Sums and strides of counts can be asked for as integers."""
    assert View(downsample=2, reduce="sum", dtype=np.dtype("uint32").name).dtype == "uint32"
    assert View(downsample=2, method="stride", dtype="uint8").dtype == "uint8"
