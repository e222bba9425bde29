"""ServerSettings: what a Server was made with."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from pybrpc.base.deadline import checked_timeout_s
from pybrpc.protocols.detect import PROTOCOLS
from pybrpc.protocols.protocol import ParseLimits, RpcProtocol
from pybrpc.rpc.authenticator import Authenticator, check_verifier
from pybrpc.transport.socket_options import SocketOptions
from pybrpc.transport.tls.server_tls_contexts import ServerTlsContexts


@dataclasses.dataclass(frozen=True, slots=True)
class ServerSettings:
    """As the arguments of Server. ValueError or TypeError for what makes no sense."""

    max_concurrency: int
    max_workers: int
    limits: ParseLimits
    options: SocketOptions
    max_connections: int = 0
    idle_timeout_s: float | None = None
    auth: Authenticator | None = None
    protocols: Sequence[RpcProtocol] = PROTOCOLS
    tls: ServerTlsContexts | None = None

    def __post_init__(self) -> None:
        if (
            min(self.max_concurrency, self.max_connections) < 0
            or min(self.max_workers, self.limits.max_body_size) < 1
        ):
            raise ValueError(
                "max_concurrency and max_connections must be at least 0, max_workers and "
                "max_body_size at least 1"
            )
        if self.auth is not None:
            check_verifier(self.auth)


def checked_idle_timeout_s(idle_timeout: float | None) -> float | None:
    """`idle_timeout` if it is `None` or more than 0 seconds, else an error that says so."""
    timeout_s = checked_timeout_s(idle_timeout, "idle_timeout")
    if timeout_s == 0:
        raise ValueError("idle_timeout must be None or more than 0 seconds")
    return timeout_s


def protocols_named(names: Iterable[str]) -> Sequence[RpcProtocol]:
    """Those of that name, or all for none. "a b", as in C++, is ["a", "b"]."""
    wanted = names.split() if isinstance(names, str) else list(names)
    known = {protocol.name: protocol for protocol in PROTOCOLS}
    for name in wanted:
        if name not in known:
            raise ValueError(
                f"unknown protocol {name!r} in enabled_protocols; known: {', '.join(known)}"
            )
    return [known[name] for name in wanted] or PROTOCOLS
