"""InternalPort: the second port of a server, on which only its pages are."""

from __future__ import annotations

import socket as _socket
from collections.abc import Callable

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import ListenError
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.listening.acceptor import Acceptor
from pybrpc.transport.runtime import Runtime


class InternalPort:
    """Listens beside the acceptor of a server, and also while the server stops: for those who ask
    whether it is ready."""

    def __init__(
        self,
        port: int,
        public: Endpoint,
        dispatcher: EventDispatcher,
        on_accepted: Callable[[_socket.socket], None],
        runtime: Runtime,
    ) -> None:
        """Listen on the host of `public`; port 0 lets the system choose. ListenError."""
        if not public.has_port:
            raise ListenError(f"internal_port needs a server on a TCP port, not on {public}")
        self._acceptor = Acceptor(Endpoint(public.host, port), dispatcher, on_accepted, runtime)

    @property
    def endpoint(self) -> Endpoint:
        return self._acceptor.endpoint

    def start(self) -> None:
        """Accept from the next turn on. Any thread."""
        self._acceptor.start()

    def close(self) -> None:
        """Listen no more. Any thread; never blocks."""
        self._acceptor.close()

    def undo(self) -> None:
        """Listen no more, because the start has failed."""
        self._acceptor.undo()
