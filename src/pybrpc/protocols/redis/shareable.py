"""Refuses the commands that a connection shared by many callers can't carry.

On such a connection, replies are matched to commands by their order alone, and its state is the
state of all callers. So a command is refused if it has no reply or several, if it delays the
replies of all commands behind it, or if it changes the state of the connection for all callers.
Options are read as Redis reads them: XREAD takes BLOCK anywhere before STREAMS, and a group may
have the name BLOCK.

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
_NAMES = (
    "it would change the name of a connection that all callers share; give client_name= to a "
    "RedisChannel of your own"
)
_CLUSTER = (
    "it would change what the connection may read for everybody who shares it; use a connection of "
    "your own, such as redis-py's"
)
_TRACKING = (
    "it would change the connection for everybody who shares it, and nobody would see its "
    "invalidations; use a connection of your own, such as redis-py's"
)
_OPTION = (
    "it would change the connection for everybody who shares it; use a connection of your own, "
    "such as redis-py's"
)
_HTTP = (
    "Redis takes it for an attack by way of HTTP, and closes the connection of everybody who "
    "shares it"
)
_REPLY = "replies are matched by their order; without one, all later ones would be mixed up"
_ASKING = (
    "it is for the next command, which on a shared connection may be another caller's; add that "
    "command to the same request"
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
    _CLUSTER: "READONLY READWRITE",
    _HTTP: "POST HOST:",
    "it would end the connection of everybody who shares it; close the channel instead": "QUIT",
    "leave MULTI out instead of discarding what follows it": "DISCARD",
}
_REFUSED = {name: why for why, names in _COMMANDS.items() for name in names.split()}
_SUBCOMMANDS = {
    ("CLIENT", "REPLY"): _REPLY,
    ("CLIENT", "SETNAME"): _NAMES,
    ("CLIENT", "SETINFO"): _NAMES,
    ("CLIENT", "TRACKING"): _TRACKING,
    ("CLIENT", "CACHING"): _TRACKING,
    ("CLIENT", "NO-EVICT"): _OPTION,
    ("CLIENT", "NO-TOUCH"): _OPTION,
    ("CLIENT", "CAPA"): _OPTION,
    ("CLIENT", "IMPORT-SOURCE"): _OPTION,
    ("CLUSTER", "SYNCSLOTS"): _ENDLESS,
    ("SCRIPT", "DEBUG"): _ENDLESS,
}
_CONTAINERS = frozenset(container for container, _ in _SUBCOMMANDS)
_DOUBTFUL = frozenset({"MULTI", "EXEC", "XREAD", "XREADGROUP"}) | _CONTAINERS
_VALUES_OF_OPTIONS = {"COUNT": 1, "GROUP": 2, "CLAIM": 1}
"""How many arguments an option of XREAD and XREADGROUP takes, if any."""


def check_shareable(name: str, arguments: Sequence[Argument]) -> None:
    """Raise BadRequestError, with the reason and advice, if a shared connection can't carry the
    command. `name` is its `command_name`.

    `check_sequence` checks MULTI, EXEC and ASKING, together with the commands around them.
    """
    why = _REFUSED.get(name) or (name in _DOUBTFUL and _why_not(name, arguments))
    if why:
        raise refused(f"{name} is refused: {why}")


def check_sequence(names: Sequence[str]) -> None:
    """Raise BadRequestError unless the commands of a request leave the connection as it was: each
    MULTI is ended by an EXEC, and after an ASKING comes the command that it is for."""
    is_open = False
    for name in names:
        if name in ("MULTI", "EXEC"):
            if is_open is (name == "MULTI"):
                raise refused(_MULTI)
            is_open = not is_open
    if is_open:
        raise refused(_MULTI)
    if names and names[-1] == "ASKING":
        raise refused(f"ASKING is refused: {_ASKING}")


def _why_not(name: str, arguments: Sequence[Argument]) -> str:
    if name in ("MULTI", "EXEC"):
        return "it takes no arguments" if len(arguments) > 1 else ""
    if name in ("XREAD", "XREADGROUP"):
        return _BLOCKS if _has_block(arguments) else ""
    # Before Redis 7, a subcommand is compared as a string of C, which ends at a zero byte.
    subcommand = command_name(arguments[1:]).partition("\0")[0] if len(arguments) > 1 else ""
    return _SUBCOMMANDS.get((name, subcommand), "")


def _has_block(arguments: Sequence[Argument]) -> bool:
    """Whether there is an option BLOCK. What is behind STREAMS are names of streams and ids."""
    at = 1
    while at < len(arguments):
        # Redis compares options as strings of C, which end at a zero byte.
        word = command_name([arguments[at]]).partition("\0")[0]
        if word in ("BLOCK", "STREAMS"):
            return word == "BLOCK"
        at += 1 + _VALUES_OF_OPTIONS.get(word, 0)
    return False


def refused(text: str) -> BadRequestError:
    return BadRequestError(text, phase=Phase.QUEUED)
