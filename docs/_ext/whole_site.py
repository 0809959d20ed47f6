"""What must hold of the site as a whole: every public name is there, and no link leads nowhere."""

from __future__ import annotations

import html
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

_LINK = re.compile(r'<(?:a|img|script|link)\b[^>]*?\s(?:href|src)="([^"]*)"')
_PLACE = re.compile(r'\sid="([^"]+)"')


def _missing_names(app: Sphinx) -> Iterator[str]:
    """Give the public names that no page documents; Sphinx warns of those that two pages do."""
    documented = app.env.domains.python_domain.objects
    for package in app.config.public_packages:
        module = importlib.import_module(package)
        for name in module.__all__:
            value = getattr(module, name)
            defined = f"{getattr(value, '__module__', package)}.{name}"
            if f"{package}.{name}" not in documented and defined not in documented:
                yield f"{package}.{name} is on no page"


def _broken_links(folder: Path) -> Iterator[str]:
    """Give the links of the pages that lead to no file of the site, or to no place in it."""
    found = (path for path in folder.rglob("*.html") if "_static" not in path.parts)
    pages = {path.resolve(): path.read_text(encoding="utf-8") for path in found}
    places = {path: set(_PLACE.findall(text)) for path, text in pages.items()}
    for path, text in pages.items():
        for written in sorted(set(_LINK.findall(text))):
            link = unquote(html.unescape(written))
            if re.match(r"[a-z]+:|//", link):
                continue
            target, _, place = link.partition("#")
            target = target.partition("?")[0]
            leads_to = (path.parent / target).resolve() if target else path
            known = places.get(leads_to)
            if not leads_to.exists() or (known is not None and place and place not in known):
                yield f"{path.relative_to(folder.resolve())}: {link} leads nowhere"


def check_site(app: Sphinx, failure: Exception | None) -> None:
    """Fail the build where something is missing, all of it in one message."""
    if failure is None and app.builder.format == "html":
        wrong = [*_missing_names(app), *_broken_links(Path(app.outdir))]
        if wrong:
            raise ExtensionError("\n".join(["the site is not whole:", *wrong]))


def setup(app: Sphinx) -> dict[str, Any]:
    """Check the site when all of it is built."""
    app.add_config_value("public_packages", [], "env")
    app.connect("build-finished", check_site)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
