"""The types of the fixtures of the pytest plugin, `pytest_pybrpc`, for annotations in tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Unpack, overload

from google.protobuf.descriptor import ServiceDescriptor

from pybrpc.base.endpoint import Endpoint
from pybrpc.client.channel.channel import Channel
from pybrpc.client.channel.options import ChannelOptions
from pybrpc.client.channel.servers import Servers
from pybrpc.server import Server
from pybrpc.server.calls.typed_service import TypedService
from pybrpc.testing.fake_service import FakeService
from pybrpc.testing.faulty_proxy import NO_FAULTS, Faults, FaultyProxy, Plan
from pybrpc.testing.in_memory import InMemoryChannel, ServedAlone

if TYPE_CHECKING:
    from pybrpc.server.settings import ServerOptions


class ServerFactory(Protocol):
    """The type of the fixture `pybrpc_server`: a function that starts a `pybrpc.Server`."""

    @overload
    def __call__(
        self,
        served: TypedService | FakeService,
        *,
        address: str = "127.0.0.1:0",
        **options: Unpack[ServerOptions],
    ) -> Server: ...

    @overload
    def __call__(
        self,
        served: ServiceDescriptor,
        impl: object,
        *,
        address: str = "127.0.0.1:0",
        **options: Unpack[ServerOptions],
    ) -> Server: ...

    @overload
    def __call__(self, served: Server, *, address: str = "127.0.0.1:0") -> Server: ...


class ChannelFactory(Protocol):
    """The type of the fixture `pybrpc_channel`: a function that makes a `pybrpc.Channel`."""

    @overload
    def __call__(self, where: Servers | Endpoint, **options: Unpack[ChannelOptions]) -> Channel: ...

    @overload
    def __call__(
        self,
        where: ServedAlone,
        *,
        server_options: ServerOptions | None = None,
        **options: Unpack[ChannelOptions],
    ) -> InMemoryChannel: ...

    @overload
    def __call__(
        self,
        where: ServiceDescriptor,
        impl: object,
        *,
        server_options: ServerOptions | None = None,
        **options: Unpack[ChannelOptions],
    ) -> InMemoryChannel: ...


class ProxyFactory(Protocol):
    """The type of the fixture `faulty_proxy`: a function that starts a `FaultyProxy`."""

    def __call__(
        self,
        upstream: Server | Endpoint | str,
        plan: Faults | Plan = NO_FAULTS,
        *,
        listen: str = "127.0.0.1:0",
    ) -> FaultyProxy: ...
