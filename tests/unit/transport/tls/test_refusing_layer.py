"""RefusingLayer: each step of it fails with the reason why there can be no TLS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import TlsConfigError, TlsError
from pybrpc.iobuf import IOBuf
from pybrpc.transport.tls.client_tls import ClientTls
from pybrpc.transport.tls.refusing_layer import RefusingLayer

NO_NAME = r"the server at unix:/tmp/a\.sock has no known name: give server_name"


@pytest.mark.parametrize(
    "step",
    [
        lambda layer: layer.shake_hands(-1),
        lambda layer: layer.cut_into_fd(-1, [IOBuf(b"a")]),
        lambda layer: layer.append_from_fd(-1, IOBuf(), 10),
    ],
    ids=["shake_hands", "cut_into_fd", "append_from_fd"],
)
def test_each_step_fails_with_the_reason(step: Callable[[Any], object]) -> None:
    with pytest.raises(TlsError, match="no name"):
        step(RefusingLayer("no name"))


def test_it_ends_as_one_that_has_not_begun() -> None:
    layer = RefusingLayer("no name")
    layer.finish(-1)
    layer.close(-1)
    assert (layer.has_unread, layer.has_unsent, layer.tls) == (False, False, None)


@pytest.mark.parametrize(
    ("address", "text"),
    [("unix:/tmp/a.sock", NO_NAME), (".a:1", r"'\.a' can't be the name of a server")],
)
def test_server_that_can_not_be_checked_has_such_a_layer(address: str, text: str) -> None:
    endpoint = Endpoint.parse(address)
    with pytest.raises(TlsConfigError, match=text):
        ClientTls().check(endpoint)
    with pytest.raises(TlsError, match=text):
        ClientTls().layer_to(endpoint).shake_hands(-1)
    ClientTls().check(None)
    ClientTls(server_name="a.example").check(endpoint)
