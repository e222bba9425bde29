"""Generated stubs as a program with types uses them. Never run: mypy and pyright check it.

Each `assert_type` says which type a user sees, each `type: ignore` which mistake is found.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import AsyncIterator, Iterator
from typing import assert_type

from google.protobuf.empty_pb2 import Empty

import pybrpc
from pybrpc import testing
from pybrpc.streams import AioStream, Stream
from pybrpc.testing.faulty_proxy import Faults
from tests.typing.catalog.catalog_brpc import CatalogAioStub, CatalogBase, CatalogStub
from tests.typing.catalog.catalog_pb2 import Item, Items, Query


def call(channel: pybrpc.Channel) -> None:
    stub = CatalogStub(channel)
    assert_type(stub.Get(Item.Id(text="1"), timeout=1), Item)
    assert_type(stub.Find(Query(), controller=pybrpc.Controller()), Items)
    assert_type(stub.Clear(Empty(), timeout=None), Empty)
    assert_type(stub.Get.future(Item.Id()), concurrent.futures.Future[Item])
    assert_type(stub.del_(Item.Id()), Empty)
    stub.Get.with_callback(Item.Id(), on_item, timeout=1)
    stub.Get.with_callback(Item.Id(), lambda item, error: print(item and item.name, error))
    with stub.Find.stream(Query(), streams=2, options=pybrpc.StreamOptions()) as call:
        assert_type(call, pybrpc.StreamCall[Items])
        assert_type(call.response, Items)
        assert_type(call.stream, Stream)
    method: pybrpc.TypedMethod[Query, Items] = stub.Find
    assert_type(method(Query()).items[0], Item)


def on_item(item: Item | None, error: pybrpc.RpcError | None) -> None: ...


async def call_in_a_loop(channel: pybrpc.aio.Channel) -> None:
    stub = CatalogAioStub(channel)
    assert_type(await stub.Get(Item.Id(text="1"), timeout=1), Item)
    assert_type(await asyncio.gather(stub.Get(Item.Id()), stub.Find(Query())), tuple[Item, Items])
    assert_type(await asyncio.gather(*(stub.Find(Query()) for _ in range(3))), list[Items])
    assert_type(asyncio.create_task(stub.Find(Query())), asyncio.Task[Items])
    assert_type(await asyncio.wait_for(stub.Find(Query()), 1), Items)
    assert_type(await asyncio.shield(stub.Find(Query())), Items)
    future: asyncio.Future[Items] = stub.Find(Query())
    assert_type(future.cancel(), bool)
    async with asyncio.TaskGroup() as group:
        assert_type(group.create_task(stub.Find(Query())), asyncio.Task[Items])
    async with stub.Find.stream(Query()) as call:
        assert_type(call, pybrpc.aio.StreamCall[Items])
        assert_type(call.response, Items)
        assert_type(call.stream, AioStream)
    method: pybrpc.aio.TypedMethod[Query, Items] = stub.Find
    assert_type((await method(Query())).items[0], Item)


def other_channels(
    partitions: pybrpc.PartitionChannel, parallel: pybrpc.aio.ParallelChannel
) -> None:
    CatalogStub(partitions)
    CatalogStub(pybrpc.SelectiveChannel())
    CatalogAioStub(parallel)


class Handlers(CatalogBase):
    """Handlers of each kind, with names of their own for the arguments."""

    def Get(self, id: Item.Id, controller: pybrpc.Controller) -> Item:
        return Item(id=id)

    async def Find(self, request: Query, cntl: pybrpc.Controller) -> Items:
        return Items()

    def del_(self, request: Item.Id, controller: pybrpc.Controller) -> Empty:
        super().del_(request, controller)
        return Empty()


class Generators(CatalogBase):
    """Handlers that yield bodies of HTTP."""

    def Get(self, request: Item.Id, controller: pybrpc.Controller) -> Iterator[bytes]:
        yield b"bytes"

    async def Find(
        self, request: Query, controller: pybrpc.Controller
    ) -> AsyncIterator[Item | pybrpc.ServerSentEvent]:
        yield Item()


def serve() -> None:
    server = pybrpc.Server()
    server.add_service(Handlers())
    server.add_service(Generators(), restful_mappings="/items/{text} => Get")
    server.add_service(CatalogBase.SERVICE, Handlers(), allow_default_url=True)
    server.remove_service(CatalogBase.SERVICE)


async def use_the_test_kit() -> None:
    with testing.channel_for(Handlers(), timeout=5, server_options={"max_workers": 1}) as channel:
        assert_type(channel, testing.InMemoryChannel)
        CatalogStub(channel)
    async with testing.aio.channel_for(Handlers(), share_with_threads=True) as aio_channel:
        assert_type(aio_channel, testing.aio.InMemoryChannel)
        CatalogAioStub(aio_channel)
    testing.channel_for(CatalogBase.SERVICE, Handlers())
    testing.channel_for(testing.FakeService(CatalogBase))


def use_the_fixtures(
    pybrpc_server: testing.ServerFactory,
    pybrpc_channel: testing.ChannelFactory,
    faulty_proxy: testing.ProxyFactory,
) -> None:
    server = pybrpc_server(Handlers(), address="memory:", max_workers=1)
    assert_type(server, pybrpc.Server)
    assert_type(pybrpc_server(CatalogBase.SERVICE, Handlers()), pybrpc.Server)
    assert_type(pybrpc_server(testing.FakeService(CatalogBase)), pybrpc.Server)
    assert_type(pybrpc_server(pybrpc.Server(), address="127.0.0.1:0"), pybrpc.Server)
    channel = pybrpc_channel(Handlers(), timeout=5, server_options={"max_workers": 1})
    assert_type(channel, testing.InMemoryChannel)
    assert_type(pybrpc_channel(CatalogBase.SERVICE, impl=Handlers()), testing.InMemoryChannel)
    assert_type(pybrpc_channel(server), testing.InMemoryChannel)
    assert_type(pybrpc_channel(server.endpoint), pybrpc.Channel)
    assert_type(pybrpc_channel(["127.0.0.1:1", "127.0.0.1:2"], timeout=5), pybrpc.Channel)
    assert_type(pybrpc_channel(faulty_proxy(server).address), pybrpc.Channel)
    CatalogStub(channel)
    assert_type(faulty_proxy("127.0.0.1:1", Faults(), listen="127.0.0.1:2"), testing.FaultyProxy)
    faulty_proxy(server.endpoint, plan=lambda number: Faults())


# --- what must be refused: without an error here, the comment would be one ---


def wrong_calls(channel: pybrpc.Channel, aio_channel: pybrpc.aio.Channel) -> None:
    CatalogStub(aio_channel)  # type: ignore[arg-type]
    CatalogStub("127.0.0.1:8000")  # type: ignore[arg-type]
    CatalogStub(pybrpc.aio.SelectiveChannel())  # type: ignore[arg-type]
    CatalogAioStub(channel)  # type: ignore[arg-type]
    stub = CatalogStub(channel)
    stub.Got(Item.Id())  # type: ignore[attr-defined]
    stub.Watch(Query())  # type: ignore[attr-defined]
    stub.Get(Query())  # type: ignore[arg-type]
    stub.Get.future(Query())  # type: ignore[arg-type]
    stub.Get.stream(Query())  # type: ignore[arg-type]
    stub.Get()  # type: ignore[call-arg]
    stub.Get(Item.Id(), timeoout=1)  # type: ignore[call-arg]
    stub.Get(Item.Id(), timeout="1")  # type: ignore[arg-type]
    stub.Get(Item.Id(), 1)  # type: ignore[call-arg]
    stub.Get.future(Item.Id(), timeoout=1)  # type: ignore[call-arg]
    stub.Find.with_callback(Query(), on_item)  # type: ignore[arg-type]
    print(stub.Find(Query()).names)  # type: ignore[attr-defined]
    items: Items = stub.Get(Item.Id())  # type: ignore[assignment]
    print(items)


async def wrong_calls_in_a_loop(channel: pybrpc.aio.Channel) -> None:
    stub = CatalogAioStub(channel)
    await stub.Got(Item.Id())  # type: ignore[attr-defined]
    await stub.Get(Query())  # type: ignore[arg-type]
    await stub.Get(Item.Id(), timeoout=1)  # type: ignore[call-arg]
    stub.Get.future(Item.Id())  # type: ignore[attr-defined]
    stub.Get.with_callback(Item.Id(), on_item)  # type: ignore[attr-defined]
    items: Items = await stub.Get(Item.Id())  # type: ignore[assignment]
    print(stub.Get(Item.Id()).name)  # type: ignore[attr-defined]
    print(items)


class WrongRequest(CatalogBase):
    def Get(self, request: Query, controller: pybrpc.Controller) -> Item:  # type: ignore[override]
        return Item()


class WrongResponse(CatalogBase):
    def Get(self, request: Item.Id, controller: pybrpc.Controller) -> Items:  # type: ignore[override]
        return Items()


class WrongResponseOfATask(CatalogBase):
    async def Get(self, request: Item.Id, controller: pybrpc.Controller) -> Items:  # type: ignore[override]
        return Items()


class NoResponse(CatalogBase):
    def Get(self, request: Item.Id, controller: pybrpc.Controller) -> None: ...  # type: ignore[override]


class NoController(CatalogBase):
    def Get(self, request: Item.Id) -> Item:  # type: ignore[override]
        return Item()


class WrongItems(CatalogBase):
    def Get(self, request: Item.Id, controller: pybrpc.Controller) -> Iterator[int]:  # type: ignore[override]
        yield 1


class OtherHandlers:
    def Get(self, request: Item.Id, controller: pybrpc.Controller) -> Item:
        return Item()


def wrong_servers() -> None:
    server = pybrpc.Server()
    server.add_service(Handlers)  # type: ignore[call-overload]
    server.add_service(OtherHandlers())  # type: ignore[call-overload]
    server.add_service(CatalogBase.SERVICE)  # type: ignore[call-overload]
    server.add_service(Handlers(), no_such_option=1)  # type: ignore[call-overload]


def wrong_tests() -> None:
    testing.channel_for(Handlers)  # type: ignore[call-overload]
    testing.channel_for(OtherHandlers())  # type: ignore[call-overload]
    testing.channel_for(CatalogBase.SERVICE)  # type: ignore[call-overload]
    testing.channel_for(Handlers(), timeoout=1)  # type: ignore[call-overload]
    testing.aio.channel_for(Handlers)  # type: ignore[call-overload]
    testing.FakeService(Handlers())  # type: ignore[arg-type]
    testing.FakeService(OtherHandlers)  # type: ignore[arg-type]


def wrong_use_of_fixtures(
    pybrpc_server: testing.ServerFactory,
    pybrpc_channel: testing.ChannelFactory,
    faulty_proxy: testing.ProxyFactory,
) -> None:
    pybrpc_server(OtherHandlers())  # type: ignore[call-overload]
    pybrpc_server(Handlers(), no_such_option=1)  # type: ignore[call-overload]
    pybrpc_server(pybrpc.Server(), max_workers=1)  # type: ignore[call-overload]
    pybrpc_channel(Handlers)  # type: ignore[call-overload]
    pybrpc_channel("127.0.0.1:1", timeoout=1)  # type: ignore[call-overload]
    faulty_proxy(Handlers())  # type: ignore[arg-type]
