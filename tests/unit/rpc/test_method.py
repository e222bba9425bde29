"""Methods from descriptors."""

from __future__ import annotations

import pytest

from pybrpc.rpc.method import Method, methods_of
from tests.protos import conformance_pb2 as pb

ECHO = pb.DESCRIPTOR.services_by_name["EchoService"]


def test_methods_in_the_order_of_the_proto_file() -> None:
    assert list(methods_of(ECHO)) == [
        Method("conformance.EchoService", name, pb.EchoRequest, pb.EchoResponse)
        for name in ("Echo", "Stream")
    ]


def test_full_name() -> None:
    assert next(methods_of(ECHO)).full_name == "conformance.EchoService.Echo"


@pytest.mark.parametrize("thing", [None, "EchoService", pb, pb.EchoRequest.DESCRIPTOR, object()])
def test_what_is_no_service_is_refused(thing: object) -> None:
    with pytest.raises(TypeError, match="pass the descriptor of a service, such as"):
        list(methods_of(thing))  # type: ignore[arg-type]
