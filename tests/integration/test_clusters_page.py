"""docs/clusters.md and docs/combined-channels.md: their examples run as they stand there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

import pybrpc
from pybrpc.client.cluster.balancing.registry import unregister_load_balancer
from tests.peers.clusters import cluster
from tests.peers.echo import ECHO
from tests.peers.pages import examples_of, run_example
from tests.protos import conformance_pb2 as pb

SHOWN = [f"10.0.0.{number}:8000" for number in (1, 2, 3)]


def run(page: str, names: dict[str, Any], addresses: list[str]) -> None:
    """All examples of a page, with the addresses of real servers, and patient."""
    for text in examples_of(f"docs/{page}"):
        for shown, real in zip(SHOWN, addresses, strict=True):
            text = text.replace(shown, real)
        run_example(text.replace("timeout=0.2", "timeout=10"), names, {})


@contextlib.contextmanager
def closing(names: Mapping[str, Any]) -> Iterator[None]:
    """Close the channels that the examples have made, those of lists too."""
    made: list[Any] = []
    new_channel = pybrpc.Channel.__init__

    def remember(channel: Any, *args: Any, **options: Any) -> None:
        new_channel(channel, *args, **options)
        made.append(channel)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pybrpc.Channel, "__init__", remember)
        try:
            yield
        finally:
            for each in [*names.values(), *made]:
                if hasattr(each, "close"):
                    each.close()


def test_examples_of_clusters(capsys: pytest.CaptureFixture[str]) -> None:
    names = {"pybrpc": pybrpc, "SERVICE": ECHO, "EchoRequest": pb.EchoRequest}
    with cluster(3) as servers, closing(names):
        try:
            run("clusters.md", names, servers.addresses)
            ordered: Any = names["ordered"]
            stub = pybrpc.Stub(ECHO, ordered)
            answers = [
                stub.Echo(pb.EchoRequest(message="hello"), timeout=10).message for _ in range(4)
            ]
            assert answers == ["server 0"] * 4
            servers[0].stop()
            assert stub.Echo(pb.EchoRequest(message="hello"), timeout=10).message == "server 1"
        finally:
            unregister_load_balancer("in_order")
    printed = [line.split()[:3] for line in capsys.readouterr().out.splitlines()]
    assert printed == [[address, "up", "0"] for address in servers.addresses[:2]]


class Search:
    """The service of the examples: each server finds its own name."""

    def __init__(self) -> None:
        text, number = FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.TYPE_INT32
        one, many = FieldDescriptorProto.LABEL_OPTIONAL, FieldDescriptorProto.LABEL_REPEATED
        file = FileDescriptorProto(name="search_page.proto", package="page", syntax="proto3")
        for name, fields in (
            ("SearchRequest", (("query", text, one), ("shard", number, one))),
            ("SearchResponse", (("hits", text, many),)),
        ):
            message = file.message_type.add(name=name)
            for place, (field, kind, label) in enumerate(fields, 1):
                message.field.add(name=field, number=place, type=kind, label=label)
        file.service.add(name="Search").method.add(
            name="Search", input_type=".page.SearchRequest", output_type=".page.SearchResponse"
        )
        built = descriptor_pool.DescriptorPool().AddSerializedFile(file.SerializeToString())
        self.service = built.services_by_name["Search"]
        self.request, self.response = (
            message_factory.GetMessageClass(each) for each in built.message_types_by_name.values()
        )

    @contextlib.contextmanager
    def served(self, name: str) -> Iterator[str]:
        response = self.response

        class Handler:
            def Search(self, request: Any, controller: Any) -> Any:
                return response(hits=[f"{name}.{request.shard}"])

        with pybrpc.Server() as server:
            server.add_service(self.service, Handler())
            yield str(server.start("127.0.0.1:0"))


def test_examples_of_combined_channels(capsys: pytest.CaptureFixture[str]) -> None:
    search = Search()
    names: dict[str, Any] = {
        "pybrpc": pybrpc,
        "SERVICE": search.service,
        "SearchRequest": search.request,
    }
    with (
        search.served("a") as a,
        search.served("b") as b,
        search.served("c") as c,
        closing(names),
    ):
        run("combined-channels.md", names, [a, b, c])
        assert sorted(names["response"].hits) == ["a.0", "b.0"]
        query = search.request(query="cats")

        def hits(channel: Any) -> list[str]:
            return list(pybrpc.Stub(search.service, channel).Search(query, timeout=10).hits)

        mapped = pybrpc.ParallelChannel(names["shards"], mapper=names["mapper"])
        assert hits(mapped) == ["a.0", "b.1"]
        assert hits(names["everywhere"]) == ["a.0", "b.0"]
        assert {tuple(hits(names["either"])) for _ in range(8)} == {("b.0",), ("c.0",)}
        partitioned = {tuple(hits(names["channel"])) for _ in range(4)}
        assert partitioned == {("a.0", "b.0"), ("a.0", "c.0")}
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:3] for line in printed[:2]] == [["0", a, "0"], ["1", b, "0"]]
    assert sorted(line[:2] for line in printed[2::2]) == [["0", "hits:"], ["1", "hits:"]]


@pytest.mark.parametrize(("page", "count"), [("clusters.md", 5), ("combined-channels.md", 6)])
def test_no_example_is_left_out(page: str, count: int) -> None:
    assert len(examples_of(f"docs/{page}")) == count
