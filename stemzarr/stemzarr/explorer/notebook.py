"""The page in a notebook: a frame of the output, its questions answered by the kernel."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anywidget
import traitlets

from stemzarr.errors import OptionError, StemzarrError
from stemzarr.explorer.detectors import parse_detectors
from stemzarr.explorer.page import read_page_file, render_served_page
from stemzarr.explorer.subject import Subject
from stemzarr.explorer.tile_sums import TileSums
from stemzarr.explorer.wire import from_array
from stemzarr.model import Document, Source

__all__ = ["ExplorerWidget", "explore_document"]

_THREADS = 2


class ExplorerWidget(anywidget.AnyWidget):
    """A scan to see and touch in a notebook.

    Parameters
    ----------
    subject
        The document that is shown.
    height
        Height of the frame in pixels of the screen.
    """

    _esm = read_page_file("notebook.mjs")
    _page = traitlets.Unicode().tag(sync=True)
    height = traitlets.Int(760).tag(sync=True)
    """Height of the frame in pixels of the screen."""
    position = traitlets.Tuple(traitlets.Int(), traitlets.Int(), default_value=(0, 0)).tag(
        sync=True
    )
    """Which pattern is looked at, (scan_y, scan_x); to set it moves the page there."""
    region = traitlets.Tuple(default_value=()).tag(sync=True)
    """Top, left, bottom and right of the region whose mean is looked at; empty for one position."""
    detectors = traitlets.Unicode().tag(sync=True)
    """The virtual detectors as the address of the page writes them, ``+ring:0,0,0,1.5;-rect:…``."""

    def __init__(self, subject: Subject, *, height: int = 760) -> None:
        self._subject = subject
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="stemzarr-notebook")
        self._running: dict[str, threading.Event] = {}
        about = {**subject.describe(), "path": "", "edit": False, "saves": []}
        rows, columns = (*subject.document.shape, 1)[:2]
        page, _ = render_served_page(subject.name, "notebook", about)
        super().__init__(
            _page=page,
            height=height,
            position=((rows - 1) // 2, (columns - 1) // 2),
            detectors=subject.presets.get("bright_field", ""),
        )
        self.on_msg(self._receive)

    @traitlets.validate("position")
    def _check_position(self, proposal: Any) -> Any:  # noqa: ANN401 - of traitlets
        y, x = proposal["value"]
        if self._subject.is_scan:
            self._subject.check_inside(y, x, y + 1, x + 1)
        return proposal["value"]

    @traitlets.validate("region")
    def _check_region(self, proposal: Any) -> Any:  # noqa: ANN401 - of traitlets
        if proposal["value"]:
            self._subject.check_inside(*_integers(proposal["value"]))
        return proposal["value"]

    @traitlets.validate("detectors")
    def _check_detectors(self, proposal: Any) -> Any:  # noqa: ANN401 - of traitlets
        if proposal["value"]:
            parse_detectors(proposal["value"])
        return proposal["value"]

    def close(self) -> None:
        """Take the page away, and end what is computed for it."""
        for stopped in self._running.values():
            stopped.set()
        self._subject.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        super().close()

    def _receive(self, _: object, content: Any, __: object) -> None:  # noqa: ANN401 - any JSON
        ask = content.get("ask") if isinstance(content, dict) else None
        if isinstance(ask, dict):
            self._pool.submit(self._answer, ask)

    def _answer(self, ask: dict[str, Any]) -> None:
        """Send what the page asks for; of the slow ones, the last takes the place of the others."""
        key, what = ask.get("id"), str(ask.get("what"))
        stopped = threading.Event()
        if what in ("image", "mean", "com"):
            earlier = self._running.get(what)
            if earlier is not None:
                earlier.set()
            self._running[what] = stopped

        def report(done: int, total: int) -> None:
            if stopped.is_set():
                raise InterruptedError
            if what == "image":
                self.send({"id": key, "share": done / max(1, total)})

        try:
            found = self._compute(what, ask.get("parameters") or {}, report)
            tiles = found if isinstance(found, TileSums) else None
            header, data = from_array(found.sums if isinstance(found, TileSums) else found)
            more = {"tiles": f"{tiles.tile},{tiles.step},{int(tiles.whole)}"} if tiles else {}
            self.send({"id": key, "array": header, **more}, buffers=[data])
        except InterruptedError:
            self.send({"id": key, "stopped": True})
        except StemzarrError as error:
            self.send({"id": key, "error": error.message, "hint": error.hint})
        except Exception as error:  # noqa: BLE001 - the page says it, whatever it is
            self.send({"id": key, "error": f"{type(error).__name__}: {error}"})

    def _compute(self, what: str, given: dict[str, Any], progress: Any) -> Any:  # noqa: ANN401
        subject = self._subject
        if what == "pattern":
            return subject.pattern(*_integers(given.get(name) for name in "yx"))
        if what == "mean":
            names = ("top", "left", "bottom", "right")
            top, left, bottom, right = _integers(given.get(name) for name in names)
            return subject.mean(top, left, bottom, right, progress)
        if what == "image":
            return subject.image(str(given.get("detectors")), progress)
        if what == "com":
            return subject.center_of_mass(progress)
        if what == "plane":
            return subject.plane(*_integers([given.get("index")]))
        plain = {"totals": subject.totals, "bad": subject.bad_pixels, "tiles": subject.tiles}
        if what not in plain:
            raise OptionError(f"{what!r} is not known", hint="show the widget again")
        return plain[what]()


def _integers(values: Any) -> list[int]:  # noqa: ANN401 - any JSON
    found = list(values)
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in found):
        raise OptionError(f"{found} are not all integers", hint="give scan positions")
    return found


def explore_document(document: Document, *, height: int = 760) -> ExplorerWidget:
    """Return a document as a widget."""
    from pathlib import Path

    source = Source(
        path=Path(document.slug),
        format="dataset",
        size=0,
        modified_ns=0,
        documents=(document,),
        main=document.index,
    )
    return ExplorerWidget(Subject(source, None, document.title or document.slug), height=height)
