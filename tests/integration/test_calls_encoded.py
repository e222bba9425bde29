"""Compression and checksums of requests: those of the channel, or of a single call."""

from __future__ import annotations

import sys
from typing import Any

import pytest

import pybrpc
from pybrpc import ChecksumType, CompressType, Controller
from pybrpc.errors import MissingExtraError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcRequest
from pybrpc.rpc.checksum import compute_checksum
from pybrpc.rpc.compress import compress
from tests.peers.callers import FORMS, caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.passwords import Password
from tests.peers.scripted_server import Peer, ScriptedServer, echo

GZIP, ZLIB, CRC32C = CompressType.GZIP, CompressType.ZLIB, ChecksumType.CRC32C
EVERYTHING = {"compress_type": GZIP, "checksum_type": CRC32C, "checksum_with_attachment": True}
REQUEST = echo_request("over and over " * 100)
BODY = REQUEST.SerializeToString()
ZIPPED = compress(BODY, GZIP)
every_form = pytest.mark.parametrize("form", FORMS)


def how(request: RpcRequest) -> tuple[Any, ...]:
    return (request.compress_type, request.checksum_type, request.checksum_with_attachment)


@every_form
def test_calls_travel_as_the_channel_says(form: str) -> None:
    with ScriptedServer() as server, caller(form, server.address, **EVERYTHING) as client:
        client.call(REQUEST)
        client.call(REQUEST, controller=Controller())
    for request in server.requests:
        assert how(request) == (GZIP, CRC32C, True)
        assert request.body == ZIPPED
        assert request.checksum_value == compute_checksum(CRC32C, ZIPPED)


def test_checksum_covers_the_attachment_of_a_call() -> None:
    controller = Controller()
    controller.request_attachment = IOBuf(b"attached")
    with ScriptedServer() as server, caller("blocking", server.address, **EVERYTHING) as client:
        client.call(REQUEST, controller=controller)
    (request,) = server.requests
    assert request.checksum_value == compute_checksum(CRC32C, ZIPPED, IOBuf(b"attached"))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("compress_type", ZLIB, (ZLIB, CRC32C, True)),
        ("compress_type", CompressType.NONE, (0, CRC32C, True)),
        ("checksum_type", ChecksumType.NONE, (GZIP, 0, True)),
        ("checksum_attachment", False, (GZIP, CRC32C, None)),
    ],
)
def test_word_of_one_call_counts(name: str, value: Any, expected: tuple[Any, ...]) -> None:
    controller = Controller()
    setattr(controller, f"request_{name}", value)
    with ScriptedServer() as server, caller("blocking", server.address, **EVERYTHING) as client:
        client.call(REQUEST, controller=controller)
        client.call(REQUEST)
    assert [how(request) for request in server.requests] == [expected, (GZIP, CRC32C, True)]


def test_controller_takes_nothing_from_one_channel_to_the_next() -> None:
    controller = Controller()
    with ScriptedServer() as server:
        with pybrpc.Channel(server.address, timeout=60, **EVERYTHING) as encoding:  # type: ignore[arg-type]
            pybrpc.Stub(ECHO, encoding).Echo(REQUEST, controller=controller)
        with pybrpc.Channel(server.address, timeout=60) as plain:
            pybrpc.Stub(ECHO, plain).Echo(REQUEST, controller=controller)
    assert [how(request) for request in server.requests] == [(GZIP, CRC32C, True), (0, 0, None)]


def test_channels_that_differ_in_it_share_their_connection() -> None:
    with ScriptedServer() as server:
        with (
            pybrpc.Channel(server.address, timeout=60, compress_type=GZIP) as one,
            pybrpc.Channel(server.address, timeout=60) as other,
        ):
            for channel in (one, other, one):
                pybrpc.Stub(ECHO, channel).Echo(REQUEST)
    assert server.connections == 1
    assert [request.compress_type for request in server.requests] == [GZIP, 0, GZIP]


@every_form
def test_request_that_is_sent_again_travels_the_same(form: str) -> None:
    """And so does one that carries a credential, which is packed twice."""

    def break_off(peer: Peer) -> None:
        peer.expect_request()

    options = EVERYTHING | {"auth": Password("secret")}
    with (
        ScriptedServer(break_off, echo) as server,
        caller(form, server.address, **options) as client,
    ):
        client.call(REQUEST)
    assert [request.body for request in server.requests] == [ZIPPED, ZIPPED]
    assert {how(request) for request in server.requests} == {(GZIP, CRC32C, True)}
    assert {request.credential for request in server.requests} == {b"secret"}


@pytest.mark.parametrize("make", [pybrpc.Channel, pybrpc.aio.Channel])
@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        (
            "compress_type",
            CompressType.LZ4,
            "compress_type=4 is not supported; .* GZIP and",
        ),
        (
            "compress_type",
            "gzip",
            "compress_type must be a number such as pybrpc.CompressType.GZIP, not 'gzip'",
        ),
        ("checksum_type", 7, "checksum_type=7 is not supported; ChecksumType.CRC32C is"),
    ],
)
def test_channel_refuses_what_can_not_be_had(make: Any, name: str, value: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make("127.0.0.1:1", **{name: value})


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [("cramjam", "compress_type", CompressType.SNAPPY), ("crc32c", "checksum_type", CRC32C)],
)
def test_channel_says_which_package_is_missing(
    monkeypatch: pytest.MonkeyPatch, module: str, name: str, value: Any
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"install it with: pip install 'pybrpc\["):
        pybrpc.Channel("127.0.0.1:1", **{name: value})
