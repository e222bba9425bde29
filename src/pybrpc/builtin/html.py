"""Markup that escapes by default: `tag("td", name)` makes `<td>` with whatever `name` is, escaped.

Only `tag` and `join` make `Html`, all other text is escaped when it comes into a tag. So a name
that a peer has chosen can't become markup, unless somebody says `Html(name)`: don't.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import TypeAlias

VOID = frozenset(("br", "hr", "img", "input", "link", "meta", "wbr"))
"""Elements without an end tag."""
URL_ATTRIBUTES = frozenset(("href", "src", "action"))
SAFE_URLS = ("/", "?", "#", "https://")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""Characters that no HTML may have: control characters, and surrogates."""
_PLAIN = re.compile("[A-Za-z0-9_ .:/-]*")
"""Text in which no character has to be escaped."""


class Html(str):
    """Text that is markup already. A `str` made of it, by `+` or in an f-string, is no Html."""

    __slots__ = ()


Child: TypeAlias = "Html | str | int | float | Iterable[Child] | None"
Attribute: TypeAlias = "str | int | bool | None"


def escaped(text: str) -> Html:
    """Any text as markup; characters that HTML can't have become U+FFFD."""
    if _PLAIN.fullmatch(text):
        return Html(text)
    return Html(html.escape(_CONTROL.sub("\ufffd", text)))


def join(*children: Child) -> Html:
    """Children one after the other: text is escaped, `None` left out, lists flattened."""
    parts: list[str] = []
    _add(parts, children)
    return Html("".join(parts))


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Html:
    """An element. `class_` is class, `data_name` is data-name; `None` and False are left out.

    ValueError for a URL of another kind than those of pages: "javascript:" is none.
    """
    parts = ["<", name]
    for attribute, value in attributes.items():
        if value is None or value is False:
            continue
        key = attribute.rstrip("_").replace("_", "-")
        if value is True:
            parts.append(f" {key}")
            continue
        text = str(value)
        if key in URL_ATTRIBUTES and not _is_safe_url(text):
            raise ValueError(f"no page links to {text!r}")
        parts.append(f' {key}="{escaped(text)}"')
    parts.append(">")
    if name not in VOID:
        _add(parts, children)
        parts.append(f"</{name}>")
    return Html("".join(parts))


def _is_safe_url(url: str) -> bool:
    """Whether it is a path of this server, or of another one by https."""
    return url.startswith(SAFE_URLS) and not url.startswith("//") and "\\" not in url


def _add(parts: list[str], children: Iterable[Child]) -> None:
    for child in children:
        if isinstance(child, Html):
            parts.append(child)
        elif isinstance(child, str):
            parts.append(escaped(child))
        elif isinstance(child, int | float):
            parts.append(str(child))
        elif child is not None:
            _add(parts, child)
