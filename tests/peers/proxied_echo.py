"""ProxiedEcho: a server that echoes behind a FaultyProxy, and calls through it; plain or TLS."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pybrpc
from pybrpc.errors import ConnectionFailedError, RpcError
from pybrpc.testing.faulty_proxy import FaultyProxy
from tests.peers.callers import caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.tls import certificates
from tests.protos import conformance_pb2 as pb

HANG_S = 20.0
ATTACHMENT = bytes(range(256)) * 2
HEADER_BYTES = 12
RECORD_BYTES = 5
"""The header of a TLS record."""


class EchoService:
    def Echo(self, request: pb.EchoRequest, controller: pybrpc.Controller) -> pb.EchoResponse:
        controller.response_attachment = controller.request_attachment
        return pb.EchoResponse(message=request.message)

    Stream = Echo


class ProxiedEcho:
    """`ATTACHMENT` travels with each call, and back."""

    def __init__(self, proxy: FaultyProxy, is_tls: bool) -> None:
        self.proxy = proxy
        self.is_tls = is_tls

    @property
    def retrying(self) -> dict[str, Any]:
        """Options of a channel that tries again. An endpoint with which no handshake succeeds is
        down, as one that refuses connections, so trying at once would make no sense."""
        pause = pybrpc.Backoff(first_s=0.01, max_s=0.01)
        policy = pybrpc.RetryPolicy(backoff=pause if self.is_tls else None)
        return {"max_retry": 3, "retry_policy": policy}

    def caller(self, form: str, **options: Any) -> contextlib.AbstractContextManager[Any]:
        tls = certificates().client_tls() if self.is_tls else None
        return caller(form, self.proxy.address, tls=tls, connect_timeout=HANG_S, **options)

    def call(self, client: Any, message: str, **options: Any) -> None:
        """A call, answered rightly, or its error raised."""
        controller = pybrpc.Controller()
        controller.request_attachment = ATTACHMENT
        answer = client.call(echo_request(message), controller=controller, **options)
        assert answer.message == message
        assert bytes(controller.response_attachment) == ATTACHMENT

    def errors_of_call(self, client: Any, message: str, **options: Any) -> list[RpcError]:
        """One, or none if the call was answered, rightly."""
        try:
            self.call(client, message, **options)
        except RpcError as error:
            return [error]
        return []

    def call_until_it_works(self, client: Any) -> None:
        """The channel works again; at once, or when it has noticed what had happened."""
        end = time.monotonic() + HANG_S
        while errors := self.errors_of_call(client, "afterwards"):
            assert isinstance(errors[0], ConnectionFailedError), errors
            assert time.monotonic() < end, errors
            time.sleep(0.01)

    def bytes_of_first_call(self, direction: str) -> int:
        """How many pass in that direction when a connection is made and used once.

        Give or take some: calls differ in their texts and timeouts, signatures of TLS in length.
        """
        name = f"bytes_{direction}"
        before = getattr(self.proxy.statistics(), name)
        with self.caller("blocking") as client:
            self.call(client, "probe")
        return int(getattr(self.proxy.statistics(), name)) - before

    def interesting_bytes(self, direction: str) -> list[int]:
        """Where faults shall strike in a first call, from before its first byte to its last one."""
        size = self.bytes_of_first_call(direction)
        body = size - len(ATTACHMENT)
        assert body > 2 * HEADER_BYTES
        around_end = {size - len(ATTACHMENT) // 2, size - 1, size}
        if self.is_tls:
            # Header and body of the first record, eighths of the handshake, the last records.
            hello = {0, 1, RECORD_BYTES - 1, RECORD_BYTES, 100}
            return sorted(hello | {body * part // 8 for part in range(1, 9)} | around_end)
        header = {0, 1, 4, 8, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 1}
        return sorted(header | {HEADER_BYTES + (body - HEADER_BYTES) // 2} | around_end)


@contextlib.contextmanager
def proxied_echo(is_tls: bool) -> Iterator[ProxiedEcho]:
    tls = certificates().server_tls() if is_tls else None
    with pybrpc.Server(tls=tls) as server:
        server.add_service(ECHO, EchoService())
        with FaultyProxy(server.start("127.0.0.1:0")) as proxy:
            yield ProxiedEcho(proxy, is_tls)
