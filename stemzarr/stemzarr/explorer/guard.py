"""Who may ask the server: the page that its owner opened, and nobody else.

A page from elsewhere can make a browser ask 127.0.0.1 too. It does not know the token; its name is
in the Origin that the browser sends; and where it has made its own name mean 127.0.0.1 (DNS
rebinding), that name is in the Host.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

__all__ = ["HEADERS", "is_allowed", "is_token", "may_change"]

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self';"
        " img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    "Server": "stemzarr",
}
"""Headers of every answer."""

_SAME = ("same-origin", "none")


def is_allowed(headers: Mapping[str, str], port: int) -> bool:
    """Return whether the headers of a request are those of a page of ours.

    Parameters
    ----------
    headers
        Of the request; their names in the case of HTTP.
    port
        Where the server listens.

    Examples
    --------
    >>> is_allowed({"Host": "127.0.0.1:80"}, 80), is_allowed({"Host": "evil.example:80"}, 80)
    (True, False)
    """
    hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
    host = headers.get("Host", "").lower()
    if host not in hosts:
        return False
    origin = headers.get("Origin")
    if origin is not None and origin.lower() != f"http://{host}":
        return False
    # Whoever follows a link to the page comes from elsewhere; what the page asks for does not.
    site, mode = headers.get("Sec-Fetch-Site", "none"), headers.get("Sec-Fetch-Mode", "navigate")
    return site in _SAME or mode == "navigate"


def may_change(headers: Mapping[str, str]) -> bool:
    """Return whether an allowed request may change a store: the script of a page of ours sent it.

    A link or a form elsewhere can send what `is_allowed` takes for a person who opens the page.

    Examples
    --------
    >>> may_change({"Origin": "http://127.0.0.1:80"}), may_change({})
    (True, False)
    """
    return "Origin" in headers and headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"


def is_token(given: str, token: str) -> bool:
    """Return whether a token is the right one, in a time that does not depend on where it is wrong.

    Examples
    --------
    >>> is_token("abc", "abc"), is_token("abd", "abc"), is_token("", "abc")
    (True, False, False)
    """
    return hmac.compare_digest(given.encode(), token.encode())
