"""channel_for: a channel to a service in this process, without a port.

The channel, the server and the bytes between them are the real ones; only the connection is made
without a network: see `transport.memory_listeners`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeAlias, Unpack, overload

from google.protobuf.descriptor import ServiceDescriptor

from pybrpc.base.endpoint import Endpoint
from pybrpc.base.guard import safe_repr
from pybrpc.client.channel.channel import Channel
from pybrpc.client.channel.options import ChannelOptions
from pybrpc.server import Server
from pybrpc.server.calls.typed_service import TypedService, with_descriptor
from pybrpc.testing.fake_service import FakeService

if TYPE_CHECKING:
    from pybrpc.server.settings import ServerOptions

PATIENCE_S = 0.1
"""Seconds for which handlers may run on that run when the channel is closed."""

ServedAlone: TypeAlias = TypedService | FakeService | Server
"""Things that know their services, and that a channel in memory can be made for."""

Served: TypeAlias = ServiceDescriptor | ServedAlone
"""The first argument of `channel_for`: one of these, or the service of any other object."""


class InMemoryChannel(Channel):
    """A `pybrpc.Channel` to a server in this process, which ends with it. Made by `channel_for`.

    server   the `pybrpc.Server`: `server.statistics()`, `server.stop()`
    """

    def __init__(
        self, server: Server, owns_server: bool, **options: Unpack[ChannelOptions]
    ) -> None:
        super().__init__(server.endpoint, **options)
        self.server = server
        self._owns_server = owns_server

    def close(self) -> None:
        """Close the channel, then stop its server, unless that ran before. Blocks until it has
        stopped. Nobody waits for a response any more: async handlers are cancelled after a moment,
        plain ones that still run are left to their threads."""
        super().close()
        if self._owns_server:
            end_server(self.server)

    def __enter__(self) -> InMemoryChannel:
        return self


@overload
def channel_for(
    served: ServedAlone,
    *,
    server_options: ServerOptions | None = None,
    **options: Unpack[ChannelOptions],
) -> InMemoryChannel: ...


@overload
def channel_for(
    served: ServiceDescriptor,
    impl: object,
    *,
    server_options: ServerOptions | None = None,
    **options: Unpack[ChannelOptions],
) -> InMemoryChannel: ...


def channel_for(
    served: Served,
    impl: object = None,
    *,
    server_options: ServerOptions | None = None,
    **options: Unpack[ChannelOptions],
) -> InMemoryChannel:
    """A `pybrpc.Channel` to `served`, which serves at once; use it with `with`, or close it.

        with channel_for(EchoService()) as channel:
            assert EchoServiceStub(channel).Echo(EchoRequest(message="hi")).message == "hi"

    `served`: an object of a class derived from a generated one, a `pybrpc.TypedService`; or a
    service descriptor, with the object that serves it as `impl`; or a `FakeService`; or a
    `pybrpc.Server`. A server that does not run is started, and stopped with the channel; one that
    runs, at whatever address, is called there and goes on. `server_options` are those of
    `pybrpc.Server`, the others those of `pybrpc.Channel`.

    No port, no listening socket and no file: each connection is a pair of connected sockets
    (`socketpair`). All else is as over TCP, for each protocol: bytes, limits, errors, deadlines,
    cancellation, streams, TLS. Handlers run where those of a `pybrpc.Server` run. In a forked child
    calls fail with ECONNREFUSED, as the server does not run there.

    TypeError or ValueError as those two classes raise; ServerStateError for a server that stops.
    """
    server = server_of(served, impl, server_options)
    owns_server = not server.is_running
    if owns_server:
        server.start(Endpoint.in_memory())
    try:
        return InMemoryChannel(server, owns_server, **options)
    except BaseException:
        if owns_server:
            end_server(server)
        raise


def end_server(server: Server) -> None:
    """Stop a server whose only client is gone, and wait for its end.

    It can't see that the client is gone: a connection whose other end was closed may be one on
    which the client still reads. The clock may stand still, so real time limits its patience.
    """
    stopped = begin_end(server)
    if not stopped.wait(PATIENCE_S):
        server.stop(0.0)
    server.join()


def begin_end(server: Server) -> threading.Event:
    """Begin to stop a server; the event is set when it has stopped."""
    stopped = threading.Event()
    run = server._current_run()
    if run is None:
        stopped.set()
        return stopped
    server.stop()
    run.stopped.notify(stopped.set)
    return stopped


def server_of(served: Served, impl: object, options: ServerOptions | None) -> Server:
    """The server that `channel_for` was given, or a new one that serves what it was given."""
    if isinstance(served, Server):
        if impl is not None or options:
            raise TypeError("a Server has its services and options already: give the server alone")
        return served
    service, impl = _service_and_object(served, impl)
    server = Server(**(options or {}))
    server.add_service(service, impl)
    return server


def _service_and_object(
    served: ServiceDescriptor | TypedService | FakeService, impl: object
) -> tuple[ServiceDescriptor, object]:
    if isinstance(served, FakeService):
        if impl is not None:
            raise TypeError("a FakeService is the service and the object that serves it")
        return served.service, served
    if isinstance(served, TypedService) or _is_typed_class(served):
        return with_descriptor(served, impl)
    if not isinstance(served, ServiceDescriptor):
        raise TypeError(
            "channel_for needs an object of a class derived from a generated one; or a service and "
            "the object that serves it, such as "
            'channel_for(echo_pb2.DESCRIPTOR.services_by_name["EchoService"], EchoService()); '
            f"or a FakeService, or a Server, not {safe_repr(served):.200}"
        )
    if impl is None:
        raise TypeError(
            f"channel_for needs the object that serves {served.full_name}; for one whose methods "
            f"a test sets, use FakeService({served.name})"
        )
    return served, impl


def _is_typed_class(served: object) -> bool:
    return isinstance(served, type) and issubclass(served, TypedService)
