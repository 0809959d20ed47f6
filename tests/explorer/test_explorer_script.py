"""The page's JavaScript, run in Node and in a browser, does what Python does."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from stemzarr import explorer
from stemzarr.explorer import Explorer

Draw = Callable[..., Any]
Serve = Callable[[Path], AbstractContextManager[Explorer]]
Node = Callable[..., Any]

AXES = [
    {"name": "det_y", "size": 21, "scale": 0.25, "offset": -1.5, "units": "1/nm"},
    {"name": "det_x", "size": 17, "scale": 0.2, "offset": -1.1, "units": "1/nm"},
]


def test_modules_import_one_way_and_share_no_name() -> None:
    """Every module is a file of the page, none is part of a circle, and no two define one name."""
    imports, names = {}, []
    for path in (Path(explorer.__file__).parent / "page").glob("*.js"):
        name, text = path.name, path.read_text(encoding="utf-8")
        found = re.findall(r'^import \{[^}]*\} from "\./([\w.]+)";$', text, re.MULTILINE)
        assert len(found) == len(re.findall(r"^import\b", text, re.MULTILINE)), name
        imports[name] = set(found)
        names += re.findall(
            r"^(?:export )?(?:async )?(?:function|class|const|let) (\w+)", text, re.MULTILINE
        )
        assert "innerHTML" not in text
        assert len(text.splitlines()) < 500
    while imports:
        free = {name for name, needed in imports.items() if not needed & imports.keys()}
        assert free, f"a circle of {sorted(imports)}"
        for name in free:
            del imports[name]
    assert sorted(names) == sorted(set(names))


def test_masks_and_tile_weights_are_those_of_python(node: Node) -> None:
    """A detector selects the same pixels while it is dragged as when it is computed."""
    texts = ["+ring:0.1,0.2,0.3,1.1", "-rect:-0.6,-0.4,0.9,1", "+ring:0,0,0.5,inf"]
    script = """
    const page = await import("PAGE/detectors.js");
    const axes = JSON.parse(process.argv[1]), text = process.argv[2];
    const detectors = page.parseDetectors(text);
    console.log(JSON.stringify({
      text: page.formatDetectors(detectors),
      masks: detectors.map((each) => Array.from(page.maskOf(each, ...axes))),
      weights: Array.from(page.tileWeights(detectors, 8, ...axes)),
    }));
    """
    found = node(script, json.dumps(AXES), ";".join(texts))
    assert found["text"] == ";".join(texts)
    y, x = (axis["offset"] + np.arange(axis["size"]) * axis["scale"] for axis in AXES)
    distance = np.hypot(y[:, None] - 0.1, x - 0.2)
    expected = [
        (distance >= 0.3) & (distance < 1.1),
        ((y >= -0.6) & (y < 0.9))[:, None] & ((x >= -0.4) & (x < 1)),
        np.hypot(y[:, None], x) >= 0.5,
    ]
    for mask, right in zip(found["masks"], expected, strict=True):
        np.testing.assert_array_equal(np.reshape(mask, right.shape), right)
    signed = expected[0] * 1.0 - expected[1] + expected[2]
    tiles = [
        [signed[i : i + 8, j : j + 8].mean() for j in range(0, 17, 8)] for i in range(0, 21, 8)
    ]
    np.testing.assert_allclose(np.reshape(found["weights"], (3, 3)), tiles, atol=1e-12)


def test_images_of_tiles_follow_any_change(node: Node) -> None:
    """What is added to the last image equals what is summed from the start."""
    script = """
    const { TileImages } = await import("PAGE/tiles.js");
    const { parseDetectors, tileWeights } = await import("PAGE/detectors.js");
    const axes = JSON.parse(process.argv[1]);
    const sums = Float32Array.from({ length: 9 * 6 }, (_, i) => (i * 7919) % 101);
    const tiles = { sums, down: 3, across: 3, height: 2, width: 3, tile: 8, step: 1 };
    const images = new TileImages(tiles, ...axes);
    let worst = 0;
    for (let i = 0; i < 60; i++) {
      const ring = `+ring:${Math.sin(i)},${Math.cos(i)},0,${1 + i / 50}`;
      const detectors = parseDetectors(`${ring};-rect:0,0,${i / 40 + 0.3},1`);
      const weights = tileWeights(detectors, 8, ...axes);
      const image = images.make(detectors).values;
      for (let p = 0; p < 6; p++) {
        let right = 0;
        weights.forEach((weight, t) => { right += weight * sums[t * 6 + p]; });
        worst = Math.max(worst, Math.abs(right - image[p]));
      }
    }
    console.log(JSON.stringify(worst));
    """
    assert node(script, json.dumps(AXES)) < 1e-9


def test_likeness_is_the_correlation_of_tiles(node: Node) -> None:
    """That of each position with the chosen one, as numpy has it; none where a pattern is flat."""
    script = """
    const { TileImages } = await import("PAGE/tiles.js");
    const sums = Float32Array.from(JSON.parse(process.argv[1]));
    const tiles = { sums, down: 3, across: 3, height: 2, width: 3, tile: 8, step: 1 };
    console.log(JSON.stringify(Array.from(new TileImages(tiles).likeness(1, 0).values)));
    """
    sums = np.random.default_rng(2).integers(0, 50, (9, 6))
    sums[:, 5] = 7
    found = node(script, json.dumps(sums.ravel().tolist()))
    expected = [np.corrcoef(sums[:, 3], sums[:, p])[0, 1] for p in range(5)]
    np.testing.assert_allclose(found[:5], expected)
    assert found[5] is None


def test_the_address_holds_every_state(node: Node) -> None:
    """What is written is read back; what is not ours changes nothing."""
    script = """
    const { initialState, readState, writeState } = await import("PAGE/state.js");
    const presets = { bright_field: "+ring:0,0,0,1" };
    const about = { kind: "4d-stem", shape: [40, 50, 9, 9], presets };
    const first = initialState(about);
    const state = {
      y: 7, x: 49, region: [1, 2, 3, 4], index: 3, bad: true, show: "like",
      detectors: [{ sign: -1, shape: "ring", numbers: [0.1, -2e-7, 0, Infinity] }],
      profile: { panel: "pattern", line: [0, 1.5, 2, 3] },
      image: { map: "gray inverted", scale: "gamma", gamma: 0.3, low: -4, high: 1e9 },
      pattern: { map: "cividis", scale: "log", gamma: 0.5, low: null, high: null },
    };
    const back = readState(writeState(state, about), first, about);
    const odd = ["y=-1&x=1e9&region=9,9,1,1&detectors=<b>&image=red,log,1,,", "%%%", "y=%zz", "="];
    const text = (value) => JSON.stringify(Object.entries(value).sort());
    const same = odd.map((address) => text(readState(address, first, about)) === text(first));
    const infinite = back.detectors[0].numbers[3] === Infinity;
    console.log(JSON.stringify([infinite, text(back) === text(state), same]));
    """
    infinite, equal, same = node(script)
    assert infinite
    assert equal
    assert all(same)


def test_a_tiff_holds_the_values(node: Node) -> None:
    """Tifffile reads values, units and the length of a pixel."""
    script = """
    const { encodeTiff } = await import("PAGE/tiff.js");
    const axis = { calibrated: true, units: "\\u00b5m", scale: 0.25 };
    const plane = { values: Uint16Array.from([1, 2, 3, 4, 5, 65535]), width: 3, height: 2 };
    const tiff = encodeTiff(plane, axis, { ...axis, scale: 2.5 });
    console.log(JSON.stringify(Array.from(new Uint8Array(tiff))));
    """
    with tifffile.TiffFile(io.BytesIO(bytes(node(script)))) as file:
        page = file.pages[0]
        np.testing.assert_array_equal(page.asarray(), np.float32([[1, 2, 3], [4, 5, 65535]]))
        assert file.imagej_metadata is not None
        assert file.imagej_metadata["unit"] == "um"
        top, bottom = page.tags["XResolution"].value
        assert top / bottom == pytest.approx(1 / 2.5)


@pytest.mark.parametrize("name", ["gray", "gray inverted", "viridis", "cividis", "inferno"])
def test_colour_maps_are_the_published_ones(name: str, node: Node) -> None:
    """No colour is off by more than can be seen, and brightness only grows or only falls."""
    matplotlib = pytest.importorskip("matplotlib")
    script = """
    const { colourTable } = await import("PAGE/colours.js");
    const bytes = new Uint8Array(colourTable(process.argv[1], 256).buffer);
    console.log(JSON.stringify(Array.from(bytes)));
    """
    found = np.reshape(node(script, name), (256, 4))
    right = matplotlib.colormaps[{"gray inverted": "gray_r"}.get(name, name)](np.arange(256)) * 255
    assert np.abs(found - right).max() < 4.5
    light = found[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert len({bool(step > 0) for step in np.diff(light[::8])}) == 1


def test_a_browser_shows_a_scan(draw: Draw, dm4: Path, serve: Serve) -> None:
    """A file that was never ingested: its image is exact, its pattern is read."""
    with serve(dm4) as server:
        page = draw(f"{server.address}#y=1&x=2", "exact")
    assert "Pattern 1, 2" in page.text
    assert "exact" in page.text
    assert "y 1, x 2 · 2.5 nm, 5 nm" in page.text
    assert page.tags.count("canvas") == 5


def test_a_browser_runs_nothing_of_a_title(draw: Draw, dm4: Path, serve: Serve) -> None:
    """A title that is a script is a title."""
    import dataclasses

    evil = "</title><script>document.body.textContent='ran'</script><img src=x onerror=alert(1)>"
    with serve(dm4) as server:
        subject = server.subjects.open("", None)
        subject.name = evil
        subject.document = dataclasses.replace(
            subject.document, title=evil, notes=(evil,), facts={"operator": evil}
        )
        page = draw(server.address, "exact")
    assert page.text.count(evil) >= 3
    # What the page knows, which is text, and its one module.
    assert page.tags.count("script") == 2
    assert "img" not in page.tags


def test_colours_of_shifts_are_those_of_the_copied_python(node: Node) -> None:
    """Hue and brightness as numpy has them by the formula that Copy Python gives."""
    script = """
    const { colourShifts } = await import("PAGE/deflection.js");
    const plain = (values) => ({ values: Float64Array.from(values), height: 5, width: 8 });
    const [y, x] = JSON.parse(process.argv[1]).map(plain);
    const { plane, top } = colourShifts({ com_y: y, com_x: x });
    console.log(JSON.stringify([Array.from(plane.values), top, plane.channels]));
    """
    y, x = np.random.default_rng(4).normal(3, 1, (2, 40))
    colours, top, channels = node(script, json.dumps([y.tolist(), x.tolist()]))
    y, x = y - y.mean(), x - x.mean()
    size = np.hypot(y, x)
    assert top == pytest.approx(np.sort(size)[39])
    thirds = 2 * np.pi * np.arange(3) / 3
    angle, share = np.arctan2(y, x)[:, None], np.clip(size / top, 0, 1)[:, None]
    expected = 255 * share * (0.5 + 0.5 * np.cos(angle - thirds))
    assert np.abs(np.reshape(colours, (40, 3)) - expected).max() <= 0.5 + 1e-9
    assert channels == 3


def test_a_calibrated_ring_stays_where_it_is(node: Node) -> None:
    """In the new units of the axes each detector covers the same pixels."""
    script = """
    const { carryOver, ringOf } = await import("PAGE/calibrating.js");
    const { maskOf, parseDetectors } = await import("PAGE/detectors.js");
    const before = JSON.parse(process.argv[1]);
    const after = before.map((axis) => ({ ...axis, scale: axis.scale * 7, offset: 3 }));
    const detectors = parseDetectors("+ring:0.1,0.2,0.3,1.1;-rect:-0.6,-0.4,0.9,1");
    const moved = carryOver(detectors, before, after);
    const masks = (each, axes) => each.map((one) => Array.from(maskOf(one, ...axes)).join(""));
    console.log(JSON.stringify([
      masks(detectors, before), masks(moved, after), ringOf(detectors[0], ...before),
      ringOf(detectors[1], ...before),
    ]));
    """
    before, after, ring, none = node(script, json.dumps(AXES))
    assert before == after
    assert ring["center_y"] == pytest.approx((0.1 + 1.5) / 0.25)
    assert ring["center_x"] == pytest.approx((0.2 + 1.1) / 0.2)
    assert ring["radius"] == pytest.approx(1.1 / np.sqrt(0.25 * 0.2))
    assert none is None
