"""Scripted servers of streams, and the calls to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pybrpc
from pybrpc.rpc.stream_options import StreamOptions
from tests.fakes.threads import WAIT_S
from tests.peers.echo import ECHO, echo_request
from tests.peers.raw_streams import RemoteStream, accept
from tests.peers.scripted_server import Peer, ScriptedServer

OWN_ID = 5
"""The id of the server's first stream."""


UNKNOWN = 12345


NO_ANSWER_S = 0.3
"""The timeout of a call that never gets an answer; others don't wait so long."""


@contextmanager
def calling(*scripts: Callable[[Peer], None], **options: Any) -> Iterator[Any]:
    """The stub of a client of a scripted server."""
    with (
        ScriptedServer(*scripts) as server,
        pybrpc.Channel(server.address, timeout=WAIT_S, max_retry=0, **options) as channel,
    ):
        yield pybrpc.Stub(ECHO, channel)


@contextmanager
def opened(
    script: Callable[[RemoteStream, Peer], None],
    stream_options: StreamOptions | None = None,
    **of_channel: Any,
) -> Iterator[tuple[Any, Any]]:
    """A stream and the stub, with a server that accepts it and goes on as `script` says."""

    def whole(peer: Peer) -> None:
        (remote,) = accept(peer, OWN_ID)
        script(remote, peer)

    with calling(whole, **of_channel) as stub:
        call = stub.Echo.stream(echo_request(), options=stream_options).open()
        try:
            yield call.stream, stub
        finally:
            call.reset()
