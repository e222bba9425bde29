"""RedisRequest: commands that go to Redis together."""

from __future__ import annotations

from typing import Self

from pybrpc.errors import BadRequestError, Phase
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.redis.command import Argument, command_name, pack_command
from pybrpc.protocols.redis.shareable import check_shareable, check_transaction


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

        BadRequestError if there is no command, or a MULTI without its EXEC.
        """
        if not self._names:
            raise BadRequestError("a RedisRequest needs a command; add one", phase=Phase.QUEUED)
        check_transaction(self._names)
        return self._packed.copy()

    def __len__(self) -> int:
        """The number of commands; bRPC's `command_size`."""
        return len(self._names)

    def __repr__(self) -> str:
        shown = ", ".join(self._names[:8])
        return f"<RedisRequest {shown}{', ...' if len(self) > 8 else ''}>"
