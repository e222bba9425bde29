"""FailedAttempts: the attempts of one call that have failed, for the error that ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybrpc.errors import RpcError


class FailedAttempts:
    """Their texts, as C++ joins them, and whether the server may have run one of them.

    Used by the thread that owns the call. With a backup request, a thread whose attempt has failed
    first may add it at the same time: then one text may be missing, and the Hedge knows what ran.
    """

    __slots__ = ("may_have_run", "text")

    def __init__(self) -> None:
        self.text = ""
        self.may_have_run = False

    def add(self, error: RpcError, retried_count: int) -> None:
        """An attempt has failed with `error`, after so many retries."""
        retry = f"[R{retried_count}]" if retried_count else ""
        gap = " " if self.text else ""
        self.text += f"{gap}{retry}[E{error.code}]{error.text}"
        self.may_have_run = self.may_have_run or error.may_have_run

    def describe_in(self, error: RpcError) -> None:
        """Make `error`, with which the call ends, describe all attempts."""
        error.text = self.text
        error.args = (error.text,)
        if self.may_have_run:
            error._earlier_may_have_run = True

    def __repr__(self) -> str:
        return f"<FailedAttempts {self.text}>"
