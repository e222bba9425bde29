"""ServerSettings: what a Server was made with."""

from __future__ import annotations

import dataclasses
import resource
from collections.abc import Iterable, Sequence

from pybrpc.base.deadline import checked_timeout_s
from pybrpc.protocols.detect import PROTOCOLS
from pybrpc.protocols.protocol import ParseLimits, RpcProtocol
from pybrpc.rpc.authenticator import Authenticator, check_verifier
from pybrpc.transport.socket.setup import DEFAULT_HANDSHAKE_TIMEOUT_S
from pybrpc.transport.socket_options import SocketOptions
from pybrpc.transport.tls.server_tls import ServerTlsContexts

DEFAULT_MESSAGE_TIMEOUT_S = 60.0
MAX_UNANSWERED_BYTES = 1 << 30


@dataclasses.dataclass(frozen=True, slots=True)
class ServerSettings:
    """As the arguments of Server. ValueError or TypeError for what makes no sense."""

    max_concurrency: int
    max_workers: int
    limits: ParseLimits
    options: SocketOptions
    max_connections: int | None = 0
    idle_timeout_s: float | None = None
    auth: Authenticator | None = None
    protocols: Sequence[RpcProtocol] = PROTOCOLS
    tls: ServerTlsContexts | None = None
    handshake_timeout_s: float | None = DEFAULT_HANDSHAKE_TIMEOUT_S
    message_timeout_s: float | None = DEFAULT_MESSAGE_TIMEOUT_S
    max_unanswered_bytes: int | None = MAX_UNANSWERED_BYTES

    def __post_init__(self) -> None:
        if (
            min(self.max_concurrency, self.max_connections or 0) < 0
            or min(self.max_workers, self.limits.max_body_size) < 1
        ):
            raise ValueError(
                "max_concurrency and max_connections must be at least 0, max_workers and "
                "max_body_size at least 1"
            )
        if self.max_unanswered_bytes is not None and self.max_unanswered_bytes < 0:
            raise ValueError(
                f"max_unanswered_bytes must be None or at least 0, not {self.max_unanswered_bytes}"
            )
        if self.auth is not None:
            check_verifier(self.auth)


def checked_server_timeout_s(timeout: float | None, name: str) -> float | None:
    """`timeout` if it is `None` or more than 0 seconds, else an error that says so."""
    timeout_s = checked_timeout_s(timeout, name)
    if timeout_s == 0:
        raise ValueError(f"{name} must be None or more than 0 seconds")
    return timeout_s


def connections_there_is_room_for() -> int:
    """Nine tenths of the files that this process may open now; 0 if there is no limit.

    The rest is for what it does beside serving: log files, connections of its own.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if soft == resource.RLIM_INFINITY else max(1, soft * 9 // 10)


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
