"""The files of the page, and the page as one file."""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import json
import re
from importlib.resources import files
from typing import Any

__all__ = [
    "MARK",
    "read_page_file",
    "render_served_page",
    "render_single_page",
    "script_digest",
    "script_json",
]

MARK = '<meta name="generator" content="stemzarr explore">'
"""What tells a page of ours from another file."""
_FOLDER = files("stemzarr.explorer") / "page"

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w.]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export ", re.MULTILINE)


def read_page_file(name: str) -> str:
    """Return the text of one of the files of the page."""
    return (_FOLDER / name).read_text(encoding="utf-8")


def render_single_page(
    title: str, about: dict[str, Any] | None = None, data: dict[str, str] | None = None
) -> str:
    """Return the page as one file, which needs no server and asks nobody for anything.

    Parameters
    ----------
    title
        Title of the page.
    about
        What the page shows, as JSON; without it, it asks for a store.
    data
        Texts that the page finds by their names: arrays in base64.
    """
    texts = {
        **({"about": script_json(about)} if about else {}),
        **(data or {}),
        "worker-source": _join("worker.js"),
    }
    policy = f'<meta http-equiv="Content-Security-Policy" content="{_policy("blob:")}">\n'
    return _render(title, "embedded" if about else "store", texts, policy)


def render_served_page(
    title: str, source: str, about: dict[str, Any] | None = None
) -> tuple[str, str]:
    """Return the page as its server sends it, at one go, and the policy of its header.

    Parameters
    ----------
    title
        Title of the page.
    source
        Where it gets its numbers: ``"server"``, or ``"notebook"``.
    about
        What it shows, as JSON; without it, it asks, and is answered why there is none.
    """
    texts = {"about": script_json(about)} if about else {}
    return _render(title, source, texts), _policy("'none'")


def _policy(workers: str) -> str:
    """Return what a browser may do for the page: run its one script, and ask its own server."""
    script, style = script_digest(_script()), script_digest(_style())
    return (
        f"default-src 'none'; script-src '{script}'; style-src '{style}';"
        f" worker-src {workers}; img-src data: blob:; connect-src 'self'; base-uri 'none';"
        " form-action 'none'"
    )


@functools.cache
def _script() -> str:
    return _join("main.js")


@functools.cache
def _style() -> str:
    return read_page_file("explorer.css")


def _render(title: str, source: str, texts: dict[str, str], policy: str = "") -> str:
    parts = "".join(
        f'<script type="text/plain" id="{html.escape(name)}">{text}</script>\n'
        for name, text in texts.items()
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"{MARK}\n{policy}"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{html.escape(title)}</title>\n<link rel="icon" href="data:,">\n'
        f"<style>{_style()}</style>\n</head>\n"
        f'<body data-source="{source}">\n'
        '<div id="page"><p class="trouble">Opening …</p>'
        "<noscript>This page needs JavaScript.</noscript></div>\n"
        f'{parts}<script type="module">{_script()}</script>\n</body>\n</html>\n'
    )


def _join(first: str) -> str:
    """Return a module and all that it imports as one script; no two define one name."""
    joined: dict[str, str] = {}

    def add(name: str) -> None:
        if name in joined:
            return
        text = read_page_file(name)
        joined[name] = ""
        for needed in _IMPORT.findall(text):
            add(needed)
        del joined[name]
        joined[name] = _EXPORT.sub("", _IMPORT.sub("", text))

    add(first)
    return "".join(joined.values())


def script_digest(text: str) -> str:
    """Return the digest by which a browser recognises the one script or style that may act."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def script_json(value: Any) -> str:  # noqa: ANN401 - any JSON
    """Return JSON that no HTML parser takes for the end of its script."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
