"""RedisResponse: the replies to the commands of a request."""

from __future__ import annotations

from collections.abc import Iterable

from pybrpc.errors import BadResponseError, Phase
from pybrpc.protocols.redis.redis_error import RedisError
from pybrpc.protocols.redis.reply_parser import Reply


class RedisResponse(tuple[Reply, ...]):
    """One reply for each command, in their order; bRPC's `reply(i)` is `response[i]`.

    A reply is bytes (`str` on a channel with decode=True), int, float, bool, `None`, a list or a
    dict of these, or a RedisError: a command that Redis refuses does not fail the other ones.
    """

    __slots__ = ()

    def raise_for_error(self) -> RedisResponse:
        """The response itself. Raises its first RedisError, also one inside another reply."""
        for error in errors_in(self):
            raise RedisError(error.text)
        return self

    def only(self) -> Reply:
        """The reply to the one command of the request. Raises it if it is a RedisError."""
        (reply,) = self
        if isinstance(reply, RedisError):
            raise RedisError(reply.text)
        return reply

    def __repr__(self) -> str:
        return f"<RedisResponse {list(self)!r}>"


def errors_in(replies: Iterable[Reply]) -> Iterable[RedisError]:
    """Every RedisError among some replies, in order."""
    for reply in replies:
        if isinstance(reply, RedisError):
            yield reply
        elif isinstance(reply, list):
            yield from errors_in(reply)
        elif isinstance(reply, dict):
            yield from errors_in(reply.values())


def decoded(reply: Reply) -> Reply:
    """The reply with `str` instead of bytes; BadResponseError if some bytes are not UTF-8."""
    if isinstance(reply, bytes):
        try:
            return reply.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadResponseError(
                f"a reply is not UTF-8: {error.reason} at byte {error.start} of {len(reply)}; use "
                "a channel without decode=True for it",
                phase=Phase.WAITING,
            ) from None
    if isinstance(reply, list):
        return list(map(decoded, reply))
    if isinstance(reply, dict):
        return {decoded(key): decoded(value) for key, value in reply.items()}
    return reply
