"""BodyError: the reason why a body can't be packed or read."""

from __future__ import annotations

from typing import Self


class BodyError(ValueError):
    """A body is wrong; the reason in words, or "" if bRPC's own text is enough.

    Only `rpc` sees it: the module `body` turns it into the RpcError that the side and the direction
    need.
    """

    is_missing: bool = False
    """Whether a package is not installed."""

    @classmethod
    def of_missing(cls, what: str, extra: str) -> Self:
        """`what` needs a package that isn't installed; `extra` of pybrpc brings it."""
        text = f"{what} is not installed here; install it with: pip install 'pybrpc[{extra}]'"
        error = cls(text)
        error.is_missing = True
        return error
