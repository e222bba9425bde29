"""Generated stubs and base classes, made by a real protoc, over real connections."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import message_factory
from google.protobuf.empty_pb2 import Empty

import pybrpc
from pybrpc.errors import NoMethodError, StreamingMethodError
from pybrpc.rpc.attribute_names import attribute_names
from tests.peers.generated import CATALOG, ODD, generate, generated
from tests.peers.protoc import PROTOCS, Protoc


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The module catalog_brpc."""
    with generated(CATALOG, ["catalog.proto"], tmp_path_factory.mktemp("made")) as load:
        yield load("catalog_brpc")


@pytest.fixture(scope="module")
def pb(catalog: Any) -> Any:
    """The module catalog_pb2."""
    return catalog.catalog_pb2


@pytest.fixture
def impl(catalog: Any, pb: Any) -> Any:
    """An object with a plain and an async handler, one for a keyword, and one left out."""

    class Catalog(catalog.CatalogBase):  # type: ignore[misc]
        def Get(self, request: Any, controller: pybrpc.Controller) -> Any:
            return pb.Item(id=request, name="by id")

        async def Find(self, query: Any, cntl: pybrpc.Controller) -> Any:
            await asyncio.sleep(0)
            return pb.Items(items=[pb.Item(name=query.words)])

        def del_(self, request: Any, controller: pybrpc.Controller) -> Any:
            controller.response_attachment = request.text.encode()
            return Empty()

    return Catalog()


@pytest.fixture
def address(impl: Any) -> Iterator[str]:
    with pybrpc.Server() as server:
        server.add_service(impl)
        yield str(server.start("127.0.0.1:0"))


def test_forms_of_threads(address: str, catalog: Any, pb: Any) -> None:
    with pybrpc.Channel(address, timeout=30) as channel:
        stub = catalog.CatalogStub(channel)
        assert stub.Get(pb.Item.Id(text="7"), timeout=20).id.text == "7"
        assert stub.Find.future(pb.Query(words="blue")).result().items[0].name == "blue"
        ended, outcome = threading.Event(), []

        def done(item: Any, error: pybrpc.RpcError | None) -> None:
            outcome.extend((item, error))
            ended.set()

        stub.Get.with_callback(pb.Item.Id(text="8"), done)
        assert ended.wait(30)
        assert outcome == [pb.Item(id=pb.Item.Id(text="8"), name="by id"), None]
        assert repr(stub) == f"<CatalogStub on {channel!r}>"


def test_forms_of_asyncio(address: str, catalog: Any, pb: Any) -> None:
    async def call() -> None:
        async with pybrpc.aio.Channel(address, timeout=30) as channel:
            stub = catalog.CatalogAioStub(channel)
            assert (await stub.Get(pb.Item.Id(text="7"))).id.text == "7"
            calls = [stub.Find(pb.Query(words=str(n))) for n in range(3)]
            assert [found.items[0].name for found in await asyncio.gather(*calls)] == [*"012"]
            task = asyncio.create_task(stub.Get(pb.Item.Id(text="8")))
            assert (await task).id.text == "8"
            with pytest.raises(AttributeError, match="what the call returns is a future"):
                print(stub.Get.future)

    asyncio.run(call())


def test_method_with_the_name_of_a_keyword_has_an_underscore(
    address: str, catalog: Any, pb: Any
) -> None:
    controller = pybrpc.Controller()
    with pybrpc.Channel(address, timeout=30) as channel:
        assert catalog.CatalogStub(channel).del_(pb.Item.Id(text="7"), controller=controller)
    assert bytes(controller.response_attachment) == b"7"


def test_untyped_stub_calls_the_same_methods(address: str, catalog: Any, pb: Any) -> None:
    with pybrpc.Channel(address, timeout=30) as channel:
        stub = pybrpc.Stub(catalog.CatalogBase.SERVICE, channel)
        assert stub.Get(pb.Item.Id(text="7")).id.text == "7"
        assert getattr(stub, "del")(pb.Item.Id(text="7")) == Empty()


def test_streams_of_both_forms(catalog: Any, pb: Any) -> None:
    class Streaming(catalog.CatalogBase):  # type: ignore[misc]
        def Get(self, request: Any, controller: pybrpc.Controller) -> Any:
            controller.accept_stream(body=lambda stream: stream.send(b"of a thread"))
            return pb.Item(name="opened")

    async def call(address: str) -> None:
        async with pybrpc.aio.Channel(address, timeout=30) as channel:
            async with catalog.CatalogAioStub(channel).Get.stream(pb.Item.Id()) as call:
                assert call.response.name == "opened"
                assert await call.stream.recv(timeout=30) == b"of a thread"

    with pybrpc.Server() as server:
        server.add_service(Streaming())
        address = str(server.start("127.0.0.1:0"))
        with pybrpc.Channel(address, timeout=30) as channel:
            with catalog.CatalogStub(channel).Get.stream(pb.Item.Id()) as opened:
                assert opened.response.name == "opened"
                assert opened.stream.recv(timeout=30) == b"of a thread"
        asyncio.run(call(address))


def test_method_that_is_not_overridden_answers_enomethod_and_is_logged(
    impl: Any, catalog: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "pybrpc"), pybrpc.Server() as server:
        server.add_service(impl)
        with pybrpc.Channel(server.start("127.0.0.1:0"), timeout=30) as channel:
            with pytest.raises(NoMethodError, match="Catalog/Clear: it is not implemented"):
                catalog.CatalogStub(channel).Clear(Empty())
    (line,) = [line for line in caplog.messages if "does not serve" in line]
    assert "catalog.Catalog.Clear (it is not implemented)" in line


def test_all_methods_of_an_empty_class_answer_enomethod(catalog: Any, pb: Any) -> None:
    class Nothing(catalog.StockBase):  # type: ignore[misc]
        pass

    async def call(address: str) -> None:
        async with pybrpc.aio.Channel(address, timeout=30) as channel:
            with pytest.raises(NoMethodError):
                await catalog.StockAioStub(channel).Count(pb.Item.Id())

    for empty in (Nothing(), catalog.StockBase()):
        with pybrpc.Server() as server:
            server.add_service(empty)
            address = str(server.start("127.0.0.1:0"))
            with pybrpc.Channel(address, timeout=30) as channel:
                with pytest.raises(NoMethodError):
                    catalog.StockStub(channel).Count(pb.Item.Id())
            asyncio.run(call(address))


def test_handler_may_call_the_one_of_its_base_class(catalog: Any, pb: Any) -> None:
    class Proud(catalog.StockBase):  # type: ignore[misc]
        def Count(self, request: Any, controller: pybrpc.Controller) -> Any:
            return super().Count(request, controller)

    with pybrpc.Server() as server:
        server.add_service(Proud())
        with pybrpc.Channel(server.start("127.0.0.1:0"), timeout=30) as channel:
            with pytest.raises(NoMethodError, match=r"catalog\.Stock\.Count is not implemented"):
                catalog.StockStub(channel).Count(pb.Item.Id())


def test_handler_of_another_base_class_counts_as_implemented(catalog: Any, pb: Any) -> None:
    class Counting:
        async def Count(self, request: Any, controller: pybrpc.Controller) -> Any:
            return pb.Item(name="counted")

    class Mixed(Counting, catalog.StockBase):  # type: ignore[misc]
        pass

    with pybrpc.Server() as server:
        server.add_service(Mixed())
        with pybrpc.Channel(server.start("127.0.0.1:0"), timeout=30) as channel:
            assert catalog.StockStub(channel).Count(pb.Item.Id()).name == "counted"


def test_generator_is_a_body_of_http(catalog: Any) -> None:
    class Yielding(catalog.StockBase):  # type: ignore[misc]
        def Count(self, request: Any, controller: pybrpc.Controller) -> Iterator[bytes]:
            yield b"one "
            yield b"two"

    with pybrpc.Server() as server:
        server.add_service(Yielding())
        address = str(server.start("127.0.0.1:0"))
        with pybrpc.Channel(address, protocol="http", timeout=30) as channel:
            assert channel.http("POST", "/Stock/Count", body=b"{}").body == b"one two"


def test_streaming_method_can_neither_be_called_nor_is_it_served(
    address: str, catalog: Any, pb: Any
) -> None:
    with pybrpc.Channel(address, timeout=30) as channel:
        stub = catalog.CatalogStub(channel)
        with pytest.raises(StreamingMethodError):
            stub.Watch(pb.Query())
        with pytest.raises(NoMethodError, match="it streams"):
            channel.raw_method("catalog.Catalog", "Watch")(b"")


def test_channels_with_interceptors_and_combined_ones(address: str, catalog: Any, pb: Any) -> None:
    seen: list[str] = []

    def intercept(call: pybrpc.InterceptedCall, proceed: Any) -> Any:
        seen.append(call.method)
        return proceed()

    with pybrpc.Channel(address, timeout=30, interceptors=[intercept]) as channel:
        stub = catalog.CatalogStub(channel)
        assert stub.Get(pb.Item.Id()).name == stub.Get.future(pb.Item.Id()).result().name
    assert seen == ["catalog.Catalog.Get"] * 2
    with pybrpc.Channel(address, timeout=30) as channel, pybrpc.SelectiveChannel() as selective:
        selective.add_channel(channel)
        assert catalog.CatalogStub(selective).Get(pb.Item.Id(), timeout=30).name == "by id"


def test_stub_on_the_wrong_kind_of_channel_is_refused(catalog: Any) -> None:
    with pybrpc.Channel("127.0.0.1:1") as channel:
        with pytest.raises(TypeError, match=r"CatalogAioStub needs a pybrpc\.aio\.Channel"):
            catalog.CatalogAioStub(channel)
    for wrong in (pybrpc.aio.Channel("127.0.0.1:1"), pybrpc.aio.SelectiveChannel()):
        with pytest.raises(TypeError, match=r"CatalogStub needs a pybrpc\.Channel"):
            catalog.CatalogStub(wrong)
    with pytest.raises(TypeError, match=r"pass a pybrpc\.Channel"):
        catalog.CatalogStub("127.0.0.1:1")


def test_comments_are_docstrings(catalog: Any) -> None:
    text = 'Things to buy.\n\nNames have "quotes" and \\backslashes.'
    for made in (catalog.CatalogStub, catalog.CatalogAioStub, catalog.CatalogBase):
        assert inspect.getdoc(made) == text
    assert catalog.CatalogBase.Get.__doc__ == "Find one item by its id."
    assert catalog.StockBase.Count.__doc__ == 'In /* all */ stores, """all""" of them"'
    assert catalog.CatalogBase.Clear.__doc__ is None


def test_methods_with_odd_names_are_all_served_and_called(tmp_path: Path) -> None:
    files = [str(path.relative_to(ODD)) for path in ODD.rglob("*.proto")]
    with generated(ODD, files, tmp_path) as load, pybrpc.Server() as server:
        modules = [load(name) for name in ("odd_names_brpc", "shapes.draw_brpc", "class.kept_brpc")]
        bases = [modules[0].OddBase, modules[1].DrawBase, modules[2].KeeperBase]
        stubs = [modules[0].OddStub, modules[1].DrawStub, modules[2].KeeperStub]
        for base in bases:
            server.add_service(type("Impl", (base,), handlers_of(base.SERVICE))())
        called = []
        with pybrpc.Channel(server.start("127.0.0.1:0"), timeout=30) as channel:
            for stub in (kind(channel) for kind in stubs):
                for method, attribute in unary_methods(stub.SERVICE):
                    reply = getattr(stub, attribute)(new(method.input_type))
                    assert reply.DESCRIPTOR is method.output_type
                    called.append(attribute)
    assert {"import__", "import_", "None_", "SERVICE_", "rpc__init__", "Move", "Keep"} <= {*called}
    assert len(called) == 10 + 2 + 1


def unary_methods(service: Any) -> list[tuple[Any, str]]:
    """The methods, each with its attribute."""
    names = attribute_names(method.name for method in service.methods)
    return [(each, names[each.name]) for each in service.methods if not each.client_streaming]


def handlers_of(service: Any) -> dict[str, Any]:
    """Handlers that return empty responses."""
    return {
        attribute: lambda impl, request, controller, kind=method.output_type: new(kind)
        for method, attribute in unary_methods(service)
    }


def new(descriptor: Any) -> Any:
    """An empty message."""
    return message_factory.GetMessageClass(descriptor)()


PROGRAM = """
import pybrpc
from catalog_brpc import StockBase, StockStub
from catalog_pb2 import Item

class Stock(StockBase):
    def Count(self, request: Item.Id, controller: pybrpc.Controller) -> Item:
        return Item(id=request)

with pybrpc.Server() as server:
    server.add_service(Stock())
    with pybrpc.Channel(server.start("127.0.0.1:0"), timeout=30) as channel:
        print(StockStub(channel).Count(Item.Id(text="7")).id.text)
"""


@pytest.mark.parametrize("kind", PROTOCS)
def test_code_of_each_protoc_runs(kind: str, tmp_path: Path) -> None:
    generate(Protoc(kind, tmp_path), CATALOG, ["catalog.proto"], tmp_path)
    paths = [str(tmp_path), str(Path(pybrpc.__file__).parents[1])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-c", PROGRAM]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (printed.stdout, printed.stderr) == ("7\n", "")
