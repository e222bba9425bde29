"""The protocols that there are: those of this package, and those that a program has registered."""

from __future__ import annotations

from typing import Any

from pybrpc.protocols.built_in import BUILT_IN_NAMES, OTHER_NAMES, built_in, framed_protocols
from pybrpc.protocols.protocol import RpcProtocol
from pybrpc.protocols.traits import RPC, kind_of

FRAME_METHODS = ("parse", "pack_request", "pack_response")
"""The methods without which nothing is a protocol."""

MORE_METHODS = ("bytes_wanted", "pack_fast_request", "pack_fast_response")
"""The methods of an RpcProtocol that RpcProtocolBase adds."""

_registered: dict[str, tuple[Any]] = {}
"""By name. `setdefault` decides which of two threads has registered a name."""


def register_protocol(protocol: RpcProtocol) -> None:
    """Have channels and servers know `protocol` by its `name`.

    `Channel(protocol=name)` speaks it. A server that is made later understands it, unless its
    `enabled_protocols` leave it out. TypeError if a method is missing; ValueError if the name is
    not a single word, or is taken. Any thread.
    """
    check_protocol_object(protocol)
    name = protocol.name
    entry = (protocol,)
    if name in BUILT_IN_NAMES or _registered.setdefault(name, entry) is not entry:
        raise ValueError(f"there is a protocol named {name!r} already")


def unregister_protocol(name: str) -> None:
    """Undo `register_protocol`, for tests: channels and servers that were made keep it.

    ValueError if no such protocol was registered.
    """
    if _registered.pop(name, None) is None:
        raise ValueError(f"no protocol named {name!r} was registered")


def all_protocols() -> tuple[RpcProtocol, ...]:
    """All protocols, in the order in which they are asked whose the first bytes are."""
    registered = (entry[0] for entry in list(_registered.values()))
    return (*framed_protocols(), *registered, *map(built_in, OTHER_NAMES))


def protocol_named(name: str) -> RpcProtocol:
    """The protocol that is called `name`; a ValueError that lists those there are."""
    if not isinstance(name, str):
        raise TypeError(f'protocol must be a name such as "baidu_std", not {name!r}')
    found: RpcProtocol
    if name in BUILT_IN_NAMES:
        found = built_in(name)
        return found
    entry = _registered.get(name)
    if entry is not None:
        found = entry[0]
        return found
    known = [protocol.name for protocol in all_protocols()]
    raise ValueError(f"unknown protocol {name!r}; known: {', '.join(known)}")


def check_protocol_object(protocol: Any) -> None:
    """TypeError or ValueError if `protocol` can't be used by channels and servers."""
    if isinstance(protocol, type):
        raise TypeError(f"a protocol must be an object, not the class {protocol.__name__}")
    name = getattr(protocol, "name", None)
    if not isinstance(name, str):
        raise TypeError(f"a protocol must have a name, a str; {protocol!r} has none")
    if not name or name.split() != [name]:
        raise ValueError(f"the name of a protocol must be one word, not {name!r}")
    is_own_kind = kind_of(protocol) != RPC
    has_session = is_own_kind and callable(getattr(protocol, "new_session", None))
    for method in () if has_session else (*FRAME_METHODS, *MORE_METHODS):
        if not callable(getattr(protocol, method, None)):
            hint = "; RpcProtocolBase has one" if method in MORE_METHODS else ""
            raise TypeError(f"the protocol {name!r} has no method {method}(){hint}")
    if is_own_kind and not callable(getattr(protocol, "detect", None)):
        raise TypeError(f"the protocol {name!r} has no method detect(); RpcProtocolBase has one")
