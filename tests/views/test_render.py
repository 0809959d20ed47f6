"""Views of documents: values and coordinates after every step, read in any boxes."""

from __future__ import annotations

import dataclasses
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.labelled import to_dataset
from stemzarr.model import ArrayBlocks, Brightness, Document, Statistics, read_all, read_box
from stemzarr.views import View, apply, downsample, measure_document
from stemzarr.views.normalize import cast_checked
from stemzarr.views.render import ViewBlocks

COUNTS = np.random.default_rng(5).poisson(1.4, (7, 9, 11, 14)).astype(np.uint16)


@dataclasses.dataclass(frozen=True)
class TiledBlocks(ArrayBlocks):
    """An array that says it lies on disk in blocks of another shape."""

    block: tuple[int, ...] = ()

    @property
    def block_shape(self) -> tuple[int, ...]:
        return self.block


def acting(downsample: Any, method: Any, **fields: Any) -> View:
    """Return a view whose method has something to do."""
    acts = downsample not in (1, (1, 1))
    return View(downsample=downsample, method=method if acts else "bin", **fields)


VIEWS = st.builds(
    acting,
    roi=st.sampled_from(["", "scan_y=1:6,det_x=2:13", "scan_x=-4:,det_y=1:"]),
    scan_step=st.integers(1, 3),
    downsample=st.integers(1, 4) | st.tuples(st.integers(1, 4), st.integers(1, 4)),
    method=st.sampled_from(["bin", "stride", "gauss", "fft"]),
    clip_negative=st.booleans(),
    normalize=st.sampled_from(["none", "log1p", "log1p-zscore", "minmax"]),
)


def rendered_by_hand(values: NDArray[Any], view: View) -> NDArray[Any]:
    """Return a view step by step, in its order, in float64."""
    parts = {
        "scan_y=1:6,det_x=2:13": np.s_[1:6, :, :, 2:13],
        "scan_x=-4:,det_y=1:": np.s_[:, -4:, 1:],
    }
    chosen = values[parts.get(view.roi, np.s_[:])][:: view.scan_step, :: view.scan_step]
    made = downsample(chosen, view.factors, method=view.method).astype(np.float64)
    if view.clip_negative:
        made = np.maximum(made, 0)
    if view.normalize == "minmax":
        return (made - made.min()) / (made.max() - made.min())
    if view.normalize == "none":
        return made
    logs = np.log1p(np.maximum(made, 0))
    return logs if view.normalize == "log1p" else (logs - logs.mean()) / logs.std()


@given(VIEWS, st.sampled_from([(7, 9, 11, 14), (1, 2, 11, 14), (2, 9, 11, 14), (7, 9, 1, 14)]))
@settings(max_examples=120)
def test_steps_follow_their_order(
    make_scan: Callable[..., Document], view: View, block: tuple[int, ...]
) -> None:
    """A view equals its steps made one by one, however the source lies on disk."""
    document = dataclasses.replace(make_scan(COUNTS), blocks=TiledBlocks(COUNTS, block))
    made = apply(document, view, threads=2)
    np.testing.assert_allclose(
        read_all(made.blocks), rendered_by_hand(COUNTS, view), rtol=1e-5, atol=1e-5
    )


@given(VIEWS, st.data())
@settings(max_examples=60)
def test_any_box_equals_that_part_of_the_whole(
    make_scan: Callable[..., Document], view: View, data: st.DataObject
) -> None:
    """Reading a part renders what rendering the whole and taking the part gives."""
    made = apply(make_scan(COUNTS), view, threads=1)
    whole = read_all(made.blocks)
    box = [
        sorted(data.draw(st.lists(st.integers(0, n), min_size=2, max_size=2, unique=True)))
        for n in made.shape
    ]
    part = read_box(made.blocks, [a for a, _ in box], [b - a for a, b in box])
    expected = whole[tuple(slice(a, b) for a, b in box)]
    np.testing.assert_allclose(part, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("view", [View(scan_step=2, downsample=2), View(scan_downsample=3)])
def test_however_little_is_held_at_once_the_values_are_the_same(
    make_scan: Callable[..., Document], view: View
) -> None:
    """Patterns too large for the budget are read one by one, or as many as are joined."""
    blocks = apply(make_scan(COUNTS), view, threads=1).blocks
    assert isinstance(blocks, ViewBlocks)
    start = (0,) * len(blocks.shape)
    little = dataclasses.replace(blocks, piece_bytes=1)
    np.testing.assert_array_equal(
        read_box(little, start, blocks.shape), read_box(blocks, start, blocks.shape)
    )


@given(
    st.integers(1, 2),
    st.integers(1, 2),
    st.integers(1, 5),
    st.sampled_from(["bin", "stride", "gauss", "fft"]),
    st.integers(0, 3),
)
def test_coordinates_are_exact_after_every_step(
    make_scan: Callable[..., Document], step: int, join: int, factor: int, method: Any, first: int
) -> None:
    """Every axis follows the formula of its steps: region, step, joining, downsampling."""
    document = make_scan(COUNTS)
    view = acting(
        roi=f"scan_x={first}:,det_x={first}:",
        scan_step=step,
        scan_downsample=join,
        downsample=factor,
        method=method,
    )
    method = view.method
    made = apply(document, view)
    scan, detector = document.axis("scan_x"), document.axis("det_x")
    kept = math.ceil((scan.size - first) / step) // join
    offset = scan.offset + (first + (join - 1) / 2 * step) * scan.scale
    expected = offset + np.arange(kept) * scan.scale * step * join
    np.testing.assert_allclose(made.axis("scan_x").values(), expected, rtol=1e-12)
    size = detector.size - first
    start = detector.offset + first * detector.scale
    start += (factor - 1) / 2 * detector.scale if method == "bin" else 0
    stretch = size / (size // factor) if method == "fft" else factor
    expected = start + np.arange(size // factor) * detector.scale * stretch
    np.testing.assert_allclose(made.axis("det_x").values(), expected, rtol=1e-12)
    assert made.shape == tuple(axis.size for axis in made.axes)


def test_bin_coordinates_are_those_of_coarsen(make_scan: Callable[..., Document]) -> None:
    """The labelled Dataset of a binned view is what xarray's coarsen makes of the document."""
    document = make_scan(COUNTS)
    theirs = to_dataset(document).load().astype(float)
    theirs = theirs.coarsen(det_y=3, det_x=3, boundary="trim").mean()
    ours = to_dataset(apply(document, View(downsample=3))).load()
    xr.testing.assert_allclose(ours.astype(float), theirs)


@given(st.integers(1, 3), st.integers(1, 4), st.sampled_from(["mean", "sum"]))
def test_scan_positions_join_with_the_detector(
    make_scan: Callable[..., Document], join: int, factor: int, reduce: Any
) -> None:
    """Joined positions and binned pixels together are one coarsening over four dims."""
    assume(reduce == "mean" or join * factor > 1)
    made = apply(make_scan(COUNTS), View(scan_downsample=join, downsample=factor, reduce=reduce))
    array = xr.DataArray(COUNTS.astype(float), dims=("a", "b", "c", "d"))
    blocks = array.coarsen(a=join, b=join, c=factor, d=factor, boundary="trim")
    np.testing.assert_allclose(read_all(made.blocks), getattr(blocks, reduce)().values, rtol=1e-6)


def test_views_compose(make_scan: Callable[..., Document]) -> None:
    """A view of a view is both steps, and its words name both."""
    document = make_scan(COUNTS)
    once = apply(
        apply(document, View(downsample=2, reduce="sum")), View(downsample=2, reduce="sum")
    )
    both = apply(document, View(downsample=4, reduce="sum", roi="det_y=:8,det_x=:12"))
    np.testing.assert_array_equal(read_all(once.blocks), read_all(both.blocks))
    for ours, theirs in zip(once.axes, both.axes, strict=True):
        np.testing.assert_allclose(ours.values(), theirs.values())
    assert str(once.attributes["view"]).count("blocks of 2×2 detector pixels, sum") == 2


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("memory", [16 * 1024**2, 1024**3])
def test_statistics_do_not_depend_on_threads_or_memory(
    make_scan: Callable[..., Document], threads: int, memory: int
) -> None:
    """The extra pass gives the same bits however it is cut, and those of numpy in float64."""
    counts = np.random.default_rng(1).poisson(3, (40, 60, 8, 9)).astype(np.uint16)
    document = dataclasses.replace(make_scan(counts), blocks=TiledBlocks(counts, (1, 7, 8, 9)))
    found = measure_document(document, threads=threads, memory=memory)
    assert found == measure_document(make_scan(counts), threads=2)
    logs = np.log1p(counts.astype(float))
    assert found.count == counts.size
    assert (found.min, found.max) == (counts.min(), counts.max())
    np.testing.assert_allclose(found.mean, counts.mean(), rtol=1e-13)
    np.testing.assert_allclose(found.std, counts.std(), rtol=1e-12)
    np.testing.assert_allclose(found.log1p_mean, logs.mean(), rtol=1e-13)
    np.testing.assert_allclose(found.log1p_std, logs.std(), rtol=1e-12)
    assert found.zero_fraction == (counts == 0).mean()


def test_known_statistics_are_used_where_the_view_leaves_them_valid(
    make_scan: Callable[..., Document],
) -> None:
    """A document's own statistics scale it when all of its values are kept, and only then."""
    known = Statistics(
        count=1, min=0, max=10, mean=1, std=1, zero_fraction=0, log1p_mean=0.5, log1p_std=2.0
    )
    document = make_scan(COUNTS, statistics=known)
    kept = read_all(apply(document, View(normalize="log1p-zscore")).blocks)
    np.testing.assert_allclose(kept, (np.log1p(COUNTS) - 0.5) / 2, rtol=1e-5, atol=1e-6)
    stepped = read_all(apply(document, View(normalize="log1p-zscore", scan_step=2)).blocks)
    np.testing.assert_allclose(stepped.mean(), 0, atol=1e-6)
    np.testing.assert_allclose(stepped.std(), 1, rtol=1e-5)
    assert apply(document, View(dtype="float32")).statistics == known
    assert apply(document, View(downsample=2)).statistics is None


def test_logarithms_take_negative_values_as_zero(make_scan: Callable[..., Document]) -> None:
    """What rings below zero, or was subtracted, becomes 0 under a logarithm and never NaN."""
    values = np.array([-3.0, -0.5, 0.0, 1.0], np.float32).reshape(1, 1, 2, 2)
    made = read_all(apply(make_scan(values), View(normalize="log1p")).blocks)
    np.testing.assert_allclose(made.ravel(), [0, 0, 0, math.log(2)], rtol=1e-6)
    sparse = np.zeros((2, 2, 32, 32), np.uint16)
    sparse[..., 16, 16] = 100
    ringing = read_all(apply(make_scan(sparse), View(downsample=2, method="fft")).blocks)
    assert ringing.min() < 0
    clipped = View(downsample=2, method="fft", clip_negative=True)
    assert read_all(apply(make_scan(sparse), clipped).blocks).min() == 0


def test_values_that_are_all_the_same_scale_to_zero(make_scan: Callable[..., Document]) -> None:
    """A normalisation by a width of zero gives zeros, not NaN."""
    flat = make_scan(np.full((2, 2, 4, 4), 3, np.uint16))
    for normalize in ("log1p-zscore", "minmax"):
        np.testing.assert_allclose(
            read_all(apply(flat, View(normalize=normalize)).blocks), 0, atol=1e-6
        )


@pytest.mark.parametrize(
    ("values", "dtype", "message"),
    [
        (70000, "float16", "do not fit into float16"),
        (300, "uint8", "do not fit into uint8"),
        (-1, "uint8", "do not fit into uint8"),
        (0.5, "uint16", "fractions, which uint16 cannot hold"),
        (1e300, "float32", r"do not fit into float32 \(choose float64\)"),
        (np.nan, "uint8", "do not fit into uint8"),
        (np.inf, "int64", "do not fit into int64"),
    ],
)
def test_types_that_would_change_values_are_refused(
    make_scan: Callable[..., Document], values: float, dtype: str, message: str
) -> None:
    """A type that overflows or truncates is an error with a way out, not other numbers."""
    document = make_scan(np.full((1, 2, 3, 4), values))
    made = apply(document, View(dtype=dtype))
    with pytest.raises(UnsupportedDataError, match=message) as caught:
        read_all(made.blocks)
    assert "choose" in str(caught.value)


FLOATS = ("float16", "float32", "float64")
TYPES = (*FLOATS, *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))


@given(
    st.sampled_from(TYPES),
    st.sampled_from(TYPES),
    st.integers(0, 1).flatmap(lambda sign: st.tuples(st.just(sign), st.integers(0, 64))),
    st.integers(-1, 1),
)
@settings(max_examples=400)
def test_a_cast_keeps_the_value_or_is_refused(
    source: str, dtype: str, power: tuple[int, int], step: int
) -> None:
    """Around every power of two, where types end, Python's own numbers tell what a type holds."""
    kind = np.dtype(source)
    with np.errstate(over="ignore"):
        wanted = (-1) ** power[0] * (2 ** power[1] + step)
        ends = (np.finfo if kind.kind == "f" else np.iinfo)(kind)  # type: ignore[operator]
        value = kind.type(min(max(wanted, int(ends.min)), int(ends.max)))
    values, out = np.array([value, kind.type(0)]), np.ones(2, dtype)
    limits = (np.finfo if dtype in FLOATS else np.iinfo)(dtype)  # type: ignore[operator]
    if int(limits.min) <= int(value) <= int(limits.max):
        cast_checked(values, out.dtype, out)
        exact = int(value) if dtype not in FLOATS else float(np.dtype(dtype).type(value))
        assert out[0].item() == exact
    else:
        with pytest.raises(UnsupportedDataError, match="do not fit into") as caught:
            cast_checked(values, out.dtype, out)
        assert "choose" in str(caught.value.hint)
        assert not str(caught.value.hint).endswith(f"choose {dtype}")


def test_an_overflow_that_is_known_is_refused_before_any_work(
    make_scan: Callable[..., Document],
) -> None:
    """Where the document's largest value is known, nothing is read to refuse a type."""
    known = Statistics(
        count=1, min=0, max=90000, mean=1, std=1, zero_fraction=0, log1p_mean=1, log1p_std=1
    )
    document = make_scan(COUNTS.astype(np.uint32), statistics=known)
    with pytest.raises(UnsupportedDataError, match="float16"):
        apply(document, View(dtype="float16"))


def test_float_typed_counts_may_become_integers(make_scan: Callable[..., Document]) -> None:
    """Whole numbers that a camera stored as floats fit into an integer type unchanged."""
    made = apply(make_scan(COUNTS.astype(np.float32)), View(dtype="uint8"))
    np.testing.assert_array_equal(read_all(made.blocks), COUNTS)


def test_not_a_number_passes_and_does_not_spoil_the_rest(
    make_scan: Callable[..., Document],
) -> None:
    """Dead pixels that are NaN stay NaN; the statistics are those of the finite values."""
    values = COUNTS.astype(np.float32)
    values[0, 0, 0, 0] = np.nan
    made = read_all(apply(make_scan(values), View(normalize="minmax")).blocks)
    assert np.isnan(made[0, 0, 0, 0])
    assert np.nanmax(made) == 1.0
    assert np.isnan(read_all(apply(make_scan(values), View(dtype="float16")).blocks)[0, 0, 0, 0])


def test_other_labels_follow(make_scan: Callable[..., Document]) -> None:
    """Brightness and the mask of valid patterns follow the values."""
    valid = np.ones((7, 9), bool)
    valid[3, 4] = False
    brightness = Brightness(scale=0.1, offset=2.0, units="electron")
    document = make_scan(COUNTS, valid=valid, brightness=brightness)
    joined = apply(document, View(scan_downsample=3, reduce="sum", downsample=2))
    assert joined.valid is not None
    assert joined.valid.tolist() == [[True, True, True], [True, False, True]]
    assert joined.brightness == dataclasses.replace(brightness, offset=2.0 * 36)
    assert apply(document, View(downsample=2)).brightness == brightness
    assert apply(document, View(normalize="log1p")).brightness is None


@pytest.mark.parametrize("normalize", ["log1p-zscore", "minmax"])
@pytest.mark.parametrize("block", [(7, 9, 11, 14), (1, 2, 11, 14)])
@pytest.mark.parametrize("lost", [1, 20, 40])
def test_what_was_not_recovered_does_not_scale(
    make_scan: Callable[..., Document], normalize: Any, block: tuple[int, ...], lost: int
) -> None:
    """The zeros that stand for missing patterns enter no statistics, whatever joins positions."""
    counts = COUNTS + np.uint16(3)
    valid = (np.arange(63) < 63 - lost).reshape(7, 9)
    counts[~valid] = 0
    document = make_scan(counts, valid=valid)
    document = dataclasses.replace(document, blocks=TiledBlocks(counts, block))
    logs = np.log1p(counts[valid].astype(float))
    found = measure_document(document, threads=2)
    assert (found.count, found.min) == (logs.size, counts[valid].min())
    np.testing.assert_allclose([found.log1p_mean, found.log1p_std], [logs.mean(), logs.std()])
    made = read_all(apply(document, View(normalize=normalize)).blocks)[valid]
    wanted = (0, 1) if normalize == "log1p-zscore" else (made.mean(), made.std())
    np.testing.assert_allclose((made.mean(), made.std()), wanted, atol=1e-5)
    if normalize == "minmax":
        assert (made.min(), made.max()) == (0, 1)
    joined = apply(document, View(scan_downsample=2, normalize=normalize))
    assert joined.valid is not None
    kept = read_all(joined.blocks)[joined.valid]
    if normalize == "minmax":
        assert (kept.min(), kept.max()) == (0, pytest.approx(1))


def test_nothing_recovered_is_no_scale(make_scan: Callable[..., Document]) -> None:
    """Where no joined position is whole, there is nothing to scale by, and that is said."""
    valid = np.zeros((7, 9), bool)
    valid[0, 0] = True
    document = make_scan(COUNTS, valid=valid)
    with pytest.raises(UnsupportedDataError, match="no finite value"):
        apply(document, View(scan_downsample=2, normalize="minmax"))


def test_a_view_of_all_is_the_document_itself(make_scan: Callable[..., Document]) -> None:
    """The default view changes nothing."""
    document = make_scan(COUNTS)
    assert apply(document, View()) is document


def test_rendering_survives_a_pickle(make_scan: Callable[..., Document]) -> None:
    """A view can be sent to another process."""
    made = apply(make_scan(COUNTS), View(downsample=2, method="gauss", normalize="minmax"))
    again = pickle.loads(pickle.dumps(made))
    np.testing.assert_array_equal(read_all(again.blocks), read_all(made.blocks))


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (View(scan_step=2), "has no scan positions"),
        (View(scan_downsample=2), "has no scan positions"),
        (View(roi="scan_y=1:2"), "and has no axis 'scan_y'"),
        (View(downsample=12), "cannot downsample 11 detector pixels by 12"),
        (View(downsample=2, dtype="float32"), ""),
    ],
)
def test_views_of_other_documents(
    make_scan: Callable[..., Document], view: View, message: str
) -> None:
    """A single pattern takes what concerns its detector; the rest is refused by name."""
    scan = make_scan(COUNTS)
    pattern = dataclasses.replace(
        scan, kind="diffraction", axes=scan.axes[2:], blocks=ArrayBlocks(COUNTS[0, 0])
    )
    if message:
        with pytest.raises(OptionError, match=message):
            apply(pattern, view)
    else:
        expected = downsample(COUNTS[0, 0], (2, 2))
        np.testing.assert_allclose(read_all(apply(pattern, view).blocks), expected)


def test_an_image_has_no_detector(make_scan: Callable[..., Document]) -> None:
    """What downsamples a detector is refused by name where there is none."""
    scan = make_scan(COUNTS)
    axes = tuple(dataclasses.replace(a, name=n) for a, n in zip(scan.axes[2:], "yx", strict=True))
    image = dataclasses.replace(scan, kind="image", axes=axes, blocks=ArrayBlocks(COUNTS[0, 0]))
    with pytest.raises(OptionError, match="is of kind 'image' and has no detector"):
        apply(image, View(downsample=2))


@given(
    st.sampled_from(["", "scan_y=1:6,scan_x=2:8", "scan_y=2:", "det_x=3:"]),
    st.integers(1, 3),
    st.integers(1, 2),
)
def test_the_rectangle_in_the_survey_image_follows(
    make_scan: Callable[..., Document], roi: str, step: int, join: int
) -> None:
    """The rectangle encloses the kept positions, each as wide as the distance of its neighbours."""
    rectangle = {
        "scan_rect_top": 30,
        "scan_rect_left": 10,
        "scan_rect_bottom": 44,
        "scan_rect_right": 28,
    }
    document = make_scan(COUNTS, attributes=rectangle)
    made = apply(document, View(roi=roi, scan_step=step, scan_downsample=join))
    ends = {"scan_y": ("top", "bottom", 30), "scan_x": ("left", "right", 10)}
    for dim, (first, last, corner) in ends.items():
        whole, axis = document.axis(dim), made.axis(dim)
        places = (axis.values() - whole.offset) / whole.scale
        width = step * join
        low = places[0] - (join - 1) / 2 * step
        high = min(low + axis.size * width, whole.size)
        assert made.attributes[f"scan_rect_{first}"] == pytest.approx(corner + 2 * low)
        assert made.attributes[f"scan_rect_{last}"] == pytest.approx(corner + 2 * high)
    assert "scan_rect_top" not in apply(make_scan(COUNTS), View(scan_step=step + 1)).attributes


def test_joining_more_positions_than_there_are_is_refused(
    make_scan: Callable[..., Document],
) -> None:
    """The message names the axis and what is possible."""
    with pytest.raises(OptionError, match="cannot join 4 positions of scan_y by 5"):
        apply(make_scan(COUNTS), View(scan_step=2, scan_downsample=5))


def test_complex_values_take_regions_and_strides(make_scan: Callable[..., Document]) -> None:
    """Complex data can be cut and strided; what needs an order or a mean is refused."""
    waves = (COUNTS + 1j).astype(np.complex64)
    cut = apply(make_scan(waves), View(roi="scan_y=1:3", downsample=2, method="stride"))
    np.testing.assert_array_equal(read_all(cut.blocks), waves[1:3, :, :10:2, ::2])
    with pytest.raises(UnsupportedDataError, match="complex"):
        apply(make_scan(waves), View(normalize="log1p"))


def test_what_is_known_of_the_values_refuses_nothing_that_fits(
    make_scan: Callable[..., Document],
) -> None:
    """Clipped negatives fit an unsigned type, and booleans stay booleans."""
    for values, view in (
        (np.full((2, 2, 4, 4), -3, np.int16), View(clip_negative=True, dtype="uint8")),
        (np.ones((2, 2, 4, 4), bool), View(clip_negative=True)),
    ):
        document = make_scan(values)
        known = dataclasses.replace(document, statistics=measure_document(document))
        np.testing.assert_array_equal(read_all(apply(known, view).blocks), np.maximum(values, 0))
