"""A message that one peer can't take fails its own call; others of the connection go on."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import RpcError
from pybrpc.testing import channel_for
from tests.cases.peers import (
    LATE_S,
    PATIENT_S,
    outcome_of,
    outcomes_of,
    serving,
    wait_for,
)
from tests.peers.echo import ECHO, echo_request
from tests.protos import conformance_pb2 as pb

OTHERS = 10
TOO_LONG = 2_000_000
"""Bytes of meta; a peer takes a million."""


class Gated:
    """Calls of "other" wait until the gate is open; others do what their message says."""

    def __init__(self) -> None:
        self.entered = 0
        self.gate = threading.Event()

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        text = "can't parse " + "x" * TOO_LONG
        match request.message:
            case "other":
                self.entered += 1
                self.gate.wait(PATIENT_S)
            case "raise":
                raise ValueError(text)
            case "set_failed":
                controller.set_failed(1234, text)
            case "fields":
                controller.response_user_fields["key"] = "v" * TOO_LONG
            case "big":
                return pb.EchoResponse(message="x" * TOO_LONG)
        return pb.EchoResponse(message=request.message)

    Stream = Echo


@contextlib.contextmanager
def calls_that_wait(**options: Any) -> Iterator[tuple[pybrpc.Channel, Any, list[Any], Gated]]:
    """A channel, its stub, and ten futures over the same connection; their server."""
    service = Gated()
    with channel_for(ECHO, service, **{"timeout": PATIENT_S, **options}) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        futures = [stub.Echo.future(echo_request("other")) for _ in range(OTHERS)]
        wait_for(lambda: service.entered == OTHERS)
        try:
            yield channel, stub, futures, service
        finally:
            service.gate.set()
            outcomes_of(futures)


def test_answer_above_max_body_size_fails_no_other_call() -> None:
    with calls_that_wait(max_body_size=TOO_LONG // 2) as (_, stub, futures, service):
        outcome_of(lambda: stub.Echo(echo_request("big")))
        service.gate.set()
        assert outcomes_of(futures) == {"answered": OTHERS}


def test_answer_above_max_body_size_fails_no_other_call_of_a_loop() -> None:
    service = Gated()

    async def call(address: str) -> Counter[str]:
        async with pybrpc.aio.Channel(
            address, timeout=PATIENT_S, max_body_size=TOO_LONG // 2
        ) as channel:
            stub: Any = pybrpc.Stub(ECHO, channel)
            calls = [stub.Echo(echo_request("other")) for _ in range(OTHERS)]
            with contextlib.suppress(RpcError):
                await stub.Echo(echo_request("big"))
            service.gate.set()
            await asyncio.gather(*calls, return_exceptions=True)
            return outcomes_of(calls)

    with serving(service) as address:
        assert asyncio.run(call(address)) == {"answered": OTHERS}


@pytest.mark.parametrize(("message", "code"), [("raise", 2001), ("set_failed", 1234)])
def test_long_error_text_is_cut_and_fails_its_own_call_only(message: str, code: int) -> None:
    with calls_that_wait() as (channel, stub, futures, service):
        with pytest.raises(RpcError) as caught:
            stub.Echo(echo_request(message))
        service.gate.set()
        assert outcomes_of(futures) == {"answered": OTHERS}
        assert caught.value.code == code
        assert "can't parse xxx" in caught.value.text
        assert channel.endpoint_statistics().created == 1


@pytest.mark.parametrize("max_retry", [0, 3])
@pytest.mark.parametrize(
    "side",
    ["request", "answer"],
)
def test_user_fields_that_are_too_long_fail_their_own_call_only(side: str, max_retry: int) -> None:
    with calls_that_wait(max_retry=max_retry) as (channel, stub, futures, service):
        controller = pybrpc.Controller()
        if side == "request":
            controller.request_user_fields["key"] = "v" * TOO_LONG
        message = "fields" if side == "answer" else "hello"
        call = stub.Echo.future(echo_request(message), controller=controller, timeout=LATE_S)
        outcome = outcome_of(call.result)
        service.gate.set()
        assert outcomes_of(futures) == {"answered": OTHERS}
        assert outcome in (["EREQUEST"] if side == "request" else ["EINTERNAL", "ERESPONSE"])
        assert channel.endpoint_statistics().created == 1
