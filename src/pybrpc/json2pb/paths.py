"""Paths that name a field from the root of a message: "content[1].ext.age"."""

from __future__ import annotations


def join(step: str, rest: str) -> str:
    """The path of `rest`, which is inside of `step`; either may be ""."""
    return f"{step}.{rest}" if step and rest and rest[0] != "[" else f"{step}{rest}"
