"""RedisError: an error reply of a Redis server."""

from __future__ import annotations

from pybrpc.errors import PyBrpcError


class RedisError(PyBrpcError):
    """What Redis answers to a command that it does not carry out: "WRONGTYPE Operation ...".

    A value among the replies of a request; `raise_for_error()` and `execute` raise it. The call
    itself went well, so it is no RpcError. After bRPC's REDIS_REPLY_ERROR.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    @property
    def code(self) -> str:
        """The first word, by which Redis tells errors apart: "WRONGTYPE", "NOPERM", "ERR"."""
        return self.text.partition(" ")[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RedisError) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"<RedisError {self.text}>"
