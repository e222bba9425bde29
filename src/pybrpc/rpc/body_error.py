"""BodyError: why a body can't be packed or read."""

from __future__ import annotations

from typing import Self


class BodyError(ValueError):
    """What is wrong with a body, in words; "" if bRPC's own text says enough.

    Stays within `rpc`: `body` makes the RpcError of it that the side and the direction ask for.
    """

    @classmethod
    def of_missing(cls, what: str, extra: str) -> Self:
        """`what` needs a package that isn't installed; `extra` of pybrpc brings it."""
        return cls(f"{what} is not installed here; install it with: pip install 'pybrpc[{extra}]'")
