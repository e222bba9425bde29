"""FaultyProxy: forwards TCP or Unix connections to a server, and breaks them as planned.

It uses nothing of pybrpc's transport, so it can test that transport, and other clients and servers
too.
"""

from __future__ import annotations

import errno
import logging
import socket
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Self

from pybrpc.base.endpoint import Endpoint
from pybrpc.base.guard import safe_repr
from pybrpc.testing.faulty_proxy.faults import (
    NO_FAULTS,
    Fault,
    Faults,
    Plan,
    Refuse,
    checked_faults,
    checked_plan,
)
from pybrpc.testing.faulty_proxy.proxied_connection import ProxiedConnection, set_resets_on_close
from pybrpc.testing.faulty_proxy.proxy_listener import ProxyListener, resolve
from pybrpc.testing.faulty_proxy.proxy_loop import LoopClosedError, ProxyLoop
from pybrpc.testing.faulty_proxy.statistics import ProxyStatistics

logger = logging.getLogger("pybrpc")


class FaultyProxy:
    """A proxy in front of `upstream` ("host:port", "unix:/path", or what `Server.start` gives).

        with FaultyProxy("127.0.0.1:8000", Faults(to_client=[ResetAt(20)])) as proxy:
            channel = pybrpc.Channel(proxy.address)

    plan     the faults of every connection, or a function that gives those of the n-th one
    listen   where; a free port of 127.0.0.1 by default, "unix:/path" for a Unix socket

    It forwards from the moment it is made, in a thread of its own, until `close()`. It keeps at
    most 256 KiB of a connection and direction; beyond that it stops reading. Which faults a
    connection gets is decided when it is accepted. Any thread may call all methods; each has had
    its full effect when it returns.
    """

    def __init__(
        self,
        upstream: str | Endpoint,
        plan: Faults | Plan = NO_FAULTS,
        *,
        listen: str = "127.0.0.1:0",
    ) -> None:
        """Listens. Raises OSError if that fails, or if `upstream` does not resolve; TypeError for
        what is no plan."""
        self.upstream = str(upstream)
        self._plan = checked_plan(plan)
        self.holds = (False, False)
        self._family, self._sockaddr = resolve(upstream)
        self._next: deque[Faults] = deque()
        self._connections: set[ProxiedConnection] = set()
        self._counts: Counter[str] = Counter()
        self._struck: Counter[str] = Counter()
        self._plan_error: BaseException | None = None
        self._is_closed = False
        self._listener = ProxyListener(listen, self._on_accepted)
        self.address = self._listener.address
        """The address that clients connect to."""
        self._loop = ProxyLoop(f"faulty-proxy-{self.address}")
        self.start_accepting()

    @property
    def plan(self) -> Faults | Plan:
        """The faults of later connections; may be set. TypeError for what is no plan."""
        return self._plan

    @plan.setter
    def plan(self, plan: Faults | Plan) -> None:
        self._plan = checked_plan(plan)

    def set_next(self, *faults: Faults) -> None:
        """Give these faults to the next connections, one each; later ones follow the plan again.
        TypeError for what is no Faults."""
        self._next.extend([checked_faults(each, "each argument of set_next") for each in faults])

    def stall(self, *, to_server: bool = True, to_client: bool = True) -> None:
        """Let nothing pass any more `to_server`, `to_client`, on all connections, new ones too."""
        self._loop.call(lambda: self._hold(self.holds[0] or to_server, self.holds[1] or to_client))

    def resume(self) -> None:
        """End `stall`, and every `Stall` of a plan that is under way."""
        self._loop.call(self._resume)

    def cut_all(self) -> None:
        """End all live connections cleanly, as CutAt does."""
        self._loop.call(lambda: self._for_each(lambda connection: connection.cut(_now())))

    def reset_all(self) -> None:
        """Reset all live connections."""
        self._loop.call(lambda: self._for_each(ProxiedConnection.reset))

    def stop_accepting(self) -> None:
        """Stop listening: new connections are refused. Live connections go on."""
        self._loop.call(self._listener.close)

    def start_accepting(self) -> None:
        """Listen again, on the same address. OSError if somebody else has taken it."""
        self._loop.call(lambda: self._listener.start(self._loop))

    def statistics(self) -> ProxyStatistics:
        """Counts of what it has done so far, all taken at one moment. Works after `close` too."""
        try:
            return self._loop.call(self._statistics)
        except LoopClosedError:
            return self._statistics()

    def close(self) -> None:
        """Close everything and end the thread, at once. Raises what a plan has raised."""
        self._is_closed = True
        self._loop.close(self._close_all)
        error, self._plan_error = self._plan_error, None
        if error is not None:
            raise error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        raised = self._plan_error
        if error is not None and raised is not None:
            # The error of the test comes out, and tells of this one, which may be its cause.
            error.add_note(f"the plan of the proxy had raised {safe_repr(raised)}")
            self._plan_error = None
        self.close()

    # --- for its connections; in the thread ---

    def note_connect_failure(self) -> None:
        """The server can't be reached."""
        self._counts["connect_failures"] += 1

    def forget(self, connection: ProxiedConnection) -> None:
        """A connection is closed."""
        self._connections.discard(connection)
        self._add_bytes(connection)

    # --- in the thread ---

    def _on_accepted(self, client: socket.socket) -> None:
        number = self._counts["accepted"]
        self._counts["accepted"] += 1
        try:
            faults = self._faults_of(number)
        except BaseException as error:  # also what pytest.fail raises
            logger.exception("the plan of %r raised", self)
            self._plan_error = self._plan_error or error
            faults = Faults(refuse=Refuse())
        if faults.refuse is None:
            self._connect(client, faults)
            return
        self._counts["refused"] += 1
        self._note_strike(faults.refuse)
        if faults.refuse.resets:
            set_resets_on_close(client)
        client.close()

    def _faults_of(self, number: int) -> Faults:
        if self._next:
            return self._next.popleft()
        plan = self._plan
        if isinstance(plan, Faults):
            return plan
        return checked_faults(plan(number), "what a plan returns")

    def _connect(self, client: socket.socket, faults: Faults) -> None:
        server = socket.socket(self._family, socket.SOCK_STREAM)
        for sock in (client, server):
            sock.setblocking(False)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = server.connect_ex(self._sockaddr)
        connection = ProxiedConnection(self, self._loop, client, server, faults, self._note_strike)
        self._connections.add(connection)
        if code not in (0, errno.EINPROGRESS):
            self.note_connect_failure()
            connection.reset()

    def _note_strike(self, fault: Fault | Refuse) -> None:
        self._struck[type(fault).__name__] += 1

    def _hold(self, to_server: bool, to_client: bool) -> None:
        self.holds = (to_server, to_client)
        self._for_each(lambda connection: connection.advance(_now()))

    def _resume(self) -> None:
        self._for_each(ProxiedConnection.end_stalls)
        self._hold(False, False)

    def _for_each(self, function: Callable[[ProxiedConnection], None]) -> None:
        for connection in list(self._connections):
            function(connection)

    def _close_all(self) -> None:
        self._listener.close()
        self._for_each(ProxiedConnection.close)

    def _add_bytes(self, connection: ProxiedConnection, counts: Counter[str] | None = None) -> None:
        counts = self._counts if counts is None else counts
        counts["bytes_to_server"] += connection.to_server.script.position
        counts["bytes_to_client"] += connection.to_client.script.position
        counts["bytes_dropped"] += sum(lane.bytes_dropped for lane in connection.lanes)

    def _statistics(self) -> ProxyStatistics:
        counts = Counter(self._counts)
        for connection in self._connections:
            self._add_bytes(connection, counts)
        return ProxyStatistics(
            accepted=counts["accepted"],
            refused=counts["refused"],
            connect_failures=counts["connect_failures"],
            open=len(self._connections),
            bytes_to_server=counts["bytes_to_server"],
            bytes_to_client=counts["bytes_to_client"],
            bytes_dropped=counts["bytes_dropped"],
            faults=dict(self._struck),
        )

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "open"
        held = [name for name, on in zip(("server", "client"), self.holds, strict=True) if on]
        stalled = f", stalled to the {' and the '.join(held)}" if held else ""
        return (
            f"<FaultyProxy {state} on {self.address} before {self.upstream}, "
            f"{len(self._connections)} connections{stalled}>"
        )


def _now() -> float:
    return time.monotonic()
