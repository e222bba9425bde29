"""Keys of JSON that are no identifiers, as names of fields (json2pb/encode_decode.cpp).

Each byte that an identifier can't have is written as `_Zddd_`, its number in three digits: the
field `uid_Z042_` has the key "uid*".
"""

from __future__ import annotations

import re

_ESCAPE = re.compile(rb"_Z([01][0-9]{2}|2[0-4][0-9]|25[0-5])_")
_NOT_IN_NAMES = re.compile(rb"[^A-Za-z0-9_]|\A[0-9]")


def encode_name(key: str) -> str:
    """The name of the field that has this key."""

    def escape(match: re.Match[bytes]) -> bytes:
        return b"_Z%03d_" % match[0][0]

    return _NOT_IN_NAMES.sub(escape, key.encode("utf-8", "surrogatepass")).decode("ascii")


def decode_name(name: str) -> str:
    """The key of the field with this name. It is the name if its escapes are no UTF-8."""
    if "_Z" not in name:
        return name
    try:
        return _ESCAPE.sub(lambda match: bytes([int(match[1])]), name.encode()).decode()
    except UnicodeDecodeError:
        return name
