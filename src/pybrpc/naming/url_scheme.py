"""How a URL of a naming service is told from the address of a server. All channels ask that."""

from __future__ import annotations

import re

SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,30}", re.IGNORECASE)


def is_naming_url(text: object) -> bool:
    """Whether `text` is a string with a scheme, such as "list://", not the address of a server."""
    if not isinstance(text, str):
        return False
    scheme, separator, _ = text.strip().partition("://")
    return bool(separator) and SCHEME.fullmatch(scheme) is not None
