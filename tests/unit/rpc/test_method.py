"""Methods from descriptors."""

from __future__ import annotations

import pytest

from pybrpc.rpc.body_encoding import PLAIN, BodyEncoding
from pybrpc.rpc.method import methods_of
from tests.protos import conformance_pb2 as pb

ECHO = pb.DESCRIPTOR.services_by_name["EchoService"]


def test_methods_in_the_order_of_the_proto_file() -> None:
    found = [(method.service_name, method.name) for method in methods_of(ECHO)]
    assert found == [("conformance.EchoService", "Echo"), ("conformance.EchoService", "Stream")]


def test_a_method_knows_its_messages() -> None:
    echo = next(methods_of(ECHO))
    assert (echo.request_class, echo.response_class) == (pb.EchoRequest, pb.EchoResponse)


def test_full_name() -> None:
    echo = next(methods_of(ECHO))
    assert echo.full_name == "conformance.EchoService.Echo"
    assert repr(echo) == "<Method conformance.EchoService.Echo>"


def test_another_encoding_makes_another_method() -> None:
    echo = next(methods_of(ECHO))
    summed = echo.with_encoding(BodyEncoding(checksum_type=1))
    assert (summed.full_name, summed.request_class) == (echo.full_name, echo.request_class)
    assert (summed.encoding.checksum_type, echo.encoding) == (1, PLAIN)


@pytest.mark.parametrize("thing", [None, "EchoService", pb, pb.EchoRequest.DESCRIPTOR, object()])
def test_what_is_no_service_is_refused(thing: object) -> None:
    with pytest.raises(TypeError, match="pass the descriptor of a service, such as"):
        list(methods_of(thing))  # type: ignore[arg-type]
