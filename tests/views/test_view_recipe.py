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


def build(downsample: Any, method: Any, **fields: Any) -> View:
    """Return a view whose method acts."""
    acts = downsample not in (1, (1, 1))
    return View(downsample=downsample, method=method if acts else "bin", **fields)


VIEWS = st.builds(
    build,
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
    plain = [View(downsample=factor) for factor in (1, (1, 1))]
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
        ({"roi": "det_z=1:2"}, "is not part of a region"),
        ({"roi": None}, "roi is None"),
        ({"scan_step": 2.5}, "scan_step is 2.5"),
        ({"scan_step": "2"}, "scan_step is '2'"),
        ({"scan_downsample": np.float64(2)}, "scan_downsample is"),
        ({"downsample": 2.0}, "downsample is 2.0"),
        ({"downsample": (2.5, 2)}, "downsample is 2.5"),
        ({"downsample": "22"}, "downsample is '22'"),
        ({"downsample": None}, "downsample is None"),
        ({"downsample": (0, 2)}, "downsample is 0"),
        ({"sigma": float("nan"), "method": "gauss"}, "sigma is nan"),
        ({"sigma": float("inf"), "method": "gauss"}, "sigma is inf"),
        ({"sigma": "2", "method": "gauss"}, "sigma is '2'"),
        ({"clip_negative": "no"}, "clip_negative is 'no'"),
        ({"dtype": "i4,"}, "dtype is 'i4,'"),
        ({"method": "fft"}, "the method is 'fft', and the detector stays as it is"),
        ({"method": "stride", "downsample": (1, 1)}, "the detector stays as it is"),
        ({"method": "gauss"}, "the detector stays as it is"),
        ({"reduce": "sum"}, "nothing is joined"),
        ({"reduce": "sum", "downsample": 1, "scan_step": 2}, "nothing is joined"),
    ],
)
def test_what_cannot_work_is_refused(fields: dict[str, Any], message: str) -> None:
    """A value that cannot work is refused with what was given and a way out."""
    with pytest.raises(OptionError, match=message) as caught:
        View(**fields)
    assert caught.value.hint


def test_numbers_of_numpy_are_numbers() -> None:
    """What an analysis calculated is taken, and becomes a plain number that JSON can hold."""
    view = View(
        scan_step=np.int64(2),  # type: ignore[arg-type]
        scan_downsample=np.uint8(3),  # type: ignore[arg-type]
        downsample=np.array([2, 4]),  # type: ignore[arg-type]
        method="gauss",
        sigma=np.float32(0.5),  # type: ignore[arg-type]
        clip_negative=np.bool_(True),  # type: ignore[arg-type]
    )
    plain = View(
        scan_step=2,
        scan_downsample=3,
        downsample=(2, 4),
        method="gauss",
        sigma=0.5,
        clip_negative=True,
    )
    assert view == plain
    assert json.loads(json.dumps(view.to_json())) == plain.to_json()
    assert View(downsample=np.int64(2)) == View(downsample=2)  # type: ignore[arg-type]


def test_every_step_that_is_named_acts() -> None:
    """A width makes 'gauss' act alone, and joined positions make 'sum' act."""
    assert View(method="gauss", sigma=0.8).changes_detector
    assert View(scan_downsample=2, reduce="sum").describe().endswith("sum")


def test_the_hint_for_whole_numbers_helps() -> None:
    """Sums keep counts where blocks are joined; of a normalisation they would keep none."""
    for fields, words in (({"downsample": 2}, True), ({"normalize": "minmax"}, False)):
        with pytest.raises(OptionError) as caught:
            View(dtype="uint8", **fields)  # type: ignore[arg-type]
        assert ("reduce='sum'" in str(caught.value.hint)) == words


def test_unknown_fields_of_json_are_refused() -> None:
    """A view of a newer version is not half understood."""
    with pytest.raises(OptionError, match="no field colour"):
        View.from_json({"scan_step": 2, "colour": 1})


def test_sums_may_stay_integers() -> None:
    """Sums and strides of counts can be asked for as integers."""
    assert View(downsample=2, reduce="sum", dtype=np.dtype("uint32").name).dtype == "uint32"
    assert View(downsample=2, method="stride", dtype="uint8").dtype == "uint8"
