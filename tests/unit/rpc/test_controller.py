"""Controller by itself; what calls do with it is in tests/integration."""

from __future__ import annotations

import copy
import math
import os
import pickle
import re
from collections.abc import Callable

import pytest

import pybrpc
from pybrpc.errors import ControllerInUseError, ErrorCode
from pybrpc.protocols.baidu_std.fast_frames import is_fast_response
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.rpc import controller as controller_module
from pybrpc.rpc.checksum import ChecksumType
from pybrpc.rpc.compress import CompressType
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.misnamed import Misnamed
from pybrpc.testing.step_dispatcher import FakeClock


class InFlight:
    """A call that uses a controller."""

    is_lost = False


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
    assert (controller.deadline, controller.is_canceled) == (100.5, False)
    clock.now_s = 200.0
    assert controller.time_remaining_s == 0.0
    assert (controller.deadline, controller.is_canceled) == (100.5, True)


@pytest.mark.parametrize("timeout_ms", [None, 0, -1])
def test_request_without_a_timeout_above_0_has_no_deadline(timeout_ms: int | None) -> None:
    controller = Controller()
    controller.timeout_ms, controller.received_at = timeout_ms, 0.0
    assert (controller.deadline, controller.time_remaining_s) == (None, None)
    assert not controller.is_canceled


def test_controller_is_canceled_if_its_connection_is_or_its_deadline_has_passed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = FakeClock(100.0)
    monkeypatch.setattr(controller_module, "time", clock)
    controller = Controller()
    is_gone = False
    controller._is_canceled = lambda: is_gone
    controller.timeout_ms, controller.received_at = 500, 100.0
    assert not controller.is_canceled
    is_gone = True
    assert controller.is_canceled
    is_gone, clock.now_s = False, 100.5
    assert controller.is_canceled


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


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("log_id", "seven", "log_id must be None or a whole number from -9223372036854775808 to"),
        ("log_id", True, "log_id must be None or a whole number from"),
        ("log_id", 2**64, "log_id must be None or a whole number from"),
        (
            "timeout_ms",
            "50",
            "timeout_ms must be at least 0 milliseconds, -1 for no limit, or None",
        ),
        ("timeout_ms", True, "timeout_ms must be at least 0 milliseconds"),
        ("timeout_ms", math.nan, "timeout_ms must be at least 0 milliseconds"),
        ("timeout_ms", -2, "not -2"),
        ("max_retry", 1.5, "max_retry must be None or a whole number >= 0, not 1.5"),
        ("backup_request_ms", -2, "backup_request_ms must be at least 0 milliseconds, -1 for none"),
        ("backup_request_ms", 2**31, "backup_request_ms must be at least 0 milliseconds"),
        ("backup_request_ms", True, "backup_request_ms must be at least 0 milliseconds"),
        ("request_compress_type", "gzip", "request_compress_type must be None or a whole number"),
        ("request_checksum_type", -1, "request_checksum_type must be None or a whole number >= 0"),
        ("response_compress_type", 1.0, "response_compress_type must be None or a whole number"),
        ("response_checksum_type", True, "response_checksum_type must be None or a whole number"),
    ],
)
def test_wrong_number_is_refused_where_it_is_set(name: str, value: object, said: str) -> None:
    controller = Controller()
    before = getattr(controller, name)
    with pytest.raises(ValueError, match=said):
        setattr(controller, name, value)
    assert getattr(controller, name) == before


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("request_id", 7, "request_id must be a string or None, not an int"),
        ("request_checksum_attachment", 1, "request_checksum_attachment must be True, False or"),
        ("response_checksum_attachment", "no", "response_checksum_attachment must be True, False"),
        ("request_user_fields", ["a"], r"request_user_fields must be a dict of strings, not \['a"),
        ("request_user_fields", {"a": 1}, "a dict of strings; 'a': 1 is no such pair"),
        ("response_user_fields", {1: "a"}, "response_user_fields must be a dict of strings; 1: 'a"),
        ("request_attachment", 3, r"request_attachment must be bytes or a pybrpc\.IOBuf, not 3"),
        ("response_attachment", "a", "response_attachment must be bytes or a pybrpc"),
    ],
)
def test_object_of_a_wrong_type_is_refused_where_it_is_set(
    name: str, value: object, said: str
) -> None:
    with pytest.raises(TypeError, match=said):
        setattr(Controller(), name, value)


def test_ids_that_are_given_to_the_constructor_are_checked() -> None:
    with pytest.raises(ValueError, match="log_id must be None or a whole number"):
        Controller(log_id="7")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="request_id must be a string or None"):
        Controller(request_id=7)  # type: ignore[arg-type]


def test_user_fields_may_be_assigned() -> None:
    controller = Controller()
    mine = {"a": "b"}
    controller.request_user_fields = mine
    controller.response_user_fields = {"c": "d"}
    mine["later"] = "no"
    assert controller.request_user_fields == {"a": "b"}
    assert controller.response_user_fields == {"c": "d"}


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("Failed", "read controller.failed"),
        ("ErrorText", "read controller.error_text"),
        ("ErrorCode", "read controller.error_code"),
        ("SetFailed", r"call controller.set_failed\(code, text\)"),
        ("set_timeout_ms", "set controller.timeout_ms = milliseconds, or timeout= of the call"),
        ("set_max_retry", "set controller.max_retry = number"),
        ("set_log_id", "set controller.log_id = number"),
        ("timeout", "set controller.timeout_ms = milliseconds"),
        ("timeout_s", "set controller.timeout_ms = milliseconds"),
        ("max_retries", "set controller.max_retry = number"),
        ("StartCancel", "cancel the future of the call"),
        ("Join", "wait for the future of the call"),
        ("service_name", "read controller.method_name"),
        ("trace_id", "set controller.request_id or controller.log_id"),
    ],
)
def test_name_of_cpp_or_a_guess_is_refused_with_the_right_one(name: str, right: str) -> None:
    controller = Controller()
    said = f"Controller has no attribute '{name}': {right}"
    with pytest.raises(AttributeError, match=said):
        getattr(controller, name)
    with pytest.raises(AttributeError, match=said):
        setattr(controller, name, 50)
    assert not hasattr(controller, name)
    assert name not in dir(controller)


def test_advice_for_each_wrong_name_leads_to_what_exists() -> None:
    wrong = {name: hint for name, hint in vars(Controller).items() if isinstance(hint, Misnamed)}
    assert len(wrong) > 30
    for name, hint in wrong.items():
        for right in re.findall(r"controller\.(\w+)", hint.right):
            assert right not in wrong, name
            assert hasattr(Controller(), right), name


def test_controller_in_a_call_serves_no_other_one_until_that_ends() -> None:
    controller = Controller()
    first, second = InFlight(), InFlight()
    controller.begin_call(first, "S.First")
    said = "in use by a call of S.First that has not ended: make another one for the call of S.Seco"
    with pytest.raises(ControllerInUseError, match=said):
        controller.begin_call(second, "S.Second")
    assert controller.method_name == "S.First"
    assert (controller.is_used_by(first), controller.is_used_by(second)) == (True, False)
    controller.set_failed(7, "no")
    controller.end_call(second)
    assert controller.is_used_by(first)
    controller.end_call(first)
    assert controller.failed
    controller.begin_call(second, "S.Second")
    assert (controller.method_name, controller.failed) == ("S.Second", False)


def test_controller_of_a_served_request_makes_no_call() -> None:
    controller = Controller()
    controller.method_name, controller._is_canceled = "S.Served", lambda: False
    controller.set_failed(7, "mine")
    with pytest.raises(ControllerInUseError, match=r"belongs to the request of S\.Served that the"):
        controller.begin_call(InFlight(), "S.Other")
    assert (controller.method_name, controller.error_code) == ("S.Served", 7)


def test_call_that_can_not_end_any_more_leaves_its_controller_to_the_next_one() -> None:
    controller = Controller()
    lost, second = InFlight(), InFlight()
    controller.begin_call(lost, "S.Lost")
    lost.is_lost = True
    controller.begin_call(second, "S.Second")
    controller.end_call(lost)
    assert controller.is_used_by(second)
    assert controller.method_name == "S.Second"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_process_uses_the_controller_of_a_call_of_its_parent() -> None:
    controller = Controller()
    controller.begin_call(InFlight(), "S.Parent")
    pid = os.fork()
    if pid == 0:
        status = 2
        try:
            child = InFlight()
            controller.begin_call(child, "S.Child")
            status = 0 if controller.is_used_by(child) else 1
            with pytest.raises(ControllerInUseError):
                controller.begin_call(InFlight(), "S.Other")
        except BaseException:
            status = 3
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    with pytest.raises(ControllerInUseError):
        controller.begin_call(InFlight(), "S.Other")


class Derived(Controller):
    """It has attributes of its own."""


def by_pickle(controller: Controller) -> Controller:
    copied: Controller = pickle.loads(pickle.dumps(controller))
    return copied


@pytest.mark.parametrize("copied_by", [copy.copy, copy.deepcopy, by_pickle])
@pytest.mark.parametrize("kind", [Controller, Derived])
def test_copy_of_a_controller_is_not_used_by_its_call(
    kind: type[Controller], copied_by: Callable[[Controller], Controller]
) -> None:
    controller = kind(log_id=7)
    controller.timeout_ms = 50
    controller.request_user_fields = {"a": "b"}
    if kind is Derived:
        controller.note = "mine"  # type: ignore[attr-defined]
    controller.begin_call(USER, "S.First")
    copied = copied_by(controller)
    assert type(copied) is kind
    assert (copied.log_id, copied.timeout_ms) == (7, 50)
    assert copied.request_user_fields == {"a": "b"}
    assert getattr(copied, "note", "mine") == "mine"
    copied.begin_call(InFlight(), "S.Second")
    assert controller.is_used_by(USER)


USER = InFlight()


def test_dir_shows_what_users_need() -> None:
    shown = dir(Controller())
    assert {"log_id", "failed", "set_failed", "latency_us"} <= set(shown)
    assert not {"begin_call", "end_call", "is_used_by", "has_fast_response"} & set(shown)
