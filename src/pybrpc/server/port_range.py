"""Starting on the first free port of a range."""

from __future__ import annotations

import errno
from collections.abc import Callable

from pybrpc.base.endpoint import Endpoint
from pybrpc.transport.acceptor import ListenError


def start_on_first_free(host: str, ports: range, start: Callable[[Endpoint], Endpoint]) -> Endpoint:
    """Call `start` with one port after another until one is not taken; return what it gave.

    ListenError if all are taken, or at once if there is another reason; ValueError for no ports.
    """
    if not ports:
        raise ValueError(f"a range of ports with at least one in it, not {ports!r}")
    for port in ports:
        try:
            return start(Endpoint(host, port))
        except ListenError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    reason = f"Fail to listen on {host}: ports {ports[0]} to {ports[-1]} are all taken"
    raise ListenError(errno.EADDRINUSE, reason)
