"""The style, the script and the icon of the pages: /css/pybrpc.css, /js/pybrpc.js, /favicon.ico.

They are files beside this module, read once, and are public: a page without its style is none.
"""

from __future__ import annotations

import functools
import hashlib
import pkgutil

from pybrpc.builtin.page import Access, PageEntry, PageError, PageRequest, PageResponse
from pybrpc.builtin.server_view import ServerView

_TYPES = {
    "css/pybrpc.css": "text/css; charset=utf-8",
    "js/pybrpc.js": "text/javascript; charset=utf-8",
    "favicon.ico": "image/svg+xml",
}
_FILES = {"favicon.ico": "favicon.svg"}
CACHE_CONTROL = "public, max-age=3600"


@functools.cache
def asset(path: str) -> tuple[bytes, str]:
    """The bytes of one of them, and its entity tag."""
    name = _FILES.get(path, path.rpartition("/")[2])
    data = pkgutil.get_data("pybrpc.builtin", f"assets/{name}")
    assert data is not None
    return data, f'"{hashlib.sha256(data).hexdigest()[:20]}"'


def url_of(path: str) -> str:
    """Its URL, which is another one when its bytes are: so caches never show an old one."""
    return f"/{path}?v={asset(path)[1][1:9]}"


def show_asset(request: PageRequest, server: ServerView) -> PageResponse:
    """One of the files; 304 to a client that has it."""
    path = f"{request.name}/{request.path}" if request.path else request.name
    if path not in _TYPES:
        raise PageError(404, "there is no such file")
    data, tag = asset(path)
    headers = {"ETag": tag, "Cache-Control": CACHE_CONTROL}
    if request.headers.get("if-none-match") == tag:
        return PageResponse(b"", _TYPES[path], 304, headers)
    return PageResponse(data, _TYPES[path], headers=headers)


ENTRIES = (
    PageEntry("css", show_asset, "", Access.PUBLIC),
    PageEntry("js", show_asset, "", Access.PUBLIC),
    PageEntry("favicon.ico", show_asset, "", Access.PUBLIC),
)
