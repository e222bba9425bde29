"""Controller by itself; what calls do with it is in tests/integration."""

from __future__ import annotations

import pytest

import pybrpc
from pybrpc.errors import ErrorCode
from pybrpc.protocols.baidu_std.fast_frames import is_fast_response
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.rpc import controller as controller_module
from pybrpc.rpc.checksum import ChecksumType
from pybrpc.rpc.compress import CompressType
from pybrpc.rpc.controller import Controller
from pybrpc.testing.step_dispatcher import FakeClock


def how_it_travels(controller: Controller, side: str) -> tuple[object, ...]:
    names = ("compress_type", "checksum_type", "checksum_attachment")
    return tuple(getattr(controller, f"{side}_{name}") for name in names)


def test_new_controller_is_empty() -> None:
    controller = Controller()
    assert how_it_travels(controller, "request") == (None, None, None)
    assert how_it_travels(controller, "response") == (CompressType.NONE, ChecksumType.NONE, False)
    assert not controller.failed
    assert (controller.error_code, controller.error_text) == (0, "")
    assert (controller.log_id, controller.request_id) == (None, None)
    assert (controller.latency_us, controller.retried_count) == (0, 0)
    assert controller.remote_side is None
    assert not controller.is_canceled
    assert controller.time_remaining_s is None
    assert len(controller.request_attachment) == len(controller.response_attachment) == 0
    assert controller.request_user_fields == controller.response_user_fields == {}


def test_reset_forgets_results_and_keeps_what_the_caller_set() -> None:
    controller = Controller(log_id=7, request_id="seven")
    controller.request_attachment.append(b"mine")
    controller.request_user_fields["a"] = "b"
    controller.response_attachment.append(b"theirs")
    controller.response_user_fields["c"] = "d"
    controller.set_failed(7, "no")
    controller.latency_us = controller.retried_count = 5
    controller.remote_side = pybrpc.Endpoint("127.0.0.1", 1)
    for side in ("request", "response"):
        setattr(controller, f"{side}_compress_type", CompressType.GZIP)
        setattr(controller, f"{side}_checksum_type", ChecksumType.CRC32C)
        setattr(controller, f"{side}_checksum_attachment", True)
    controller.reset()
    assert how_it_travels(controller, "request") == (CompressType.GZIP, ChecksumType.CRC32C, True)
    assert how_it_travels(controller, "response") == (0, 0, False)
    assert (controller.error_code, controller.error_text) == (0, "")
    assert (controller.latency_us, controller.retried_count) == (0, 0)
    assert controller.remote_side is None
    assert len(controller.response_attachment) == 0
    assert controller.response_user_fields == {}
    assert (controller.log_id, controller.request_id) == (7, "seven")
    assert controller.request_attachment == b"mine"
    assert controller.request_user_fields == {"a": "b"}


@pytest.mark.parametrize("side", ["request_attachment", "response_attachment"])
@pytest.mark.parametrize("data", [b"data", bytearray(b"data"), memoryview(b"data")])
def test_attachment_may_be_assigned(side: str, data: bytes) -> None:
    controller = Controller()
    setattr(controller, side, data)
    assert isinstance(getattr(controller, side), pybrpc.IOBuf)
    assert getattr(controller, side) == b"data"


def test_assigned_iobuf_is_the_attachment() -> None:
    buffer = pybrpc.IOBuf(b"data")
    controller = Controller()
    controller.request_attachment = buffer
    assert controller.request_attachment is buffer


@pytest.mark.parametrize(
    ("failures", "code", "text"),
    [
        ([(10042, "no")], 10042, "[E10042]no"),
        ([(ErrorCode.ELIMIT, "full")], 2004, "[E2004]full"),
        ([("just text",)], -1, "just text"),
        ([(1, "first"), (2, "second")], 2, "[E1]first [E2]second"),
        ([(1, "first"), ("second",)], -1, "[E1]first second"),
        ([(7,)], 7, "[E7]"),
    ],
)
def test_set_failed_appends_texts_and_keeps_the_last_code(
    failures: list[tuple[int | str, ...]], code: int, text: str
) -> None:
    controller = Controller()
    for failure in failures:
        controller.set_failed(*failure)  # type: ignore[arg-type]
    assert controller.failed
    assert (controller.error_code, controller.error_text) == (code, text)


def test_set_failed_in_a_handler_begins_with_the_address_of_the_server() -> None:
    controller = Controller()
    controller._server_identity = "[127.0.0.1:9600]"
    controller.set_failed(10042, "deliberate failure")
    assert controller.error_text == "[127.0.0.1:9600][E10042]deliberate failure"


def test_set_failed_with_0_is_refused() -> None:
    controller = Controller()
    with pytest.raises(ValueError, match="error code 0 means success"):
        controller.set_failed(0, "fine")
    assert not controller.failed


def test_time_remaining_counts_from_the_arrival_of_the_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = FakeClock(100.0)
    monkeypatch.setattr(controller_module, "time", clock)
    controller = Controller()
    controller.timeout_ms, controller.received_at = 500, 100.0
    assert controller.time_remaining_s == 0.5
    clock.now_s = 100.25
    assert controller.time_remaining_s == 0.25
    clock.now_s = 200.0
    assert controller.time_remaining_s == 0.0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda c: None, "<Controller unused ok, 0 us>"),
        (lambda c: setattr(c, "method_name", "S.M"), "<Controller S.M ok, 0 us>"),
        (lambda c: c.set_failed(1008, "late"), "<Controller unused ERPCTIMEDOUT: [E1008]late, 0"),
        (lambda c: c.set_failed("oops"), "<Controller unused EINTERNAL: oops, 0 us>"),
        (lambda c: setattr(c, "retried_count", 2), "ok, 0 us, retried 2 times>"),
    ],
)
def test_repr_says_how_the_call_ended(change: object, expected: str) -> None:
    controller = Controller()
    change(controller)  # type: ignore[operator]
    assert expected in repr(controller)


def test_unknown_attribute_is_refused() -> None:
    with pytest.raises(AttributeError):
        Controller().time_out = 5  # type: ignore[attr-defined]


def test_plain_response_has_the_values_of_a_fast_frame() -> None:
    controller = Controller()
    response = RpcResponse(7)
    response.compress_type = controller.response_compress_type
    response.checksum_type = controller.response_checksum_type
    response.checksum_value = controller._checksum_value
    assert is_fast_response(response)


def test_controller_shows_the_encoding_of_the_request() -> None:
    controller = Controller()
    controller._note_request(
        RpcRequest(1, "S", "M", compress_type=2, checksum_type=1, checksum_with_attachment=True)
    )
    assert how_it_travels(controller, "request") == (CompressType.GZIP, ChecksumType.CRC32C, True)
    controller._note_request(RpcRequest(2, "S", "M"))
    assert how_it_travels(controller, "request") == (CompressType.NONE, ChecksumType.NONE, False)
    controller._note_request(RpcRequest(3, "S", "M", compress_type=99, checksum_type=98))
    assert how_it_travels(controller, "request") == (99, 98, False)


def test_controller_shows_the_encoding_of_the_response() -> None:
    controller = Controller()
    controller._note_response(
        RpcResponse(1, compress_type=3, checksum_type=1, checksum_with_attachment=True)
    )
    assert how_it_travels(controller, "response") == (CompressType.ZLIB, ChecksumType.CRC32C, True)
