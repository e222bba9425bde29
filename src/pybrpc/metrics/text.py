"""Values as text, in the form of C++ bRPC: streams with six significant digits."""

from __future__ import annotations

from pybrpc.base.guard import escaped


def text_of(value: object, quote_strings: bool = False) -> str:
    """`value` as `/vars` of bRPC shows it.

    Numbers: integers in full, others with six digits; a bool is 1 or 0; None (no value yet) is 0.
    A list or tuple is `[a,b]`. Strings are quoted if asked, their control characters escaped: a
    value is always one line. All else is its `str`.
    """
    kind = type(value)
    if kind is int:
        return str(value)
    if kind is float:
        return f"{value:g}"
    if value is None:
        return "0"
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, list | tuple):
        return f"[{','.join(text_of(each) for each in value)}]"
    text = escaped(str(value))
    return f'"{text}"' if quote_strings and isinstance(value, str) else text
