"""A server whose pages have much to show: two services, of which one calls the other.

python -m tests.peers.shop call PORT     calls the server of PORT until its stdin ends
"""

from __future__ import annotations

import contextlib
import json
import math
import random
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

import pybrpc
from pybrpc import tracing

METHODS = {"OrderService": ("Buy", "Find"), "StockService": ("Price", "Reserve")}
SOLD_OUT = 2001


def _build() -> tuple[Any, Any, Any, Any]:
    """The two services, and the messages of all their methods."""
    file = FileDescriptorProto(name="shop.proto", package="shop", syntax="proto3")
    for name, field in (("Request", "item"), ("Response", "text")):
        file.message_type.add(name=name).field.add(
            name=field,
            number=1,
            type=FieldDescriptorProto.TYPE_STRING,
            label=FieldDescriptorProto.LABEL_OPTIONAL,
        )
    for service, methods in METHODS.items():
        made = file.service.add(name=service)
        for method in methods:
            made.method.add(name=method, input_type=".shop.Request", output_type=".shop.Response")
    built = descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
    services = (built.services_by_name[name] for name in METHODS)
    messages = (
        message_factory.GetMessageClass(built.message_types_by_name[name])
        for name in ("Request", "Response")
    )
    return (*services, *messages)


ORDERS, STOCK, Request, Response = _build()


class StockService:
    def __init__(self, sold_out_share: float) -> None:
        self._sold_out_share = sold_out_share

    def Price(self, request: Any, controller: pybrpc.Controller) -> Any:
        time.sleep(random.lognormvariate(-7.2, 0.5))
        return Response(text="12.90")

    def Reserve(self, request: Any, controller: pybrpc.Controller) -> Any:
        time.sleep(random.lognormvariate(-6.2, 0.6))
        if random.random() < self._sold_out_share:
            controller.set_failed(SOLD_OUT, "sold out")
        return Response(text="reserved")


class OrderService:
    def __init__(self, stock: pybrpc.Stub) -> None:
        self._stock = stock

    def Buy(self, request: Any, controller: pybrpc.Controller) -> Any:
        item = Request(item=request.item)
        price = self._stock.Price(item).text
        tracing.annotate(f"costs {price}")
        try:
            self._stock.Reserve(item)
        except pybrpc.RpcError as error:
            controller.set_failed(error.code, "sold out")
        return Response(text=f"{request.item} for {price}")

    def Find(self, request: Any, controller: pybrpc.Controller) -> Any:
        return Response(text=_rank(_load(request.item))[0])


def _load(item: str) -> list[str]:
    text = json.dumps([f"{item} {number}" for number in range(60)])
    found: list[str] = json.loads(text)
    return found


def _rank(items: list[str]) -> list[str]:
    return sorted(items, key=_score)


def _score(item: str) -> int:
    return sum(map(ord, item)) % 97


@contextlib.contextmanager
def open_shop(
    port: int = 0, internal_port: int = 0, sold_out_share: float = 0.0
) -> Iterator[pybrpc.Server]:
    """The server, on 127.0.0.1; it calls itself over a channel, and traces its calls.

    sold_out_share   how many calls of Reserve fail, from 0 to 1
    """
    before, tracing.rpcz.enabled = tracing.rpcz.enabled, True
    try:
        with pybrpc.Server(
            internal_port=internal_port, max_concurrency=200, version="shop 2.4.1"
        ) as server:
            with contextlib.ExitStack() as stack:
                server.add_service(STOCK, StockService(sold_out_share))
                orders = _LateStub()
                server.add_service(ORDERS, OrderService(orders))  # type: ignore[arg-type]
                address = str(server.start(f"127.0.0.1:{port}"))
                channel = stack.enter_context(pybrpc.Channel(address, timeout=10))
                orders.stub = pybrpc.Stub(STOCK, channel)
                yield server
    finally:
        tracing.rpcz.enabled = before


class _LateStub:
    """A stub that is there once the address of its server is known."""

    stub: pybrpc.Stub

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stub, name)


def call(port: int) -> None:
    """Call the server from a few threads, more often now than then, until stdin ends."""
    end = threading.Event()
    with pybrpc.Channel(f"127.0.0.1:{port}", timeout=10) as channel:
        stub = pybrpc.Stub(ORDERS, channel)
        threads = [threading.Thread(target=_call, args=(stub, end)) for _ in range(4)]
        for thread in threads:
            thread.start()
        sys.stdin.read()
        end.set()
        for thread in threads:
            thread.join()


def _call(stub: pybrpc.Stub, end: threading.Event) -> None:
    while not end.wait(0.012 + 0.009 * math.sin(time.monotonic() / 5)):
        method = stub.Buy if random.random() < 0.4 else stub.Find
        with contextlib.suppress(pybrpc.RpcError):
            method(Request(item=random.choice(("lamp", "chair", "table"))))


if __name__ == "__main__":
    call(int(sys.argv[2]))
