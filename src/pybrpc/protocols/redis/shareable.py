"""Refuses the commands that a connection shared by many callers can't carry.

On such a connection, replies are matched to commands by their order alone, and its state is the
state of all callers. So a command is refused if it has no reply or several, if it delays the
replies of all commands behind it, or if it changes the state of the connection for all callers.

MULTI ... EXEC is accepted within one request: a request is contiguous on the wire, so no other
command comes in between, and EXEC ends the transaction whatever its reply. C++ bRPC refuses no
command.
"""

from __future__ import annotations

from collections.abc import Sequence

from pybrpc.errors import BadRequestError, Phase
from pybrpc.protocols.redis.command import Argument, command_name

_PUBSUB = (
    "it turns the connection, which all callers share, into one for messages only; use a "
    "connection of your own, such as redis-py's"
)
_BLOCKS = (
    "it would block all callers that share the connection until it ends; poll with its form that "
    "does not block, or use a connection of your own, such as redis-py's"
)
_LOGIN = (
    "it would change the login or protocol of everybody who shares the connection; give "
    "username=, password= and protocol= to a RedisChannel of your own"
)
_ENDLESS = "it answers without end on a connection that all callers share; use redis-cli"
_WATCHES = (
    "a transaction that is watched takes several requests, and other callers' commands on the "
    "shared connection come between them; use a Lua script (EVAL), or a connection of your own"
)
_SELECTS = (
    "it would change the database of everybody who shares the connection; give db= to a "
    "RedisChannel of your own"
)
_MULTI = (
    "MULTI and EXEC must be in one request, RedisRequest().add('MULTI')...add('EXEC'): the "
    "connection is shared, and other callers' commands would come between two requests"
)

_COMMANDS = {
    _PUBSUB: "SUBSCRIBE PSUBSCRIBE SSUBSCRIBE UNSUBSCRIBE PUNSUBSCRIBE SUNSUBSCRIBE",
    _BLOCKS: "BLPOP BRPOP BRPOPLPUSH BLMOVE BLMPOP BZPOPMIN BZPOPMAX BZMPOP WAIT WAITAOF",
    _LOGIN: "AUTH HELLO RESET",
    _ENDLESS: "MONITOR SYNC PSYNC REPLCONF",
    _WATCHES: "WATCH UNWATCH",
    _SELECTS: "SELECT",
    "it would end the connection of everybody who shares it; close the channel instead": "QUIT",
    "leave MULTI out instead of discarding what follows it": "DISCARD",
}
_REFUSED = {name: why for why, names in _COMMANDS.items() for name in names.split()}
_DOUBTFUL = frozenset({"MULTI", "EXEC", "XREAD", "XREADGROUP", "CLIENT", "SCRIPT"})


def check_shareable(name: str, arguments: Sequence[Argument]) -> None:
    """Raise BadRequestError, with the reason and advice, if a shared connection can't carry the
    command. `name` is its `command_name`.

    MULTI and EXEC are checked by `check_transaction`, together with the commands around them.
    """
    why = _REFUSED.get(name) or (name in _DOUBTFUL and _why_not(name, arguments))
    if why:
        raise refused(f"{name} is refused: {why}")


def check_transaction(names: Sequence[str]) -> None:
    """Raise BadRequestError unless each MULTI in the commands of a request is ended by an EXEC."""
    is_open = False
    for name in names:
        if name in ("MULTI", "EXEC"):
            if is_open is (name == "MULTI"):
                raise refused(_MULTI)
            is_open = not is_open
    if is_open:
        raise refused(_MULTI)


def _why_not(name: str, arguments: Sequence[Argument]) -> str:
    if name in ("MULTI", "EXEC"):
        return "it takes no arguments" if len(arguments) > 1 else ""
    if name in ("XREAD", "XREADGROUP"):
        return _BLOCKS if "BLOCK" in _options_before_streams(name, arguments) else ""
    words = (name, command_name(arguments[1:]) if len(arguments) > 1 else "")
    if words == ("CLIENT", "REPLY"):
        return "replies are matched by their order; without one, all later ones would be mixed up"
    return _ENDLESS if words == ("SCRIPT", "DEBUG") else ""


def _options_before_streams(name: str, arguments: Sequence[Argument]) -> list[str]:
    begin = 4 if name == "XREADGROUP" else 1  # after GROUP, its name and the consumer's
    words = [command_name([argument]) for argument in arguments[begin : begin + 6]]
    return words[: words.index("STREAMS")] if "STREAMS" in words else words


def refused(text: str) -> BadRequestError:
    return BadRequestError(text, phase=Phase.QUEUED)
