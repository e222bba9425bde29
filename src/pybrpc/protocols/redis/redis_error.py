"""RedisError: an error reply of a Redis server."""

from __future__ import annotations

from pybrpc.errors import PyBrpcError


class RedisError(PyBrpcError):
    """The reply of Redis to a command that failed, such as "WRONGTYPE Operation ...".

    It is a value among the replies of a request; `raise_for_error()` and `execute` raise it. It is
    no RpcError, because the call itself succeeded. Like bRPC's REDIS_REPLY_ERROR.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    @property
    def code(self) -> str:
        """The first word, which names the kind of error: "WRONGTYPE", "NOPERM", "ERR"."""
        return self.text.partition(" ")[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RedisError) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"<RedisError {self.text}>"
