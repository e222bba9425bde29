"""RedisRequest and RedisResponse: commands that go to Redis together, and the replies to them.

RedisMethod stands between them and a Call, as a method of a service does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Self

from pybrpc.errors import BadRequestError, BadResponseError, Phase
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.redis.command import Argument, command_name, pack_command
from pybrpc.protocols.redis.reply_parser import RedisError, Reply
from pybrpc.protocols.redis.shareable import check_sequence, check_shareable
from pybrpc.rpc.controller import Controller


class RedisRequest:
    """One or more commands, sent without others in between and answered in their order.

        RedisRequest().add("SET", "key", "value").add("GET", "key")

    May be sent any number of times. Not thread-safe while commands are added. After bRPC's
    RedisRequest; its AddCommandByComponents is `add`.
    """

    __slots__ = ("_names", "_packed")

    def __init__(self) -> None:
        self._names: list[str] = []
        self._packed = IOBuf()

    def add(self, *arguments: Argument) -> Self:
        """Add one command with its arguments: `str` is sent as UTF-8, `bytes` unchanged.

        BadRequestError, and nothing is added, for an argument of another type, and for a command
        that is not possible on a shared connection (SUBSCRIBE, BLPOP, SELECT, WATCH, ...).
        """
        name = command_name(arguments)
        check_shareable(name, arguments)
        pack_command(arguments, self._packed)
        self._names.append(name)
        return self

    def packed(self) -> IOBuf:
        """The bytes of all commands, shared, not copied.

        BadRequestError if there is no command, a MULTI without its EXEC, or nothing after ASKING.
        """
        if not self._names:
            raise BadRequestError("a RedisRequest needs a command; add one", phase=Phase.QUEUED)
        check_sequence(self._names)
        return self._packed.copy()

    def __len__(self) -> int:
        """The number of commands; bRPC's `command_size`."""
        return len(self._names)

    def __repr__(self) -> str:
        shown = ", ".join(self._names[:8])
        return f"<RedisRequest {shown}{', ...' if len(self) > 8 else ''}>"


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


@dataclasses.dataclass(frozen=True, slots=True)
class RedisBody:
    """The bytes of the commands of a request, and how many replies will come."""

    packed: IOBuf
    reply_count: int


@dataclasses.dataclass(frozen=True, slots=True)
class RedisMethod:
    """A CalledMethod. With `decode` its results hold `str` instead of bytes."""

    decode: bool

    @property
    def full_name(self) -> str:
        """The name that bRPC uses."""
        return "redis-server"

    @property
    def is_idempotent(self) -> bool:
        """False: an INCR that runs twice is wrong."""
        return False

    def serialize(self, request: Any, controller: Controller | None) -> RedisBody:
        if not isinstance(request, RedisRequest):
            text = f"request must be a pybrpc.redis.RedisRequest, not {request!r}"
            raise BadRequestError(text, phase=Phase.QUEUED)
        return RedisBody(request.packed(), len(request))

    def parse(self, response: list[Reply], max_body_size: int) -> RedisResponse:
        return RedisResponse(map(decoded, response) if self.decode else response)

    def fill(self, controller: Controller, response: Any) -> None:
        """Do nothing: a response of Redis has only replies."""
